//! What a plain checksum does not protect is held against what is signed or hashed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::common::*;
use purser_events::journal::*;
use serde_json::{Value, json};

/// A vocabulary whose first record says what the log follows.
struct Telling;

impl Vocabulary for Telling {
    fn render(&self, kind: u16, schema: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        match kind {
            100 => Ok(Rendered { class: "control", name: "log-started", json: payload.to_vec() }),
            _ => Toy.render(kind, schema, payload),
        }
    }
}

const BEFORE: &str = "the checkpoint before";

fn telling() -> Options {
    Options { vocabulary: Arc::new(Telling), predecessor: Some(BEFORE.to_owned()), ..options() }
}

/// A closed journal of 21 records in segments of 5, the first of which says how the log began.
fn told(dir: &Path, settings: Options) -> Journal {
    let mut journal = Journal::create(dir, settings, time(0)).unwrap();
    let said = json!({ "origin": ORIGIN, "predecessor": BEFORE, "reason": "new" }).to_string();
    let first = Draft { kind: 100, schema: 1, causes: Vec::new(), payload: said.into_bytes() };
    journal.append(time(0), &[first]).unwrap();
    append(&mut journal, 4).unwrap();
    for _ in 0..3 {
        journal.seal().unwrap();
        append(&mut journal, 5).unwrap();
    }
    journal.seal().unwrap();
    append(&mut journal, 1).unwrap();
    journal
}

fn look(dir: &Path, change: impl FnOnce(&mut VerifyOptions)) -> VerifyReport {
    let mut options = VerifyOptions::new(Arc::new(Telling));
    change(&mut options);
    verify(dir, &options, &mut |_, _| {}).unwrap()
}

/// Alters a field of `identity.json` and mends the checksum, as anybody can.
fn alter(dir: &Path, field: &str, value: Value) {
    let file = dir.join("identity.json");
    let text = fs::read_to_string(&file).unwrap();
    let old: Value = serde_json::from_str(&text).unwrap();
    let (before, after) = (format!("\"{field}\":{}", old[field]), format!("\"{field}\":{value}"));
    let body = text.replacen(&before, &after, 1);
    let body = body.rsplit_once(",\"checksum\"").unwrap().0;
    assert_ne!(body, text.rsplit_once(",\"checksum\"").unwrap().0, "{before}");
    fs::write(&file, format!("{body},\"checksum\":\"{}\"}}\n", Hash::of(body.as_bytes()))).unwrap();
}

/// The findings after a field was altered: all must be of the identity, and name the field.
#[track_caller]
fn assert_named(dir: &Path, field: &str, value: Value, change: impl FnOnce(&mut VerifyOptions)) {
    let good = fs::read(dir.join("identity.json")).unwrap();
    alter(dir, field, value);
    let report = look(dir, change);
    assert!(!report.findings.is_empty(), "{field} unseen");
    for finding in &report.findings {
        assert_eq!(finding.file, "identity.json", "{field}: {finding:?}");
        assert!(finding.message.contains(&format!("its {field}")), "{field}: {finding:?}");
    }
    fs::write(dir.join("identity.json"), good).unwrap();
}

fn other(field: &str) -> Value {
    match field {
        "log" => json!("00000000000000000000000000000001"),
        "origin" => json!("example.org/purser/other"),
        "created_us" => json!(time(0) - 1),
        "predecessor" => Value::Null,
        field => panic!("{field}"),
    }
}

const FIELDS: [&str; 4] = ["log", "origin", "created_us", "predecessor"];

#[test]
fn an_altered_identity_is_found_and_the_field_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let journal = told(path, telling());
    let killed = image(path);
    journal.close().unwrap();
    for dir in [path, killed.path()] {
        assert_eq!(look(dir, |_| {}).findings, []);
        for field in FIELDS {
            assert_named(dir, field, other(field), |_| {});
            // Whoever has only the public key sees it too.
            assert_named(dir, field, other(field), |options| options.without_secret = true);
        }
        assert_named(dir, "predecessor", json!("another"), |_| {});
    }
    // A format that there never was.
    alter(path, "format", json!(0));
    let report = look(path, |_| {});
    assert!(report.findings[0].message.contains("format number is 0"), "{report:?}");
    alter(path, "format", json!(9));
    let newer = verify(path, &VerifyOptions::new(toy()), &mut |_, _| {}).unwrap_err();
    assert!(newer.to_string().contains("identity.json: journal of a newer version"), "{newer}");
    alter(path, "format", json!(1));
    // An identity of another log is no reason to move all segments aside.
    alter(path, "log", other("log"));
    let before = files(path);
    for refused in [
        Journal::open(path, telling()).map(drop).unwrap_err().to_string(),
        Reader::open(path, toy()).map(drop).unwrap_err().to_string(),
    ] {
        assert!(refused.contains("identity.json: its log is") && !refused.contains('\n'), "{refused}");
    }
    assert!(files(path) == before);
}

#[test]
fn when_the_first_record_is_gone_the_note_of_retention_vouches_for_the_identity() {
    let dir = tempfile::tempdir().unwrap();
    let (path, archive) = (dir.path().join("j"), dir.path().join("archive"));
    let mut journal = told(&path, Options { archive: Some(archive.clone()), ..telling() });
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(8), keep_segments: 1 };
    assert_eq!(journal.retain(&policy, time(30)).unwrap().first_seq, 10);
    journal.close().unwrap();
    assert_eq!(look(&path, |_| {}).findings, []);
    for field in FIELDS {
        assert_named(&path, field, other(field), |_| {});
    }
    let archived = |options: &mut VerifyOptions| options.archive = Some(archive.clone());
    assert_eq!(look(&path, archived).findings, []);
    for field in ["created_us", "predecessor", "origin"] {
        alter(&archive, field, other(field));
        let report = look(&path, archived);
        let [finding] = &report.findings[..] else { panic!("{field}: {report:?}") };
        assert!(finding.file.ends_with("archive/identity.json"), "{finding:?}");
        fs::copy(path.join("identity.json"), archive.join("identity.json")).unwrap();
    }
}

#[test]
fn a_log_begins_when_its_first_record_is_appended() {
    for (step, settled) in
        [(Step::Create, false), (Step::Half, false), (Step::Rename, false), (Step::SyncFolder, true)]
    {
        let dir = tempfile::tempdir().unwrap();
        let script = Arc::new(Script::default());
        let settings = Options { faults: Some(Arc::clone(&script) as Arc<dyn Faults>), ..options() };
        let mut journal = Journal::create(dir.path(), settings.clone(), time(0) - 7).unwrap();
        script.arm(Point::File(Artifact::Identity, step), 0, Failure::Crash, false);
        append(&mut journal, 3).unwrap_err();
        drop(journal);
        let (mut journal, _) = Journal::open(dir.path(), settings).unwrap();
        let begun = if settled { time(0) } else { time(0) - 7 };
        assert_eq!((journal.identity().created_us, journal.size()), (begun, 0), "{step:?}");
        append(&mut journal, 3).unwrap();
        assert_eq!(journal.identity().created_us, time(0));
        journal.close().unwrap();
        assert_sound(dir.path(), 3);
    }
}

#[test]
fn no_checkpoint_can_go_unnoticed_whatever_retention_took() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    let policy = |records| RetentionPolicy { max_age_us: None, max_records: Some(records), keep_segments: 1 };
    for _ in 0..8 {
        append(&mut journal, 5).unwrap();
        journal.seal().unwrap();
    }
    assert_eq!(journal.retain(&policy(28), time(50)).unwrap().ends, [5, 10]);
    // In two goes, the second by another writer.
    drop(journal);
    let (mut journal, _) = Journal::open(dir.path(), options()).unwrap();
    assert_eq!(journal.retain(&policy(8), time(50)).unwrap().first_seq, 30);
    journal.close().unwrap();
    assert_sound(dir.path(), 40);
    for size in (5..=40).step_by(5) {
        let file = format!("checkpoints/{size:020}");
        let bytes = fs::read(dir.path().join(&file)).unwrap();
        fs::remove_file(dir.path().join(&file)).unwrap();
        let report = verified(dir.path());
        let [finding] = &report.findings[..] else { panic!("{size}: {report:?}") };
        assert_eq!((&*finding.file, finding.kind), (&*file, FindingKind::Missing));
        fs::write(dir.path().join(&file), bytes).unwrap();
    }
    assert_sound(dir.path(), 40);
}

#[test]
fn a_segment_of_another_log_is_set_aside_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("j"), dir.path().join("other"));
    told(&path, telling()).close().unwrap();
    let identity = IdentitySource::Derived { seed: [1; 32] };
    told(&other, Options { identity, ..telling() }).close().unwrap();
    let good = files(&path);
    let segment = |first: u64| format!("segments/{first:020}.seg");
    let place = |from: u64, to: u64| fs::copy(other.join(segment(from)), path.join(segment(to))).unwrap();

    // Beside its own, behind them and between them.
    place(5, 100);
    place(0, 7);
    let report = look(&path, |_| {});
    for first in [7, 100] {
        let named =
            |finding: &Finding| finding.file == segment(first) && finding.message.contains("is of log");
        assert!(report.findings.iter().any(named), "{report:?}");
    }
    let (mut journal, recovery) = Journal::open(&path, telling()).unwrap();
    let aside = |first: u64| path.join(format!("damaged-1/{first:020}.seg"));
    assert_eq!(recovery.set_aside, [aside(7), aside(100)]);
    assert_eq!((recovery.damaged_segments.len(), journal.size()), (0, 21));
    assert_eq!(fs::read(aside(100)).unwrap(), fs::read(other.join(segment(5))).unwrap());
    append(&mut journal, 2).unwrap();
    journal.close().unwrap();
    assert_eq!(look(&path, |_| {}).findings, []);
    assert!(good.iter().all(|(name, _)| path.join(name).exists()));

    // In the place of one of its own: that one is missing, which is said, but the newest cannot be done without.
    place(5, 5);
    let (journal, recovery) = Journal::open(&path, telling()).unwrap();
    assert_eq!(recovery.set_aside, [path.join(format!("damaged-2/{:020}.seg", 5))]);
    assert_eq!(recovery.damaged_segments, [SegmentDamage { first_seq: 5, reason: "it is missing".into() }]);
    drop(journal);
    place(20, 21);
    let before = files(&path);
    let error = Journal::open(&path, telling()).map(drop).unwrap_err().to_string();
    assert!(error.contains(&segment(21)) && error.contains("it is of log"), "{error}");
    assert!(error.contains("put back this segment") && files(&path) == before, "{error}");
}

#[test]
fn who_may_not_read_the_secret_checks_all_that_takes_only_the_public_key() {
    let dir = tempfile::tempdir().unwrap();
    told(dir.path(), telling()).close().unwrap();
    let secret = dir.path().join("secret");
    let kept = fs::read(&secret).unwrap();
    fs::remove_file(&secret).unwrap();
    // Nobody who did not say so takes a journal for whole without it.
    let report = look(dir.path(), |_| {});
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((&*finding.file, finding.kind), ("secret", FindingKind::Missing));
    assert!(finding.message.contains("--without-secret"), "{finding:?}");
    let outside = |options: &mut VerifyOptions| options.without_secret = true;
    let report = look(dir.path(), outside);
    assert_eq!((&*report.findings, report.leaves_compared), (&[][..], false));
    assert_eq!((report.checkpoints, report.records), (5, 21));
    assert_eq!(Reader::open(dir.path(), toy()).unwrap().records(0).filter(Result::is_ok).count(), 21);
    let checkpoint = dir.path().join(format!("checkpoints/{:020}", 10));
    let good = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, [&good[..40], b"x", &good[41..]].concat()).unwrap();
    assert_ne!(look(dir.path(), outside).findings, []);
    fs::write(&checkpoint, good).unwrap();

    fs::write(&secret, kept).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // To some users, such as root, no file is closed.
    if fs::read(&secret).is_err() {
        let report = look(dir.path(), |_| {});
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((&*finding.file, finding.kind), ("secret", FindingKind::Unchecked));
        assert_eq!(look(dir.path(), outside).findings, []);
        assert_eq!(Reader::open(dir.path(), toy()).unwrap().records(0).filter(Result::is_ok).count(), 21);
    }
}
