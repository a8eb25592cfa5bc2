//! NodeOverlays, checked and made facts.
//!
//! **Invariant:** an overlay that comes out has passed what the API server checks by Karpenter's schema and what Karpenter checks at run
//! time.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1alpha1/nodeoverlay.go, nodeoverlay_validation.go.

use purser_engine::model::{NodeOverlay, Price, PriceChange, Rounding, Str};
use purser_engine::overlay::Overlay;

use crate::crd;
use crate::error::{At, FieldError};
use crate::node_pool::weight;
use crate::quantity::{object_name, resources};
use crate::requirement::requirements;

/// A NodeOverlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOverlayFacts {
    /// Its name.
    pub name: Str,
    /// The overlay, its price to the millionth of a dollar.
    pub overlay: NodeOverlay,
    /// What it makes of prices, to the billionth.
    pub price: Option<PriceChange>,
}

impl NodeOverlayFacts {
    /// Ready to be applied, to the billionth of a dollar.
    pub fn exact(&self) -> Overlay {
        Overlay { price: self.price, ..Overlay::new(&self.name, &self.overlay) }
    }
}

/// Checks a NodeOverlay and makes it a fact.
///
/// # Errors
/// If a field is invalid.
pub fn node_overlay(overlay: &crd::NodeOverlay) -> Result<NodeOverlayFacts, FieldError> {
    let name = object_name(&overlay.metadata)?;
    let at = At::ROOT.field("spec");
    let spec = &overlay.spec;
    let price = price(&at, spec)?;
    let micros = match price {
        Some(PriceChange::To(_)) => price.map(|to| to.apply(Price(0), 1_000_000)),
        _ => None,
    };
    let requirements_at = at.field("requirements");
    let written: Vec<crd::Requirement> = spec.requirements.iter().map(Into::into).collect();
    for (index, requirement) in spec.requirements.iter().enumerate() {
        let at = requirements_at.index(index);
        if requirement.operator == crd::RequirementOperator::NotIn && requirement.values.is_empty() {
            let remedy = "add one, or use operator Exists";
            return Err(at.field("values").error("operator NotIn needs at least one value", remedy));
        }
    }
    let capacity_at = at.field("capacity");
    for name in spec.capacity.iter().flat_map(|all| all.keys()) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pods") {
            let remedy = "remove it; an overlay adds extended resources only";
            return Err(capacity_at.key(name).error("is the instance type's own", remedy));
        }
    }
    Ok(NodeOverlayFacts {
        name: name.into(),
        overlay: NodeOverlay {
            weight: weight(&at, spec.weight, 10_000)?,
            requirements: requirements(&requirements_at, &written)?,
            price: micros,
            price_adjustment: spec.price_adjustment.as_deref().map(Str::from),
            capacity: resources(&capacity_at, spec.capacity.as_ref(), Rounding::Down)?,
        },
        price,
    })
}

fn price(at: &At<'_>, spec: &crd::NodeOverlaySpec) -> Result<Option<PriceChange>, FieldError> {
    match (&spec.price, &spec.price_adjustment) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(at.field("priceAdjustment").error("does not go with price", "remove one of the two"))
        }
        // Karpenter's schema wants digits before the point.
        (Some(text), None) => match PriceChange::parse_price(text).filter(|_| !text.starts_with('.')) {
            Some(price) => Ok(Some(price)),
            None => {
                let remedy = "write dollars an hour without a sign, such as \"0.05\", in quotes";
                Err(at.field("price").error(format!("{text:?} is not a price"), remedy))
            }
        },
        (None, Some(text)) => match PriceChange::parse_adjustment(text) {
            Some(change) => Ok(Some(change)),
            None => {
                let remedy = "write dollars or a percentage of at least -100% with a sign, such as \"-0.05\" or \"+10%\"";
                let problem = format!("{text:?} is not a change of a price");
                Err(at.field("priceAdjustment").error(problem, remedy))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut spec: Value) -> Result<NodeOverlayFacts, String> {
        let fields = spec.as_object_mut().unwrap();
        fields.entry("requirements").or_insert_with(|| json!([]));
        let object = json!({"metadata": {"name": "o"}, "spec": spec});
        let written: crd::NodeOverlay = serde_json::from_value(object).map_err(|error| error.to_string())?;
        node_overlay(&written).map_err(|error| error.to_string())
    }

    #[test]
    fn an_overlay_is_read() {
        let facts = read(json!({
            "weight": 10,
            "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}],
            "price": "0.0000015",
            "capacity": {"smarter-devices/fuse": "20"},
        }))
        .unwrap();
        assert_eq!((facts.overlay.weight, facts.overlay.price), (10, Some(Price(2))));
        assert_eq!(facts.exact().price, Some(PriceChange::To(1_500)));
        assert_eq!(facts.overlay.capacity.get("smarter-devices/fuse"), 20);
        assert_eq!(facts.overlay.requirements.to_string(), "karpenter.sh/capacity-type In [spot]");
        let facts = read(json!({"priceAdjustment": "-25%"})).unwrap();
        assert_eq!(facts.exact().price, Some(PriceChange::Times(750_000_000)));
        assert_eq!(Overlay::new(&facts.name, &facts.overlay), facts.exact());
    }

    #[test]
    fn what_karpenter_refuses_is_refused() {
        for (spec, field) in [
            (json!({"weight": 0}), "spec.weight: 0 is not from 1 to 10000"),
            (json!({"weight": 10_001}), "spec.weight"),
            (json!({"price": "-1"}), "spec.price: \"-1\" is not a price"),
            (json!({"price": ".5"}), "spec.price"),
            (json!({"priceAdjustment": "10%"}), "spec.priceAdjustment"),
            (json!({"priceAdjustment": "-101%"}), "spec.priceAdjustment"),
            (json!({"price": "1", "priceAdjustment": "+1"}), "spec.priceAdjustment: does not go with price"),
            (json!({"capacity": {"memory": "1Gi"}}), "spec.capacity[memory]: is the instance type's own"),
            (
                json!({"requirements": [{"key": "a", "operator": "NotIn", "values": []}]}),
                "spec.requirements[0].values",
            ),
            (
                json!({"requirements": [{"key": "a", "operator": "In", "values": []}]}),
                "spec.requirements[0].values",
            ),
            (
                json!({"requirements": [{"key": "a", "operator": "In", "values": ["b"], "minValues": 1}]}),
                "unknown field `minValues`",
            ),
        ] {
            let error = read(spec.clone()).unwrap_err();
            assert!(error.starts_with(field), "{spec}: {error}");
        }
    }
}
