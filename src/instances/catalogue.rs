//! Catalogues: the built-in one, and those that a user brings.
//!
//! **Invariant:** the types of a catalogue are sorted by name, and no two have the same name.

use purser_engine::model::{CapacityType, InstanceType, Offering, Str, TypeName, Zone};

use crate::capacity::{capacity, overhead};
use crate::error::CatalogueError;
use crate::facts::Facts;
use crate::json::parse_instance_types;
use crate::labels::requirements;
use crate::price::SpotModel;
use crate::rows::CatalogueRow;
use crate::settings::NodeSettings;
use crate::table::parse_catalogue;

/// What is known of the types of us-east-1; prices of July 2026.
const US_EAST_1: &str = include_str!("catalogue/us-east-1.csv");

/// Where nodes are and what their class decides: all that facts lack to make instance types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The region.
    pub region: Str,
    /// Its zones.
    pub zones: Vec<Zone>,
    /// What the node class decides.
    pub settings: NodeSettings,
    /// How spot prices are estimated.
    pub spot: SpotModel,
}

impl Default for Site {
    /// Three zones of us-east-1 and a node class that says nothing.
    fn default() -> Self {
        Self {
            region: "us-east-1".into(),
            zones: ["us-east-1a", "us-east-1b", "us-east-1c"].map(Zone::from).into(),
            settings: NodeSettings::default(),
            spot: SpotModel::default(),
        }
    }
}

/// The facts of the built-in catalogue, sorted by name.
pub fn built_in_facts() -> Vec<Facts> {
    parse_catalogue("the built-in catalogue", US_EAST_1)
        .expect("invariant: the embedded table is well-formed, as the tests of this crate check")
}

/// Makes an instance type of facts: offered in every zone, on demand at its price and as spot at an estimate of it; a
/// type without a price is not offered.
pub fn instance_type(
    facts: &Facts,
    region: &str,
    zones: &[Zone],
    settings: &NodeSettings,
    spot: &SpotModel,
) -> InstanceType {
    let capacity = capacity(facts, settings);
    let mut offerings = Vec::with_capacity(2 * zones.len());
    for zone in zones {
        let prices = facts.on_demand.into_iter().flat_map(|price| {
            let spot = spot.estimate(facts.name.as_str(), zone, price);
            [(CapacityType::Spot, spot), (CapacityType::OnDemand, Some(price))]
        });
        offerings.extend(prices.filter_map(|(capacity_type, price)| {
            Some(Offering { zone: zone.clone(), capacity_type, price: price? })
        }));
    }
    offerings.sort();
    InstanceType {
        name: facts.name.clone(),
        requirements: requirements(facts, region),
        overhead: overhead(facts, settings, &capacity),
        capacity,
        offerings,
    }
}

/// Instance types, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    types: Vec<InstanceType>,
    spot_is_estimated: bool,
}

impl Catalogue {
    /// The built-in catalogue at the default site.
    pub fn built_in() -> Self {
        Self::from_facts(&built_in_facts(), &Site::default())
    }

    /// The types that these facts make at a site. Of facts with the same name the last counts.
    pub fn from_facts(facts: &[Facts], site: &Site) -> Self {
        let types = facts
            .iter()
            .map(|facts| instance_type(facts, &site.region, &site.zones, &site.settings, &site.spot))
            .map(|made| (made.name.clone(), made))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_values()
            .collect();
        Self { types, spot_is_estimated: true }
    }

    /// Reads a catalogue file: a table of facts, as [`parse_catalogue`] takes it, or a JSON list of instance types as
    /// [`parse_instance_types`] takes it. Which one it is shows in its first character.
    ///
    /// The types of a JSON list are taken as they are; the site matters only for a table.
    ///
    /// # Errors
    /// If the file cannot be read as what it looks like, or names a type twice.
    pub fn read(source_name: &str, text: &str, site: &Site) -> Result<Self, CatalogueError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !text.trim_start().starts_with(['[', '{']) {
            return Ok(Self::from_facts(&parse_catalogue(source_name, text)?, site));
        }
        let mut types = parse_instance_types(source_name, text)?;
        types.sort();
        if let Some(twice) = types.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(CatalogueError {
                file: source_name.into(),
                line: None,
                object: format!("type {}", twice[0].name).into(),
                field: "name".into(),
                problem: "the type is named twice".into(),
                remedy: "merge the two, or give one of them another name".into(),
            });
        }
        Ok(Self { types, spot_is_estimated: false })
    }

    /// All types, sorted by name.
    pub fn types(&self) -> &[InstanceType] {
        &self.types
    }

    /// Gives the types away, sorted by name.
    pub fn into_types(self) -> Vec<InstanceType> {
        self.types
    }

    /// The type of this name.
    pub fn get(&self, name: &TypeName) -> Option<&InstanceType> {
        let at = self.types.binary_search_by(|one| one.name.cmp(name)).ok()?;
        self.types.get(at)
    }

    /// Whether spot prices are estimates of this program.
    pub fn spot_is_estimated(&self) -> bool {
        self.spot_is_estimated
    }

    /// The types as rows to show, sorted by name.
    pub fn rows(&self) -> Vec<CatalogueRow> {
        self.types.iter().map(|one| CatalogueRow::new(one, self.spot_is_estimated)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_offers_what_has_a_price() {
        let catalogue = Catalogue::built_in();
        assert_eq!(catalogue.types().len(), 722);
        let m5 = catalogue.get(&"m5.large".into()).unwrap();
        let sold: Vec<String> =
            m5.offerings.iter().map(|one| format!("{} {}", one.zone, one.capacity_type)).collect();
        let expected = ["us-east-1a", "us-east-1b", "us-east-1c"]
            .into_iter()
            .flat_map(|zone| [format!("{zone} spot"), format!("{zone} on-demand")]);
        assert_eq!(sold, expected.collect::<Vec<_>>());
        assert!(
            m5.offerings
                .iter()
                .all(|one| (one.price.0 == 96_000) == (one.capacity_type == CapacityType::OnDemand))
        );
        assert!(catalogue.get(&"p5e.48xlarge".into()).unwrap().offerings.is_empty());
        let u = catalogue.get(&"u-6tb1.112xlarge".into()).unwrap();
        assert!(!u.offerings.is_empty());
        assert!(u.offerings.iter().all(|one| one.capacity_type == CapacityType::OnDemand));
    }

    #[test]
    fn rows_say_which_prices_are_estimates() {
        let rows = Catalogue::built_in().rows();
        let m5 = rows.iter().find(|row| row.name == "m5.large").unwrap();
        assert!(m5.offerings.iter().all(|one| one.estimated == (one.capacity_type == "spot")));
        assert_eq!(m5.offerings[1].price_per_hour, "0.096");
        assert_eq!(m5.labels["karpenter.k8s.aws/instance-family"], "m5");
        assert_eq!(m5.choices["karpenter.k8s.aws/instance-tenancy"], ["dedicated", "default"]);
        assert_eq!(m5.allocatable["cpu"], "1930m");
        assert!(rows.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn a_file_is_recognised_by_its_content() {
        let site = Site::default();
        let table = "name,arch,vcpus,memory_mib,interfaces,ipv4_per_interface,on_demand_micro_usd\nx1.big,amd64,8,65536,4,15,1000000\n";
        let from_table = Catalogue::read("own.csv", table, &site).unwrap();
        assert_eq!(from_table.types()[0].offerings.len(), 6);
        let json =
            "\n [{\"name\": \"a\", \"capacity\": {\"cpu\": \"1\", \"memory\": \"1Gi\", \"pods\": 10}}]";
        let from_json = Catalogue::read("own.json", json, &site).unwrap();
        assert!(!from_json.spot_is_estimated());
        assert_eq!(from_json.types()[0].name.as_str(), "a");
    }

    #[test]
    fn a_type_named_twice_is_refused() {
        let one = "{\"name\": \"a\", \"capacity\": {\"cpu\": \"1\", \"memory\": \"1Gi\", \"pods\": 10}}";
        let error = Catalogue::read("own.json", &format!("[{one}, {one}]"), &Site::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "own.json: type a: name: the type is named twice; merge the two, or give one of them another name"
        );
    }
}
