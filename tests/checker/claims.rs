//! Rules for planned claims.
//!
//! Invariant: each instance type that a claim lists is judged by itself, since the provider may take any of them.

use std::collections::BTreeSet;

use crate::demand::look;
use crate::fit::{check_pod, daemons_on, misfit};
use crate::plan::{Claim, Plan};
use crate::pod::Pod;
use crate::quantity::{Quantity, Resources, add_to, amount};
use crate::sets::{Allowed, CAPACITY_TYPE, HOSTNAME};
use crate::taints::describe;
use crate::violation::{Rule, Violation};
use crate::world::World;

pub(crate) fn check(plan: &Plan<'_, '_>, world: &World<'_>, found: &mut Vec<Violation>) {
    for claim in &plan.claims {
        let mut report = Vec::new();
        let pods: Vec<&Pod<'_>> = plan.new_pods(claim.host).map(|pod| &world.pods[pod]).collect();
        check_pool(claim, world, &mut report);
        check_types(claim, &pods, world, &mut report);
        check_minimum_values(claim, world, &mut report);
        check_resources(claim, &pods, world, &mut report);
        found.extend(report.into_iter().map(|violation| violation.host(&claim.name)));
        for pod in &pods {
            check_pod(pod, &plan.hosts[claim.host], world, found);
            if world.is_expendable(pod) {
                let message = "the pod is expendable, and a node is launched for it";
                found.push(Violation::new(Rule::Expendable, message).pod(&pod.key).host(&claim.name));
            }
        }
        if pods.is_empty() {
            let nothing = Violation::new(Rule::PodLostOrDoubled, "the claim is for no pod");
            found.push(nothing.host(&claim.name));
        }
    }
}

fn check_pool(claim: &Claim<'_, '_>, world: &World<'_>, report: &mut Vec<Violation>) {
    let name = &claim.printed.node_pool;
    let Some(pool) = claim.pool else {
        report.push(Violation::new(Rule::UnknownName, format!("there is no NodePool {name}")));
        return;
    };
    if let Some(why) = &pool.unusable {
        report.push(Violation::new(Rule::NodePoolUnusable, format!("NodePool {name} {why}")));
    }
    for (key, theirs) in &pool.declared {
        let ours = claim.own.get(key).cloned().unwrap_or_else(Allowed::anything);
        // The label is put on by the pool, so only its values are at stake.
        if !ours.values_within(theirs) {
            let message = format!("the claim lets {key} be {ours}, NodePool {name} {theirs}");
            report.push(Violation::new(Rule::NodePoolRequirement, message));
        }
    }
    for (key, ours) in &claim.own {
        let defined = world.dialect.is_well_known(key) || pool.requirements.contains_key(key);
        if !defined && !ours.absent && key != HOSTNAME {
            let message =
                format!("the claim wants {key} to be {ours}, which NodePool {name} does not define");
            report.push(Violation::new(Rule::NodePoolRequirement, message));
        }
    }
    for taint in pool.taints {
        if !claim.printed.taints.iter().any(|other| other == taint) {
            let message = format!("the claim lacks the taint {} of NodePool {name}", describe(taint));
            report.push(Violation::new(Rule::Taint, message));
        }
    }
}

fn check_types(claim: &Claim<'_, '_>, pods: &[&Pod<'_>], world: &World<'_>, report: &mut Vec<Violation>) {
    let listed = &claim.printed.instance_types;
    if listed.is_empty() {
        report.push(Violation::new(Rule::InstanceTypeUnavailable, "the claim lists no instance type"));
    }
    let distinct: BTreeSet<&String> = listed.iter().collect();
    if distinct.len() < listed.len() {
        report.push(Violation::new(Rule::UnknownName, "an instance type is listed twice"));
    }
    if let Some(most) = world.scenario.settings.max_instance_types.filter(|&most| listed.len() > most) {
        let message = format!("{} instance types are listed, {most} are allowed", listed.len());
        report.push(Violation::new(Rule::TooManyInstanceTypes, message));
    }
    // A claim that holds a reservation keeps types that are not reserved in its list; the provider passes over them.
    let launchable = claim.options.iter().any(|option| !option.offerings.is_empty());
    let forgiven = launchable && holds_reservation(claim);
    for option in &claim.options {
        let name = &option.kind.name;
        if option.offerings.is_empty() {
            if forgiven {
                continue;
            }
            let message = format!("{name} has no available offering that the claim's requirements allow");
            report.push(Violation::new(Rule::InstanceTypeUnavailable, message));
            continue;
        }
        let taints = claim.pool.map(|pool| pool.taints).unwrap_or_default();
        if let Some((rule, message)) = misfit(option, pods, taints, world) {
            report.push(Violation::new(rule, message));
        }
    }
}

fn holds_reservation(claim: &Claim<'_, '_>) -> bool {
    claim.own.get(CAPACITY_TYPE).and_then(Allowed::single) == Some("reserved")
}

/// Across the listed types, each key with `minValues` has to have that many values.
fn check_minimum_values(claim: &Claim<'_, '_>, world: &World<'_>, report: &mut Vec<Violation>) {
    let Some(pool) = claim.pool.filter(|_| world.minimum_values_are_strict()) else { return };
    for (key, &least) in &pool.min_values {
        let mut values = BTreeSet::new();
        for option in &claim.options {
            let of_type = world.dialect.requirements(&option.kind.requirements);
            values.extend(look(&of_type, key).listed().into_iter().flatten().cloned());
        }
        if (values.len() as u64) < least {
            let message = format!("the types have {} values of {key}, {least} are demanded", values.len());
            report.push(Violation::new(Rule::MinValues, message));
        }
    }
}

/// What the claim asks of the provider has to cover what will run there whichever type it becomes.
fn check_resources(claim: &Claim<'_, '_>, pods: &[&Pod<'_>], world: &World<'_>, report: &mut Vec<Violation>) {
    let printed = &claim.printed.resources;
    if printed.is_empty() {
        return;
    }
    let taints = claim.pool.map(|pool| pool.taints).unwrap_or_default();
    let mut least: Option<Resources> = None;
    for option in &claim.options {
        for (_, profile) in &option.offerings {
            let mut total = Resources::new();
            let daemons = daemons_on(profile, taints, world);
            for daemon in daemons.into_iter().filter(|daemon| daemon.runs_on(profile, taints)) {
                add_to(&mut total, &daemon.requests);
            }
            least = Some(match least {
                None => total,
                Some(known) => known
                    .into_iter()
                    .map(|(name, quantity)| (name.clone(), quantity.min(amount(&total, &name))))
                    .collect(),
            });
        }
    }
    // Of a type that cannot be launched nobody knows which daemon sets would run there.
    if claim.options.iter().any(|option| option.offerings.is_empty()) {
        least = None;
    }
    let mut needed = least.unwrap_or_default();
    for pod in pods {
        add_to(&mut needed, &pod.requests);
    }
    for (name, quantity) in needed {
        let said = amount(printed, &name);
        if quantity > said && quantity > Quantity::ZERO {
            let message = format!("the claim requests {said} of {name}, its pods and daemon sets {quantity}");
            report.push(Violation::new(Rule::DaemonOverhead, message));
        }
    }
}
