//! A result, resolved against its scenario: planned claims as nodes to be, and who goes where.
//!
//! Invariant: a planned claim is every node that the provider may make of it, as far as the rules can tell them apart.

use std::collections::BTreeSet;

use crate::demand::Profile;
use crate::host::Host;
use crate::model::{InstanceType, Offering, Outcome, PlannedClaim};
use crate::pool::{Pool, look_of, offering_requirements};
use crate::sets::{Allowed, HOSTNAME, Requirements, combine};
use crate::violation::{Rule, Violation};
use crate::world::World;

/// A result in terms of the world.
#[derive(Debug)]
pub(crate) struct Plan<'a, 'w> {
    pub(crate) claims: Vec<Claim<'a, 'w>>,
    /// The world's nodes, then one for each claim.
    pub(crate) hosts: Vec<Host>,
    /// Pod and host, in the order of the result.
    pub(crate) placed: Vec<(usize, usize)>,
}

/// A claim that a result plans.
#[derive(Debug)]
pub(crate) struct Claim<'a, 'w> {
    pub(crate) name: String,
    pub(crate) printed: &'w PlannedClaim,
    pub(crate) pool: Option<&'w Pool<'a>>,
    /// What the claim itself says, its labels included.
    pub(crate) own: Requirements,
    pub(crate) options: Vec<TypeOption<'a>>,
    pub(crate) host: usize,
}

/// One of a claim's instance types, with the offerings that can become its node.
#[derive(Debug)]
pub(crate) struct TypeOption<'a> {
    pub(crate) kind: &'a InstanceType,
    pub(crate) offerings: Vec<(&'a Offering, Profile)>,
}

impl<'a, 'w> Plan<'a, 'w> {
    pub(crate) fn new(world: &'w World<'a>, outcome: &'w Outcome, found: &mut Vec<Violation>) -> Self {
        let mut hosts = world.hosts.clone();
        let mut claims = Vec::new();
        let mut placed = Vec::new();
        for (index, printed) in outcome.new_node_claims.iter().enumerate() {
            let name = format!("newNodeClaims[{index}]");
            let claim = resolve(name, printed, hosts.len(), world, found);
            let profiles: BTreeSet<Profile> = claim
                .options
                .iter()
                .flat_map(|option| option.offerings.iter().map(|(_, profile)| profile.clone()))
                .collect();
            hosts.push(Host {
                name: claim.name.clone(),
                aliases: Vec::new(),
                profiles: profiles.into_iter().collect(),
                taints: claim.pool.map(|pool| pool.taints.to_vec()).unwrap_or_default(),
                leaving: false,
                tracked: true,
                existing: None,
            });
            place(&printed.pods, claim.host, &claim.name, world, &mut placed, found);
            claims.push(claim);
        }
        for used in &outcome.existing_nodes {
            match world.hosts.iter().position(|host| host.is_called(&used.node)) {
                Some(host) => place(&used.pods, host, &used.node, world, &mut placed, found),
                None => found.push(
                    Violation::new(Rule::UnknownName, "there is no such node or claim").host(&used.node),
                ),
            }
        }
        Self { claims, hosts, placed }
    }

    /// The new pods of a host.
    pub(crate) fn new_pods(&self, host: usize) -> impl Iterator<Item = usize> {
        self.placed.iter().filter(move |(_, there)| *there == host).map(|(pod, _)| *pod)
    }
}

fn place(
    names: &[String],
    host: usize,
    host_name: &str,
    world: &World<'_>,
    placed: &mut Vec<(usize, usize)>,
    found: &mut Vec<Violation>,
) {
    for name in names {
        match world.pod_index.get(name) {
            Some(&pod) => placed.push((pod, host)),
            None => {
                let violation = Violation::new(Rule::UnknownName, "there is no such pod");
                found.push(violation.pod(name).host(host_name));
            }
        }
    }
}

fn resolve<'a, 'w>(
    name: String,
    printed: &'w PlannedClaim,
    host: usize,
    world: &'w World<'a>,
    found: &mut Vec<Violation>,
) -> Claim<'a, 'w> {
    let dialect = &world.dialect;
    let pool = world.pool(&printed.node_pool);
    let own = combine(&dialect.requirements(&printed.requirements), &dialect.labels(&printed.labels));
    let of_pool = pool.map(|pool| pool.requirements.clone()).unwrap_or_default();
    let requirements = combine(&own, &of_pool);
    let mut options = Vec::new();
    for type_name in &printed.instance_types {
        let types = pool.map(|pool| pool.types).unwrap_or_default();
        match types.iter().find(|kind| kind.name == *type_name) {
            Some(kind) => options.push(option(kind, &requirements, &of_pool, &name, world)),
            None => {
                let message = format!("NodePool {} has no instance type {type_name}", printed.node_pool);
                found.push(Violation::new(Rule::UnknownName, message).host(&name));
            }
        }
    }
    Claim { name, printed, pool, own, options, host }
}

/// What the provider may make of one instance type under these requirements.
pub(crate) fn option<'a>(
    kind: &'a InstanceType,
    requirements: &Requirements,
    defined: &Requirements,
    hostname: &str,
    world: &World<'_>,
) -> TypeOption<'a> {
    let dialect = &world.dialect;
    let of_type = dialect.requirements(&kind.requirements);
    let mut offerings = Vec::new();
    for offering in kind.offerings.iter().filter(|offering| offering.available) {
        let all = [requirements, &of_type, &offering_requirements(offering, dialect)];
        if let Some(mut look) = look_of(&all, defined, dialect) {
            look.retain(|key, _| world.keys.contains(key));
            look.insert(HOSTNAME.to_owned(), Allowed::exactly(hostname));
            offerings.push((offering, look));
        }
    }
    TypeOption { kind, offerings }
}
