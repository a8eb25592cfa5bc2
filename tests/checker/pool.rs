//! NodePools: which are usable, what their nodes look like, and what they still may launch.
//!
//! Invariant: a pool's requirements hold on each of its nodes, its template labels among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::demand::Profile;
use crate::model::{InstanceType, Offering, Scenario};
use crate::objects::{NodePool, Taint};
use crate::quantity::Resources;
use crate::sets::{
    Allowed, CAPACITY_TYPE, Dialect, NODE_POOL, Requirements, ZONE, combine, contradiction, demand,
};

/// A NodePool with the instance types that it can launch.
#[derive(Clone, Debug)]
pub(crate) struct Pool<'a> {
    pub(crate) name: &'a str,
    /// Why it launches nothing, if it does not.
    pub(crate) unusable: Option<String>,
    /// What its template says: a claim has to say it too.
    pub(crate) declared: Requirements,
    /// The same with the labels that every node of the pool gets.
    pub(crate) requirements: Requirements,
    pub(crate) min_values: BTreeMap<String, u64>,
    pub(crate) taints: &'a [Taint],
    pub(crate) limits: &'a Resources,
    pub(crate) types: &'a [InstanceType],
    /// How a new node may look, by the offerings that are available now.
    pub(crate) available_looks: BTreeSet<Profile>,
    /// The same, by all offerings.
    pub(crate) all_looks: BTreeSet<Profile>,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(object: &'a NodePool, scenario: &'a Scenario, dialect: &Dialect) -> Self {
        let name = object.metadata.name.as_str();
        let template = &object.spec.template;
        let class = &template.spec.node_class_ref;
        let declared = dialect.requirements(&template.spec.requirements);
        let declared = combine(&declared, &dialect.labels(&template.metadata.labels));
        let mut requirements = declared.clone();
        demand(&mut requirements, NODE_POOL, &Allowed::exactly(name));
        let class_label = format!("{}/{}", class.group, class.kind.to_lowercase());
        demand(&mut requirements, &class_label, &Allowed::exactly(&class.name));
        for key in ["karpenter.sh/registered", "karpenter.sh/initialized"] {
            demand(&mut requirements, key, &Allowed::exactly("true"));
        }
        let mut min_values = BTreeMap::new();
        for expression in &template.spec.requirements {
            if let Some(least) = expression.min_values {
                let known = min_values.entry(dialect.key(&expression.key)).or_insert(least);
                *known = least.max(*known);
            }
        }
        let types = scenario.instance_types_by_pool.get(name).unwrap_or(&scenario.instance_types);
        Self {
            name,
            unusable: why_unusable(object, scenario),
            declared,
            requirements,
            min_values,
            taints: &template.spec.taints,
            limits: &object.spec.limits,
            types,
            available_looks: BTreeSet::new(),
            all_looks: BTreeSet::new(),
        }
    }

    /// Works out how new nodes may look, as far as these label keys go.
    pub(crate) fn find_looks(&mut self, keys: &BTreeSet<String>, dialect: &Dialect) {
        for one in self.types {
            let of_type = dialect.requirements(&one.requirements);
            for offering in &one.offerings {
                let all = [&self.requirements, &of_type, &offering_requirements(offering, dialect)];
                let Some(mut look) = look_of(&all, &self.requirements, dialect) else { continue };
                look.retain(|key, _| keys.contains(key));
                if offering.available {
                    self.available_looks.insert(look.clone());
                }
                self.all_looks.insert(look);
            }
        }
    }
}

fn why_unusable(object: &NodePool, scenario: &Scenario) -> Option<String> {
    let name = &object.metadata.name;
    let mut conditions = object.status.conditions.iter();
    if object.metadata.deletion_timestamp.is_some() {
        Some("is being deleted".to_owned())
    } else if object.spec.replicas.is_some() {
        Some("is static: it has `replicas`".to_owned())
    } else if scenario.broken_pools.contains(name) {
        Some("has no instance types: the provider failed".to_owned())
    } else if !conditions.any(|condition| condition.kind == "Ready" && condition.status == "True") {
        Some("is not Ready".to_owned())
    } else {
        None
    }
}

/// What an offering says about its node.
pub(crate) fn offering_requirements(offering: &Offering, dialect: &Dialect) -> Requirements {
    let mut requirements = dialect.requirements(&offering.requirements);
    for (key, value) in [(ZONE, &offering.zone), (CAPACITY_TYPE, &offering.capacity_type)] {
        if !value.is_empty() {
            demand(&mut requirements, key, &Allowed::exactly(value));
        }
    }
    requirements
}

/// How a node looks on which all these requirements hold; none if they contradict each other. Nobody promises that a
/// custom label is put onto the node unless the NodePool defines it.
pub(crate) fn look_of(all: &[&Requirements], defined: &Requirements, dialect: &Dialect) -> Option<Profile> {
    let mut look = Requirements::new();
    for requirements in all {
        look = combine(&look, requirements);
    }
    if contradiction(&look).is_some() {
        return None;
    }
    for (key, allowed) in &mut look {
        if !dialect.is_well_known(key) && !defined.contains_key(key) {
            allowed.absent = true;
        }
    }
    Some(look)
}
