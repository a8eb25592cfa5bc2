//! Older schemas, unknown ones, and the table's own rules. A kind that exists in this test alone has more schemas than any other.

use purser_engine::event::{Control, Event, Fact};
use purser_engine::model::NodeName;
use purser_engine::settings::Settings;

use super::{file, samples};
use crate::codec;
use crate::wire::{self, Class, Kind, WireError};

/// A domain event that has grown: at first it was only a node, then it got an instance, then a count.
pub(super) enum Trial {
    Measured { node: NodeName, instance: Option<NodeName>, count: u32 },
}

impl From<Trial> for Event {
    fn from(trial: Trial) -> Self {
        let Trial::Measured { node, instance, count } = trial;
        let driver = format!("{node} {instance:?} {count}").into();
        let claim = purser_engine::model::PodKey::new("trial", node.as_str());
        Fact::VolumeClaimObserved { claim, topologies: Vec::new(), driver, problem: None }.into()
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MeasuredV1 {
    node: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MeasuredV2 {
    host: String,
    instance: Option<String>,
}

impl From<MeasuredV1> for MeasuredV2 {
    fn from(old: MeasuredV1) -> Self {
        Self { host: old.node, instance: None }
    }
}

impl From<MeasuredV2> for MeasuredV3 {
    fn from(old: MeasuredV2) -> Self {
        Self { node: old.host, instance: old.instance, n: 1 }
    }
}

kinds! { Trial as Observation;
    /// A trial.
    999 "trial" Measured => MeasuredV3 @ 3, older [MeasuredV1 @ 1 => MeasuredV2, MeasuredV2 @ 2 => MeasuredV3] {
        node: String,
        instance: Option<String>,
        n: u32 = count,
    }
}

fn event(instance: Option<&str>, count: u32) -> Event {
    Trial::Measured { node: "a".into(), instance: instance.map(Into::into), count }.into()
}

#[test]
fn an_older_schema_is_read_through_each_next_one() {
    let kind = &KINDS[0];
    let v1 = codec::encode(&MeasuredV1 { node: "a".to_owned() }).unwrap();
    let v2 = codec::encode(&MeasuredV2 { host: "a".to_owned(), instance: Some("i".to_owned()) }).unwrap();
    let v3 = encode(&Trial::Measured { node: "a".into(), instance: Some("i".into()), count: 5 }).unwrap();
    assert_eq!((v3.kind, v3.schema), (999, 3));
    assert_eq!(name(&Trial::Measured { node: "a".into(), instance: None, count: 1 }), kind.name);
    assert_eq!(kind.decode(1, &v1), Ok(event(None, 1)));
    assert_eq!(kind.decode(2, &v2), Ok(event(Some("i"), 1)));
    assert_eq!(kind.decode(3, &v3.payload), Ok(event(Some("i"), 5)));
    // None is taken for another.
    assert!(
        kind.decode(2, &v1).is_err() && kind.decode(1, &v2).is_err() && kind.decode(2, &v3.payload).is_err()
    );
}

#[test]
fn a_payload_is_shown_in_its_own_schema() {
    let kind = &KINDS[0];
    let v2 = codec::encode(&MeasuredV2 { host: "a".to_owned(), instance: None }).unwrap();
    assert_eq!(kind.render(2, &v2).unwrap(), br#"{"host":"a","instance":null}"#);
}

/// What released programs wrote, as this one takes it: what they did not know of has the value that makes no difference.
#[test]
fn released_schemas_are_read_with_defaults() {
    let golden = |name: &str| std::fs::read(file("events/golden").join(name)).unwrap();
    let settings = wire::decode(10, 1, &golden("settings-changed/v1.bin"));
    assert_eq!(settings, Ok(Control::SettingsChanged { settings: Settings::default() }.into()));
    let settings = wire::decode(10, 2, &golden("settings-changed/v2-bare.bin"));
    assert_eq!(settings, Ok(Control::SettingsChanged { settings: Settings::default() }.into()));
    let Ok(Event::Fact(Fact::PodSpecDefined { id, spec })) =
        wire::decode(100, 1, &golden("pod-spec-defined/v1.bin"))
    else {
        panic!("it is a pod spec")
    };
    let newest = samples::all().into_iter().find_map(|sample| match sample.event {
        Event::Fact(Fact::PodSpecDefined { id: same, spec }) if same == id => Some((*spec).clone()),
        _ => None,
    });
    let mut newest = newest.unwrap();
    assert!(newest.group.take().is_some());
    assert_eq!(*spec, newest);
}

#[test]
fn what_is_not_known_is_a_typed_error() {
    assert_eq!(wire::decode(50, 1, &[]), Err(WireError::UnknownKind { kind: 50 }));
    assert_eq!(wire::render(999, 1, &[]), Err(WireError::UnknownKind { kind: 999 }));
    let newer = wire::decode(9, 2, &[]).unwrap_err();
    assert_eq!(newer, WireError::NewerSchema { kind: 9, name: "heartbeat", schema: 2, newest: 1 });
    assert_eq!(
        newer.to_string(),
        "heartbeat (kind 9) has schema 2, and this version knows up to 1: use a newer program"
    );
    assert!(matches!(
        wire::decode(9, 0, &[]),
        Err(WireError::Malformed { kind: "heartbeat", schema: 0, .. })
    ));
    assert!(matches!(wire::decode(9, 1, &[0]), Err(WireError::Malformed { .. })), "bytes are left over");
}

#[test]
fn a_malformed_payload_says_where() {
    let requirement = (false, vec!["b", "a"], None::<i64>, None::<i64>, None::<u32>);
    let topologies = vec![vec![("zone", requirement)]];
    let payload = codec::encode(&(("web", "data"), topologies, "", None::<String>)).unwrap();
    let error = wire::decode(122, 1, &payload).unwrap_err();
    let expected = r#"volume-claim-observed (schema 1) is malformed: topologies."zone".values: the values are not in order"#;
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_vocabulary_says_the_same() {
    use crate::journal::{Vocabulary as _, VocabularyError};
    let vocabulary = wire::Purser;
    let rendered = vocabulary.render(105, 1, &codec::encode(&("web", "x")).unwrap()).unwrap();
    assert_eq!((rendered.class, rendered.name), ("observation", "pod-deleted"));
    assert_eq!(rendered.json, br#"{"pod":{"namespace":"web","name":"x"}}"#);
    assert_eq!(vocabulary.render(50, 1, &[]), Err(VocabularyError::UnknownKind { kind: 50 }));
    assert_eq!(
        vocabulary.render(9, 7, &[]),
        Err(VocabularyError::NewerSchema { kind: 9, schema: 7, newest: 1 })
    );
    assert!(matches!(
        vocabulary.render(105, 1, &[1]),
        Err(VocabularyError::Malformed { kind: 105, schema: 1, .. })
    ));
}

#[test]
fn numbers_names_and_schemas_are_in_order() {
    let all: Vec<&Kind> = Kind::all().collect();
    assert!(all.is_sorted_by(|a, b| a.number < b.number), "numbers ascend, each once");
    for kind in &all {
        let of_class = match kind.class {
            Class::Control => 1..100,
            Class::Observation => 100..200,
            Class::Decision => 200..u16::MAX,
        };
        assert!(of_class.contains(&kind.number), "{}", kind.name);
        assert!(
            kind.schemas.is_sorted_by(|a, b| a.number < b.number) && kind.schemas[0].number > 0,
            "{}",
            kind.name
        );
        assert!(kind.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", kind.name);
        assert!(!kind.says().is_empty());
        assert_eq!(Kind::named(kind.name).map(|found| found.number), Some(kind.number), "names are unique");
        assert_eq!(Kind::of(kind.number).map(|found| found.name), Some(kind.name));
    }
}
