//! How long payloads are: the promises of the design and of docs/events.md.

use purser_engine::event::{Decision, Event, Fact, LaunchOption, Place, SpecId, Target};
use purser_engine::model::{CapacityType, PodKey, PodPhase, Price, Requirements, Resources, Uid};
use purser_engine::reason::{Reason, ReasonId};

use super::samples;
use crate::codec::MAX_LEN;
use crate::wire::{self, WireError};

fn len(event: impl Into<Event>) -> usize {
    wire::encode(&event.into()).unwrap().payload.len()
}

#[test]
fn a_pods_life_is_short() {
    let (pod, node) = (samples::pod(), samples::node());
    let observed = Fact::PodObserved {
        pod: pod.clone(),
        uid: Uid(u128::MAX),
        spec: SpecId(300),
        created: samples::MOMENT,
        phase: PodPhase::Pending,
        node: None,
    };
    let claim = || Target::Claim("default-x7k2p".into());
    let life = [
        len(observed),
        len(Decision::Nominate { target: claim(), pods: vec![pod.clone()] }),
        len(Fact::PodBound { pod: pod.clone(), node }),
        len(Fact::PodPhaseChanged {
            pod: pod.clone(),
            phase: PodPhase::Terminating,
            started: None,
            ends: Some(samples::MOMENT),
        }),
        len(Fact::PodDeleted { pod }),
    ];
    assert_eq!(life, [59, 46, 55, 41, 29]);
    assert!(life.iter().sum::<usize>() < 500);
}

fn pods(count: usize) -> Vec<PodKey> {
    let pod = |n: usize| {
        PodKey::new(
            "a-namespace-with-a-name-of-forty-letters",
            format!("a-deployment-with-a-longer-name-{n:08}"),
        )
    };
    (0..count).map(pod).collect()
}

fn launch(pods: Vec<PodKey>) -> Event {
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"];
    let place = |zone: &str, capacity_type| Place { zone: zone.into(), capacity_type };
    let both = |zone| [place(zone, CapacityType::Spot), place(zone, CapacityType::OnDemand)];
    let option = |n: i64| LaunchOption {
        instance_type: format!("m7gd-flex.{n}xlarge").as_str().into(),
        places: 0xff,
        price: Price(1_000_000 * n),
    };
    Decision::Launch {
        claim: "default-x7k2p".into(),
        pool: "default".into(),
        hash: "10550134223419422212".into(),
        requirements: Requirements::new(),
        requests: Resources::default(),
        pods,
        places: zones.into_iter().flat_map(both).collect(),
        options: (0..60).map(option).collect(),
        reserved: Resources::default(),
        considered: 722,
    }
    .into()
}

#[test]
fn a_launch_of_a_thousand_pods_fits() {
    let one = len(launch(pods(1)));
    assert_eq!((one, len(launch(pods(1_000)))), (1_845, 42_806));
    // Each in a namespace of its own is the worst there is.
    let scattered = |n: usize| {
        let pods = pods(n).into_iter().enumerate();
        pods.map(|(n, pod)| PodKey::new(format!("{:0>38}{}", "", n % 2), pod.name)).collect()
    };
    assert!(len(launch(scattered(700))) < MAX_LEN);
}

#[test]
fn what_is_too_long_is_refused_with_its_length() {
    let reason = Reason::new(ReasonId::NoNodePool, []);
    let error = wire::encode(&Decision::Unschedulable { pods: pods(10_000), reason }.into()).unwrap_err();
    assert!(
        matches!(error, WireError::TooLarge { kind: "unschedulable", len } if len > MAX_LEN as u64),
        "{error}"
    );
    assert!(
        error.to_string().ends_with("bytes is longer than a record can be, 65536 bytes: split it"),
        "{error}"
    );
}
