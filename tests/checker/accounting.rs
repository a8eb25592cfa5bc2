//! Each pending pod exactly once, and prices that add up.
//!
//! Invariant: a pod that the result does not account for is never silently forgiven.

use std::collections::BTreeMap;

use crate::eligible::reason_to_ignore;
use crate::model::Outcome;
use crate::plan::Plan;
use crate::violation::{Rule, Violation};
use crate::world::World;

pub(crate) fn check_pods(
    plan: &Plan<'_, '_>,
    outcome: &Outcome,
    world: &World<'_>,
    found: &mut Vec<Violation>,
) {
    let mut seen: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for &(pod, host) in &plan.placed {
        seen.entry(pod).or_default().push(plan.hosts[host].name.clone());
    }
    let lists = [
        ("podErrors", outcome.pod_errors.keys().collect::<Vec<_>>()),
        ("ignoredPods", outcome.ignored_pods.iter().collect()),
    ];
    for (list, names) in lists {
        for name in names {
            match world.pod_index.get(name) {
                Some(&pod) => seen.entry(pod).or_default().push(list.to_owned()),
                None => {
                    let message = format!("{list} names a pod that does not exist");
                    found.push(Violation::new(Rule::UnknownName, message).pod(name));
                }
            }
        }
    }
    for (&pod, places) in &seen {
        let key = &world.pods[pod].key;
        if places.len() > 1 {
            let message = format!("the pod is accounted for {} times: {}", places.len(), places.join(", "));
            found.push(Violation::new(Rule::PodLostOrDoubled, message).pod(key));
        }
        if !world.pending.contains(&pod) && !places.iter().all(|place| place == "ignoredPods") {
            let message = format!("the pod is not pending, yet in {}", places.join(", "));
            found.push(Violation::new(Rule::UnknownName, message).pod(key));
        }
    }
    for &pod in &world.pending {
        let (pod, places) = (&world.pods[pod], seen.get(&pod));
        match places {
            None => {
                let message = "the pod is pending, and the result does not mention it";
                found.push(Violation::new(Rule::PodLostOrDoubled, message).pod(&pod.key));
            }
            Some(places) if places.iter().any(|place| place == "ignoredPods") => {
                // Without any NodePool nothing is decided at all.
                let usable = world.pools.iter().any(|pool| pool.unusable.is_none());
                if usable && reason_to_ignore(pod, &world.dialect).is_none() {
                    let message = "the pod is ignored, though it is pending and nothing is wrong with it";
                    found.push(Violation::new(Rule::IgnoredEligible, message).pod(&pod.key));
                }
            }
            Some(_) => {}
        }
    }
}

/// Prices are compared with this relative tolerance: they are sums of decimal fractions.
const TOLERANCE: f64 = 1e-9;

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
}

pub(crate) fn check_prices(plan: &Plan<'_, '_>, outcome: &Outcome, found: &mut Vec<Violation>) {
    let mut sum = 0.0;
    for claim in &plan.claims {
        let mut report = |message: String| found.push(Violation::new(Rule::Price, message).host(&claim.name));
        let priced: Vec<(&str, f64)> = claim
            .options
            .iter()
            .filter_map(|option| {
                let prices = option.offerings.iter().map(|(offering, _)| offering.price);
                Some((option.kind.name.as_str(), prices.min_by(f64::total_cmp)?))
            })
            .collect();
        for pair in priced.windows(2) {
            let [(first, less), (second, more)] = pair else { continue };
            if less > more && !same(*less, *more) {
                report(format!("{first} at {less} is listed before the cheaper {second} at {more}"));
            }
        }
        let Some(&(_, cheapest)) = priced.iter().min_by(|one, other| one.1.total_cmp(&other.1)) else {
            continue;
        };
        sum += cheapest;
        if let Some(said) = claim.printed.cheapest_price.filter(|&said| !same(said, cheapest)) {
            report(format!("cheapestPrice is {said}, the cheapest offering costs {cheapest}"));
        }
        if let Some(name) = &claim.printed.cheapest_instance_type {
            let price = priced.iter().find(|(one, _)| one == name).map(|(_, price)| *price);
            if price.is_none_or(|price| !same(price, cheapest)) {
                report(format!("cheapestInstanceType is {name}, but the cheapest costs {cheapest}"));
            }
        }
    }
    if let Some(said) = outcome.total_price_per_hour.filter(|&said| !same(said, sum)) {
        let message = format!("totalPricePerHour is {said}, the claims cost {sum}");
        found.push(Violation::new(Rule::Price, message));
    }
}
