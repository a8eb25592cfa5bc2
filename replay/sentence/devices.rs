//! Events about devices and claims on them, each as one sentence.
//!
//! **Invariant:** as for all sentences.

use purser_engine::event::Fact;
use purser_engine::model::{
    ClaimKind, ClaimSource, DeviceAmount, DeviceCount, DeviceName, DevicePool, DevicePoolKey, DeviceReach,
    Holding, ResourceClaim,
};

use crate::text;

/// So many names are told.
const FEW: usize = 3;

/// A fact about devices in words.
pub(super) fn of(fact: &Fact) -> String {
    match fact {
        Fact::DeviceSelectorDefined { id, selector } => {
            let mut asks: Vec<String> = selector.expressions.iter().map(ToString::to_string).collect();
            asks.extend(
                selector.capacity.iter().map(|(name, least)| format!("{name} >= {}", amount(*least))),
            );
            let asks = if asks.is_empty() { "anything".to_owned() } else { asks.join(" and ") };
            format!("device selector {}: {asks}", id.0)
        }
        Fact::ClaimKindDefined { id, kind } => format!("claim kind {}: {}", id.0, of_kind(kind)),
        Fact::ResourceClaimObserved { claim, facts } => match facts {
            ResourceClaim::Open(kind) => format!("resourceclaim {claim} has no devices yet, kind {}", kind.0),
            ResourceClaim::Refused(reason) => format!("resourceclaim {claim} cannot be had: {reason}"),
            ResourceClaim::Allocated(holding) => format!("resourceclaim {claim} has {}", of_holding(holding)),
        },
        Fact::ResourceClaimDeleted { claim } => format!("resourceclaim {claim} is gone"),
        Fact::ClaimTemplateObserved { template, kind } => match kind {
            Ok(kind) => format!("resourceclaimtemplate {template} makes claims of kind {}", kind.0),
            Err(reason) => {
                format!("resourceclaimtemplate {template} makes claims that cannot be had: {reason}")
            }
        },
        Fact::ClaimTemplateDeleted { template } => format!("resourceclaimtemplate {template} is gone"),
        Fact::PodClaimsObserved { pod, claims } if claims.is_empty() => {
            format!("the resource claims of pod {pod} are no longer known")
        }
        Fact::PodClaimsObserved { pod, claims } => {
            format!("pod {pod} has {}", text::few(claims.iter().map(of_source), FEW))
        }
        Fact::DevicePoolObserved { key, pool } => format!("{} has {}", of_key(key), of_pool(pool)),
        Fact::DevicePoolDeleted { key } => format!("{} is gone", of_key(key)),
        Fact::WideSelectorsObserved { selectors } => {
            let count = text::count(selectors.len(), "device selector");
            format!("devices that are not of one node alone may be taken by {count}")
        }
        _ => unreachable!("the others are not about devices"),
    }
}

fn amount(amount: DeviceAmount) -> String {
    const WHOLE: u128 = 1_000_000_000;
    let (sign, all) = (if amount.0 < 0 { "-" } else { "" }, amount.0.unsigned_abs());
    let fraction = format!("{:09}", all % WHOLE);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}", all / WHOLE),
        fraction => format!("{sign}{}.{fraction}", all / WHOLE),
    }
}

fn of_kind(kind: &ClaimKind) -> String {
    let requests = kind.requests.iter().map(|request| {
        let asks = request.alternatives.iter().map(|ask| {
            let count = match ask.count {
                DeviceCount::Exactly(count) => count.to_string(),
                DeviceCount::All => "all".to_owned(),
            };
            format!("{count} of selector {}", ask.selector.0)
        });
        format!("{} is {}", request.name, asks.collect::<Vec<_>>().join(" or else "))
    });
    let mut parts: Vec<String> = requests.collect();
    parts.extend(kind.constraints.iter().map(|one| format!("alike in {}", one.attribute)));
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn of_name(name: &DeviceName) -> String {
    format!("{}/{}/{}", name.driver, name.pool, name.device)
}

fn of_holding(holding: &Holding) -> String {
    let devices = text::count(holding.devices.len(), "device");
    let names = text::few(holding.devices.iter().map(|device| of_name(&device.name)), FEW);
    let names = if names.is_empty() { names } else { format!(" ({names})") };
    match &holding.reach {
        Ok(DeviceReach::Nodes(nodes)) => format!("{devices}{names} on node {}", text::few(nodes, FEW)),
        Ok(DeviceReach::Labels(_)) => format!("{devices}{names} on nodes with certain labels"),
        Ok(DeviceReach::Anywhere) => format!("{devices}{names}"),
        Err(reason) => format!("{devices}{names}, nobody knows where: {reason}"),
    }
}

fn of_source(source: &ClaimSource) -> String {
    match source {
        ClaimSource::Named(name) => format!("resourceclaim {name}"),
        ClaimSource::Made(name) => format!("resourceclaim {name}, made for it"),
        ClaimSource::Template(name) => format!("a resourceclaim yet to be made of template {name}"),
        ClaimSource::NotNeeded => "a claim that it does not need".to_owned(),
    }
}

fn of_key(key: &DevicePoolKey) -> String {
    format!("device pool {}/{} on node {}", key.driver, key.pool, key.node)
}

fn of_pool(pool: &DevicePool) -> String {
    let usable = pool.devices.iter().filter(|device| device.usable).count();
    let devices = text::count(pool.devices.len(), "device");
    let unusable = pool.devices.len() - usable;
    let unusable = if unusable > 0 { format!(", {unusable} of them not usable") } else { String::new() };
    let incomplete = if pool.complete { "" } else { ", and was not published in full" };
    format!("{devices}{unusable}{incomplete}")
}
