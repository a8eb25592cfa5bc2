//! Nodes that are there or on their way, as Karpenter's cluster state sees them.
//!
//! Invariant: a node that has not registered looks like its NodeClaim says; after that, like the Node says.

use std::collections::BTreeMap;

use crate::demand::Profile;
use crate::model::Scenario;
use crate::objects::{Labels, Node, NodeClaim, Taint};
use crate::quantity::{Quantity, Resources};
use crate::sets::{Allowed, Dialect, HOSTNAME, NAME_FIELD, NODE_POOL};
use crate::taints::is_ephemeral;

/// A place for pods: a node that exists, or one that a result plans.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// Other names that a result or a pod may use.
    pub(crate) aliases: Vec<String>,
    /// Each way in which the node may turn out; just one if it exists.
    pub(crate) profiles: Vec<Profile>,
    pub(crate) taints: Vec<Taint>,
    /// It is being deleted: its pods move, and none may come.
    pub(crate) leaving: bool,
    /// Karpenter can tell which instance this is. Otherwise its pods stay where they are.
    pub(crate) tracked: bool,
    /// Present if the node exists.
    pub(crate) existing: Option<Existing>,
}

/// What is known of a node that exists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    pub(crate) allocatable: Resources,
    pub(crate) capacity: Resources,
    pub(crate) pool: Option<String>,
    /// How many volumes each CSI driver attaches at most.
    pub(crate) attachable: BTreeMap<String, usize>,
}

impl Host {
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// All nodes and the claims that have no Node yet.
pub(crate) fn hosts_of(scenario: &Scenario, dialect: &Dialect) -> Vec<Host> {
    let objects = &scenario.objects;
    let mut hosts = Vec::new();
    for node in &objects.nodes {
        let id = &node.spec.provider_id;
        let mut claims = objects.node_claims.iter();
        let claim = claims.find(|claim| !id.is_empty() && claim.status.provider_id == *id);
        hosts.push(host_of(Some(node), claim, scenario, dialect));
    }
    for claim in &objects.node_claims {
        let id = &claim.status.provider_id;
        let has_node = objects.nodes.iter().any(|node| node.spec.provider_id == *id);
        // Without an instance there is nothing to put a pod on.
        if !id.is_empty() && !has_node {
            hosts.push(host_of(None, Some(claim), scenario, dialect));
        }
    }
    hosts
}

fn is_true(claim: &NodeClaim, condition: &str) -> bool {
    claim.status.conditions.iter().any(|one| one.kind == condition && one.status == "True")
}

fn says(labels: &Labels, key: &str) -> bool {
    labels.get(key).is_some_and(|value| value == "true")
}

fn host_of(node: Option<&Node>, claim: Option<&NodeClaim>, scenario: &Scenario, dialect: &Dialect) -> Host {
    let no_labels = Labels::new();
    let node_labels = node.map_or(&no_labels, |node| &node.metadata.labels);
    let registered = claim.is_none() || says(node_labels, "karpenter.sh/registered");
    let initialized = claim.is_none() || says(node_labels, "karpenter.sh/initialized");
    let claim_labels = claim.map_or(&no_labels, |claim| &claim.metadata.labels);
    let labels = if registered { node_labels } else { claim_labels };

    let node_name = node.map(|node| node.metadata.name.clone());
    let claim_name = claim.map(|claim| claim.metadata.name.clone());
    let name = node_name.clone().or(claim_name.clone()).unwrap_or_default();
    let promised = claim.map(|claim| claim.status.node_name.clone()).filter(|name| !name.is_empty());
    let aliases = [claim_name, promised].into_iter().flatten().filter(|alias| *alias != name).collect();

    let mut profile = dialect.node_labels(labels);
    profile.entry(HOSTNAME.to_owned()).or_insert_with(|| Allowed::exactly(&name));
    profile.insert(NAME_FIELD.to_owned(), Allowed::exactly(&name));

    let id = node.map(|node| &node.spec.provider_id).or(claim.map(|claim| &claim.status.provider_id));
    let deleted = match claim {
        Some(claim) => claim.metadata.deletion_timestamp.is_some() || is_true(claim, "InstanceTerminating"),
        None => node.is_some_and(|node| node.metadata.deletion_timestamp.is_some()),
    };
    let csi = scenario.objects.csi_nodes.iter().find(|csi| Some(&csi.metadata.name) == node_name.as_ref());
    let drivers = csi.map(|csi| csi.spec.drivers.as_slice()).unwrap_or_default();
    Host {
        name,
        aliases,
        profiles: vec![profile],
        taints: taints_of(node, claim, registered, initialized),
        leaving: deleted || id.is_some_and(|id| scenario.marked_for_deletion.contains(id)),
        tracked: claim.is_some()
            || id.is_some_and(|id| !id.is_empty())
            || !node_labels.contains_key(NODE_POOL),
        existing: Some(Existing {
            allocatable: amounts(
                node.map(|node| &node.status.allocatable),
                claim.map(|claim| &claim.status.allocatable),
                initialized,
            ),
            capacity: amounts(
                node.map(|node| &node.status.capacity),
                claim.map(|claim| &claim.status.capacity),
                initialized,
            ),
            pool: labels.get(NODE_POOL).or(claim_labels.get(NODE_POOL)).cloned(),
            attachable: drivers
                .iter()
                .filter_map(|driver| Some((driver.name.clone(), driver.allocatable.count?)))
                .collect(),
        }),
    }
}

/// Taints that count. While a node starts, those that will go by themselves do not.
fn taints_of(
    node: Option<&Node>,
    claim: Option<&NodeClaim>,
    registered: bool,
    initialized: bool,
) -> Vec<Taint> {
    let mut taints = match (registered, node, claim) {
        (true, Some(node), _) => node.spec.taints.clone(),
        (_, _, Some(claim)) => claim.spec.taints.clone(),
        _ => Vec::new(),
    };
    if !initialized {
        let startup = claim.map(|claim| claim.spec.startup_taints.as_slice()).unwrap_or_default();
        taints.retain(|taint| {
            let same = |other: &Taint| other.key == taint.key && other.effect == taint.effect;
            !is_ephemeral(taint) && !startup.iter().any(same)
        });
    }
    if node.is_some_and(|node| node.spec.unschedulable) {
        taints.push(Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        });
    }
    taints
}

/// Until a node is initialized, what it reports as zero or not at all is taken from its claim.
fn amounts(node: Option<&Resources>, claim: Option<&Resources>, initialized: bool) -> Resources {
    let mut all = node.cloned().unwrap_or_default();
    if !initialized {
        for (name, &quantity) in claim.into_iter().flatten() {
            if all.get(name).is_none_or(|&known| known == Quantity::ZERO) {
                all.insert(name.clone(), quantity);
            }
        }
    }
    all
}
