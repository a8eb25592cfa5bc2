//! Fixed events about devices and claims on them.
//!
//! Invariant: that of all samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::event::Fact;
use purser_engine::model::{
    AllocatedDevice, ClaimKind, ClaimSource, DeviceAmount, DeviceAsk, DeviceCount, DevicePool, DevicePoolKey,
    DeviceReach, DeviceRequest, DeviceSelector, Holding, KindId, PodKey, PublishedDevice, ResourceClaim,
    SameAttribute, SelectorId, Str,
};

use super::parts::{node, pod, reason, requirements, text};
use super::{Sample, sample};

const DRIVER: &str = "gpu.example.com";

fn amount(billionths: i128) -> DeviceAmount {
    DeviceAmount(billionths)
}

fn memory(gib: i128) -> BTreeMap<Str, DeviceAmount> {
    [(text("memory"), amount((gib << 30) * 1_000_000_000))].into()
}

fn key() -> DevicePoolKey {
    DevicePoolKey { node: node(), driver: text(DRIVER), pool: text("gpus") }
}

fn kind() -> ClaimKind {
    let ask = |name: Option<&str>, selector, count| DeviceAsk {
        name: name.map(text),
        selector: SelectorId(selector),
        count,
    };
    let whole = vec![ask(None, 0, DeviceCount::Exactly(2))];
    let parts = vec![ask(Some("large"), 1, DeviceCount::Exactly(1)), ask(Some("all"), 2, DeviceCount::All)];
    ClaimKind {
        requests: vec![
            DeviceRequest { name: text("whole"), alternatives: whole },
            DeviceRequest { name: text("parts"), alternatives: parts },
        ],
        constraints: vec![SameAttribute {
            attribute: text("resource.kubernetes.io/pcieRoot"),
            asks: [(0, 0), (1, 1)].into(),
        }],
    }
}

fn pool() -> DevicePool {
    let device = |name: &str| PublishedDevice {
        name: text(name),
        usable: true,
        attributes: BTreeMap::new(),
        counters: Vec::new(),
        capacity: None,
        takers: [(SelectorId(0), Vec::new())].into(),
    };
    let part = PublishedDevice {
        usable: false,
        attributes: [(text("resource.kubernetes.io/pcieRoot"), text("string pci0000:01"))].into(),
        counters: vec![(0, amount(1_000_000_000)), (1, amount(500_000_000))],
        ..device("gpu-0-part-0")
    };
    let shared = PublishedDevice {
        capacity: Some(memory(40)),
        takers: [(SelectorId(0), vec![memory(40)["memory"]]), (SelectorId(2), vec![memory(8)["memory"]])]
            .into(),
        ..device("gpu-1")
    };
    DevicePool {
        complete: true,
        counters: vec![amount(7_000_000_000), amount(2_500_000_000)],
        devices: vec![device("gpu-0"), part, shared],
        undecided: [SelectorId(1)].into(),
    }
}

fn holding(reach: DeviceReach) -> ResourceClaim {
    let device = |name: &str, consumed| AllocatedDevice { name: key().device(&text(name)), consumed };
    let devices = vec![device("gpu-0", BTreeMap::new()), device("gpu-1", memory(8))];
    ResourceClaim::Allocated(Holding { devices, reach: Ok(reach) })
}

pub(super) fn all() -> Vec<Sample> {
    let claim = || PodKey::new("web", "web-7d4b9c-x2x7k-gpu-4hj2s");
    let observed = |facts| Fact::ResourceClaimObserved { claim: claim(), facts };
    let template = || PodKey::new("web", "gpu");
    let expressions = vec![
        text("device.driver == 'gpu.example.com'"),
        text("device.attributes['gpu.example.com'].model == 'x'"),
    ];
    let selector = |expressions, capacity| Fact::DeviceSelectorDefined {
        id: SelectorId(2),
        selector: Arc::new(DeviceSelector { expressions, capacity }),
    };
    let nowhere = Holding { devices: Vec::new(), reach: Err(reason()) };
    let empty = DevicePool {
        complete: false,
        counters: Vec::new(),
        devices: Vec::new(),
        undecided: Default::default(),
    };
    let sources = vec![
        ClaimSource::Named(text("shared")),
        ClaimSource::Made(text("web-7d4b9c-x2x7k-gpu-4hj2s")),
        ClaimSource::Template(text("gpu")),
        ClaimSource::NotNeeded,
    ];
    vec![
        sample("", selector(expressions, memory(8))),
        sample("bare", selector(Vec::new(), BTreeMap::new())),
        sample("", Fact::ClaimKindDefined { id: KindId(3), kind: Arc::new(kind()) }),
        sample("", observed(holding(DeviceReach::Nodes([node()].into())))),
        sample("by-labels", observed(holding(DeviceReach::Labels(vec![requirements()])))),
        sample("anywhere", observed(holding(DeviceReach::Anywhere))),
        sample("unreachable", observed(ResourceClaim::Allocated(nowhere))),
        sample("open", observed(ResourceClaim::Open(KindId(3)))),
        sample("refused", observed(ResourceClaim::Refused(reason()))),
        sample("", Fact::ResourceClaimDeleted { claim: claim() }),
        sample("", Fact::ClaimTemplateObserved { template: template(), kind: Ok(KindId(3)) }),
        sample("refused", Fact::ClaimTemplateObserved { template: template(), kind: Err(reason()) }),
        sample("", Fact::ClaimTemplateDeleted { template: template() }),
        sample("", Fact::PodClaimsObserved { pod: pod(), claims: sources }),
        sample("bare", Fact::PodClaimsObserved { pod: pod(), claims: Vec::new() }),
        sample("", Fact::DevicePoolObserved { key: key(), pool: Arc::new(pool()) }),
        sample("bare", Fact::DevicePoolObserved { key: key(), pool: Arc::new(empty) }),
        sample("", Fact::DevicePoolDeleted { key: key() }),
        sample("", Fact::WideSelectorsObserved { selectors: [SelectorId(1), SelectorId(4)].into() }),
        sample("bare", Fact::WideSelectorsObserved { selectors: Default::default() }),
    ]
}
