//! Devices and claims on them.
//!
//! Invariant: sets are in order, each of their members once; of what a claim is, exactly one thing is said.

use std::collections::{BTreeMap, BTreeSet};

use purser_engine::model::{
    AllocatedDevice, ClaimKind, ClaimSource, DeviceAmount, DeviceAsk, DeviceCount, DeviceName, DevicePool,
    DevicePoolKey, DeviceReach, DeviceRequest, DeviceSelector, Holding, KindId, NodeName, PublishedDevice,
    ResourceClaim, SameAttribute, SelectorId, Str,
};
use purser_engine::reason::Reason;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::code::ClaimSourceCode;
use super::convert::{Reject, Wire, strictly_ascending};
use super::map::{LabelsV1, MapV1};
use super::plan::ReasonV1;
use super::requirement::RequirementsV1;

frozen! {
    /// What is asked of a single device.
    DeviceSelectorV1 = DeviceSelector { expressions: Vec<String>, capacity: MapV1<AmountV1> }

    /// What a claim asks for.
    ClaimKindV1 = ClaimKind { requests: Vec<DeviceRequestV1>, constraints: Vec<SameAttributeV1> }

    /// Devices for one purpose.
    DeviceRequestV1 = DeviceRequest { name: String, alternatives: Vec<DeviceAskV1> }

    /// Devices that a selector takes.
    DeviceAskV1 = DeviceAsk { name: Option<String>, selector: u32, count: CountV1 }

    /// Devices that must have an attribute in common.
    SameAttributeV1 = SameAttribute { attribute: String, asks: AsksV1 }

    /// A device by its name.
    DeviceNameV1 = DeviceName { driver: String, pool: String, device: String }

    /// A device that a claim was given.
    AllocatedDeviceV1 = AllocatedDevice { name: DeviceNameV1, consumed: MapV1<AmountV1> }

    /// A pool of devices on a node.
    DevicePoolKeyV1 = DevicePoolKey { node: String, driver: String, pool: String }

    /// What a driver published of it.
    DevicePoolV1 = DevicePool {
        complete: bool,
        counters: Vec<AmountV1>,
        devices: Vec<PublishedDeviceV1>,
        undecided: SelectorsV1,
    }

    /// A device as its driver published it.
    PublishedDeviceV1 = PublishedDevice {
        name: String,
        usable: bool,
        attributes: LabelsV1,
        counters: Vec<CounterV1>,
        capacity: Option<MapV1<AmountV1>>,
        takers: TakersV1,
    }
}

/// An amount of a counter or capacity: billionths in binary, a decimal number as text in JSON.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AmountV1(pub(crate) i128);

/// How many devices: nothing for all.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CountV1(pub(crate) Option<u32>);

/// Alternatives of requests, in order.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsksV1(pub(crate) Vec<AskV1>);

/// An alternative of a request.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct AskV1 {
    pub(crate) request: u32,
    pub(crate) alternative: u32,
}

/// Selectors by number, in order.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SelectorsV1(pub(crate) Vec<u32>);

/// What a device takes of a counter.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CounterV1 {
    pub(crate) counter: u32,
    pub(crate) amount: AmountV1,
}

/// The selectors that take a device, in order.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakersV1(pub(crate) Vec<TakerV1>);

/// A selector that takes a device, and what it needs of each of its capacities.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakerV1 {
    pub(crate) selector: u32,
    pub(crate) needs: Vec<AmountV1>,
}

/// What a claim asks for, or why it cannot be had.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WantedV1 {
    pub(crate) kind: Option<u32>,
    pub(crate) refused: Option<ReasonV1>,
}

/// A ResourceClaim: what it asks for, why it cannot be had, or what it has.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourceClaimV1 {
    pub(crate) kind: Option<u32>,
    pub(crate) refused: Option<ReasonV1>,
    pub(crate) allocated: Option<HoldingV1>,
}

/// What a claim has: the devices, and from where they can be reached (on nodes by name, on nodes by label, or from everywhere) or why that cannot be told.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldingV1 {
    pub(crate) devices: Vec<AllocatedDeviceV1>,
    pub(crate) nodes: Option<Vec<String>>,
    pub(crate) labels: Option<Vec<RequirementsV1>>,
    pub(crate) refused: Option<ReasonV1>,
}

/// Where a pod's claim comes from.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimSourceV1 {
    pub(crate) from: ClaimSourceCode,
    pub(crate) name: Option<String>,
}

// === impl AmountV1 ===

/// Billionths in a whole.
const WHOLE: u128 = 1_000_000_000;

impl AmountV1 {
    fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let parts: u128 = format!("{fraction:0<9}").parse().ok()?;
        let all = whole.parse::<u128>().ok()?.checked_mul(WHOLE)?.checked_add(parts)?;
        let amount = match i128::try_from(all) {
            Ok(amount) => sign * amount,
            // The least has no positive counterpart.
            Err(_) => (sign < 0 && all == i128::MIN.unsigned_abs()).then_some(i128::MIN)?,
        };
        (Self(amount).text() == text).then_some(Self(amount))
    }

    fn text(self) -> String {
        let (sign, all) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let fraction = format!("{:09}", all % WHOLE);
        match fraction.trim_end_matches('0') {
            "" => format!("{sign}{}", all / WHOLE),
            fraction => format!("{sign}{}.{fraction}", all / WHOLE),
        }
    }
}

impl Serialize for AmountV1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i128(self.0);
        }
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for AmountV1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is no amount")))
    }
}

impl Wire<DeviceAmount> for AmountV1 {
    fn from_domain(domain: &DeviceAmount) -> Self {
        Self(domain.0)
    }

    fn into_domain(self) -> Result<DeviceAmount, Reject> {
        Ok(DeviceAmount(self.0))
    }
}

impl Wire<BTreeMap<Str, DeviceAmount>> for MapV1<AmountV1> {
    fn from_domain(domain: &BTreeMap<Str, DeviceAmount>) -> Self {
        Self(
            domain
                .iter()
                .map(|(name, amount)| (name.as_ref().to_owned(), Wire::from_domain(amount)))
                .collect(),
        )
    }

    fn into_domain(self) -> Result<BTreeMap<Str, DeviceAmount>, Reject> {
        self.0.into_iter().map(|(name, amount)| Ok((name.into(), amount.into_domain()?))).collect()
    }
}

// === impl CountV1 and other numbers ===

/// A place in a list. Nothing that fits into a record has more.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Wire<DeviceCount> for CountV1 {
    fn from_domain(domain: &DeviceCount) -> Self {
        Self(match domain {
            DeviceCount::Exactly(count) => Some(number(*count)),
            DeviceCount::All => None,
        })
    }

    fn into_domain(self) -> Result<DeviceCount, Reject> {
        Ok(self.0.map_or(DeviceCount::All, |count| DeviceCount::Exactly(count as usize)))
    }
}

impl Wire<BTreeSet<(usize, usize)>> for AsksV1 {
    fn from_domain(domain: &BTreeSet<(usize, usize)>) -> Self {
        let ask = |(request, alternative): &(usize, usize)| AskV1 {
            request: number(*request),
            alternative: number(*alternative),
        };
        Self(domain.iter().map(ask).collect())
    }

    fn into_domain(self) -> Result<BTreeSet<(usize, usize)>, Reject> {
        if !strictly_ascending(&self.0) {
            return Err(Reject::new("the requests are not in order"));
        }
        Ok(self.0.iter().map(|ask| (ask.request as usize, ask.alternative as usize)).collect())
    }
}

impl Wire<BTreeSet<SelectorId>> for SelectorsV1 {
    fn from_domain(domain: &BTreeSet<SelectorId>) -> Self {
        Self(domain.iter().map(|id| id.0).collect())
    }

    fn into_domain(self) -> Result<BTreeSet<SelectorId>, Reject> {
        if !strictly_ascending(&self.0) {
            return Err(Reject::new("the selectors are not in order"));
        }
        Ok(self.0.into_iter().map(SelectorId).collect())
    }
}

impl Wire<(usize, DeviceAmount)> for CounterV1 {
    fn from_domain((counter, amount): &(usize, DeviceAmount)) -> Self {
        Self { counter: number(*counter), amount: Wire::from_domain(amount) }
    }

    fn into_domain(self) -> Result<(usize, DeviceAmount), Reject> {
        Ok((self.counter as usize, self.amount.into_domain()?))
    }
}

impl Wire<BTreeMap<SelectorId, Vec<DeviceAmount>>> for TakersV1 {
    fn from_domain(domain: &BTreeMap<SelectorId, Vec<DeviceAmount>>) -> Self {
        let taker = |(id, needs): (&SelectorId, &Vec<DeviceAmount>)| TakerV1 {
            selector: id.0,
            needs: Wire::from_domain(needs),
        };
        Self(domain.iter().map(taker).collect())
    }

    fn into_domain(self) -> Result<BTreeMap<SelectorId, Vec<DeviceAmount>>, Reject> {
        if !self.0.is_sorted_by(|one, next| one.selector < next.selector) {
            return Err(Reject::new("the selectors are not in order"));
        }
        self.0.into_iter().map(|one| Ok((SelectorId(one.selector), one.needs.into_domain()?))).collect()
    }
}

// === impl WantedV1 ===

impl Wire<Result<KindId, Reason>> for WantedV1 {
    fn from_domain(domain: &Result<KindId, Reason>) -> Self {
        Self {
            kind: domain.as_ref().ok().map(|id| id.0),
            refused: domain.as_ref().err().map(Wire::from_domain),
        }
    }

    fn into_domain(self) -> Result<Result<KindId, Reason>, Reject> {
        match (self.kind, self.refused) {
            (Some(kind), None) => Ok(Ok(KindId(kind))),
            (None, Some(reason)) => reason.into_domain().map(Err),
            _ => Err(Reject::new("there is not one of a kind and a reason")),
        }
    }
}

// === impl ResourceClaimV1 ===

impl Wire<ResourceClaim> for ResourceClaimV1 {
    fn from_domain(domain: &ResourceClaim) -> Self {
        let nothing = Self { kind: None, refused: None, allocated: None };
        match domain {
            ResourceClaim::Open(kind) => Self { kind: Some(kind.0), ..nothing },
            ResourceClaim::Refused(reason) => Self { refused: Some(Wire::from_domain(reason)), ..nothing },
            ResourceClaim::Allocated(holding) => {
                Self { allocated: Some(Wire::from_domain(holding)), ..nothing }
            }
        }
    }

    fn into_domain(self) -> Result<ResourceClaim, Reject> {
        match (self.kind, self.refused, self.allocated) {
            (Some(kind), None, None) => Ok(ResourceClaim::Open(KindId(kind))),
            (None, Some(reason), None) => reason.into_domain().map(ResourceClaim::Refused),
            (None, None, Some(holding)) => holding.into_domain().map(ResourceClaim::Allocated),
            _ => Err(Reject::new("there is not one of a kind, a reason and an allocation")),
        }
    }
}

// === impl HoldingV1 ===

impl Wire<Holding> for HoldingV1 {
    fn from_domain(domain: &Holding) -> Self {
        let Holding { devices, reach } = domain;
        let (nodes, labels, refused) = match reach {
            Ok(DeviceReach::Nodes(names)) => {
                (Some(names.iter().map(|name| name.as_str().to_owned()).collect()), None, None)
            }
            Ok(DeviceReach::Labels(places)) => (None, Some(Wire::from_domain(places)), None),
            Ok(DeviceReach::Anywhere) => (None, None, None),
            Err(reason) => (None, None, Some(Wire::from_domain(reason))),
        };
        Self { devices: Wire::from_domain(devices), nodes, labels, refused }
    }

    fn into_domain(self) -> Result<Holding, Reject> {
        let reach = match (self.nodes, self.labels, self.refused) {
            (Some(nodes), None, None) if strictly_ascending(&nodes) => {
                Ok(DeviceReach::Nodes(nodes.into_iter().map(NodeName::new).collect()))
            }
            (Some(_), None, None) => return Err(Reject::new("the nodes are not in order")),
            (None, Some(places), None) => Ok(DeviceReach::Labels(places.into_domain()?)),
            (None, None, None) => Ok(DeviceReach::Anywhere),
            (None, None, Some(reason)) => Err(reason.into_domain()?),
            _ => return Err(Reject::new("it is reached in more than one way")),
        };
        Ok(Holding { devices: self.devices.into_domain()?, reach })
    }
}

// === impl ClaimSourceV1 ===

impl Wire<ClaimSource> for ClaimSourceV1 {
    fn from_domain(domain: &ClaimSource) -> Self {
        let (from, name) = match domain {
            ClaimSource::Named(name) => (ClaimSourceCode::Named, Some(name)),
            ClaimSource::Made(name) => (ClaimSourceCode::Made, Some(name)),
            ClaimSource::Template(name) => (ClaimSourceCode::Template, Some(name)),
            ClaimSource::NotNeeded => (ClaimSourceCode::NotNeeded, None),
        };
        Self { from, name: name.map(|name| name.as_ref().to_owned()) }
    }

    fn into_domain(self) -> Result<ClaimSource, Reject> {
        match (self.from, self.name.map(Str::from)) {
            (ClaimSourceCode::Named, Some(name)) => Ok(ClaimSource::Named(name)),
            (ClaimSourceCode::Made, Some(name)) => Ok(ClaimSource::Made(name)),
            (ClaimSourceCode::Template, Some(name)) => Ok(ClaimSource::Template(name)),
            (ClaimSourceCode::NotNeeded, None) => Ok(ClaimSource::NotNeeded),
            _ => Err(Reject::new("a claim that is needed has a name, and no other has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn an_amount_has_one_form_for_people() {
        for (amount, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (-2_000_000_000, "-2"),
            (80 << 60, "92233720368.54775808"),
            (i128::MAX, "170141183460469231731687303715.884105727"),
            (i128::MIN, "-170141183460469231731687303715.884105728"),
        ] {
            let amount = AmountV1(amount);
            assert_eq!(serde_json::to_string(&amount).unwrap(), format!("{text:?}"));
            assert_eq!(serde_json::from_str::<AmountV1>(&format!("{text:?}")).unwrap(), amount);
            assert_eq!(codec::decode::<AmountV1>(&codec::encode(&amount).unwrap()).unwrap(), amount);
        }
        for odd in ["", "-", "1.", "1.50", "01", "+1", "1e3", ".5", "-0", "1.0000000001"] {
            assert!(serde_json::from_str::<AmountV1>(&format!("{odd:?}")).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_says_two_things_is_refused() {
        let reason =
            || Some(ReasonV1::from_domain(&Reason::new(purser_engine::reason::ReasonId::TooLarge, [])));
        assert!(WantedV1 { kind: Some(1), refused: reason() }.into_domain().is_err());
        assert!(WantedV1 { kind: None, refused: None }.into_domain().is_err());
        assert!(ResourceClaimV1 { kind: Some(1), refused: reason(), allocated: None }.into_domain().is_err());
        let holding = |nodes: Option<&[&str]>, refused| HoldingV1 {
            devices: Vec::new(),
            nodes: nodes.map(|nodes| nodes.iter().map(|name| (*name).to_owned()).collect()),
            labels: None,
            refused,
        };
        assert!(holding(Some(&["a", "b"]), None).into_domain().is_ok());
        assert!(holding(Some(&["b", "a"]), None).into_domain().is_err());
        assert!(holding(Some(&["a"]), reason()).into_domain().is_err());
        assert!(
            ClaimSourceV1 { from: ClaimSourceCode::NotNeeded, name: Some("x".to_owned()) }
                .into_domain()
                .is_err()
        );
        assert!(ClaimSourceV1 { from: ClaimSourceCode::Made, name: None }.into_domain().is_err());
        assert!(SelectorsV1(vec![2, 1]).into_domain().is_err());
    }
}
