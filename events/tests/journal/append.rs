//! Appending, reading back, and what is refused.

use super::common::*;
use purser_events::journal::*;

#[test]
fn what_is_appended_is_read_back_and_sealed_on_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    for count in [1, 10, 0, 3, 100] {
        let size = journal.size();
        assert_eq!(append(&mut journal, count).unwrap(), size..size + count);
    }
    let root = journal.root();
    journal.close().unwrap();
    assert_eq!(assert_sound(dir.path(), 114).root, root);
    assert_eq!(assert_records(dir.path(), 114), 114);
    let names: Vec<_> = files(dir.path()).into_keys().collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("tail-")), "{names:?}");

    let (mut journal, recovery) = Journal::open(dir.path(), options()).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!((journal.size(), journal.root()), (114, root));
    append(&mut journal, 5).unwrap();
    journal.close().unwrap();
    assert_sound(dir.path(), 119);
    assert_records(dir.path(), 119);
}

#[test]
fn large_payloads_and_large_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    let payload = |n: usize| (0..n).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>();
    let big = |n| Draft { kind: 1, schema: 1, causes: vec![], payload: payload(n) };
    let drafts: Vec<Draft> = [0, 1, 3839, 3840, 3841, 4000, MAX_PAYLOAD_LEN, 8000].map(big).to_vec();
    journal.append(time(0), &drafts).unwrap();
    let many: Vec<Draft> = (0..3000).map(|n| big(n % 200)).collect();
    journal.append(time(1), &many).unwrap();
    let crash = image(dir.path());
    for dir in [dir.path(), crash.path()] {
        assert_sound(dir, 3008);
    }
    let reader = Reader::open(crash.path(), toy()).unwrap();
    let read: Vec<Vec<u8>> = reader.records(0).map(|record| record.unwrap().payload).collect();
    assert!(read.iter().zip(drafts.iter().chain(&many)).all(|(read, draft)| *read == draft.payload));
    journal.close().unwrap();
    assert_sound(dir.path(), 3008);
    let error = Journal::open(dir.path(), options())
        .unwrap()
        .0
        .append(time(2), &[big(MAX_PAYLOAD_LEN + 1)])
        .unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { seq: 3008, .. }), "{error}");
}

#[test]
fn what_cannot_be_recorded_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 3).unwrap();
    let root = journal.root();
    let with = |causes: Vec<u64>, kind, schema| Draft { kind, schema, causes, payload: vec![] };
    let cause = journal.append(time(3), &[with(vec![3], 1, 1)]).unwrap_err();
    assert!(matches!(cause, AppendError::Cause { seq: 3, cause: 3 }), "{cause}");
    let unknown = journal.append(time(3), &[with(vec![], 200, 1)]).unwrap_err();
    assert!(unknown.to_string().contains("kind 200"), "{unknown}");
    let newer = journal.append(time(3), &[with(vec![], 1, 4)]).unwrap_err();
    assert!(newer.to_string().contains("schema 4"), "{newer}");
    let long = journal.append(time(3), &[with((0..3).cycle().take(2000).collect(), 1, 1)]).unwrap_err();
    assert!(matches!(long, AppendError::Leaf(LeafError::TooLong { seq: 3, .. })), "{long}");
    let early = journal.append(time(0) - 1, &[draft(3)]).unwrap_err();
    assert!(matches!(early, AppendError::Time { .. }), "{early}");
    assert_eq!((journal.size(), journal.root()), (3, root));
    append(&mut journal, 1).unwrap();
    journal.close().unwrap();
    assert_sound(dir.path(), 4);
}

#[test]
fn segments_are_sealed_by_number_by_bytes_and_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.seal = SealPolicy { max_records: 10, max_bytes: 2000, max_age_us: 1_000_000 };
    let mut journal = Journal::create(dir.path(), options, time(0)).unwrap();
    append(&mut journal, 10).unwrap();
    assert_eq!(journal.sealed_size(), 0);
    append(&mut journal, 1).unwrap();
    assert_eq!(journal.sealed_size(), 10);
    let big = Draft { kind: 0, schema: 1, causes: vec![], payload: vec![1; 3000] };
    journal.append(time(11), &[big]).unwrap();
    journal.tick(time(11)).unwrap();
    assert_eq!(journal.sealed_size(), 12);
    append(&mut journal, 1).unwrap();
    journal.tick(time(12) + 999_999).unwrap();
    assert_eq!(journal.sealed_size(), 12);
    journal.tick(time(12) + 1_000_000).unwrap();
    assert_eq!(journal.sealed_size(), 13);
    journal.close().unwrap();
    assert_sound(dir.path(), 13);
}

#[test]
fn one_writer_only() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    let Err(OpenError::InUse { holder, .. }) = Journal::open(dir.path(), options()) else {
        panic!("it opened")
    };
    assert!(holder.contains("purser-0") && holder.contains("pid"), "{holder}");
    assert!(matches!(Journal::create(dir.path(), options(), 0), Err(OpenError::Exists { .. })));
    drop(journal);
    Journal::open(dir.path(), options()).unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Journal::open(dir.path(), options()), Err(OpenError::Missing { .. })));
    let key = dir.path().join("key");
    std::fs::write(&key, "11".repeat(32)).unwrap();
    let home = dir.path().join("journal");
    let mut with_key = options();
    with_key.signing_key = Some(key.clone());
    let mut journal = Journal::create(&home, with_key.clone(), time(0)).unwrap();
    append(&mut journal, 4).unwrap();
    journal.close().unwrap();
    let before = files(&home);
    assert!(!String::from_utf8_lossy(&before[std::path::Path::new("secret")]).contains(&"11".repeat(32)));

    assert!(matches!(Journal::open(&home, options()), Err(OpenError::Secret { .. })));
    std::fs::write(&key, "22".repeat(32)).unwrap();
    assert!(matches!(Journal::open(&home, with_key.clone()), Err(OpenError::WrongKey { .. })));
    std::fs::write(&key, "2").unwrap();
    assert!(matches!(Journal::open(&home, with_key.clone()), Err(OpenError::Secret { .. })));
    std::fs::write(&key, "11".repeat(32)).unwrap();
    let mut other = with_key.clone();
    other.origin = "other".into();
    assert!(matches!(Journal::open(&home, other), Err(OpenError::WrongOrigin { .. })));
    let mut bad = with_key.clone();
    bad.instance = "two words".into();
    assert!(matches!(Journal::open(&home, bad), Err(OpenError::Name { what: "instance", .. })));
    assert_eq!(files(&home), before);

    let identity = home.join("identity.json");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    let newer = Journal::open(&home, with_key.clone()).map(drop).unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: 2, .. }), "{newer}");
    assert!(matches!(Reader::open(&home, toy()), Err(ReadError::Open(OpenError::Newer { .. }))));
    std::fs::write(&identity, text).unwrap();
    let (journal, recovery) = Journal::open(&home, with_key).unwrap();
    assert!(recovery.is_clean());
    journal.close().unwrap();
    assert_sound(&home, 4);
}

#[test]
fn the_writer_can_change_within_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 2).unwrap();
    journal.set_writer(8, "purser-1").unwrap();
    append(&mut journal, 2).unwrap();
    journal.close().unwrap();
    let reader = Reader::open(dir.path(), toy()).unwrap();
    let writers: Vec<(u64, String)> = reader
        .records(0)
        .map(|record| record.unwrap())
        .map(|record| (record.term, record.instance.to_string()))
        .collect();
    assert_eq!(writers[1], (7, "purser-0".into()));
    assert_eq!(writers[2], (8, "purser-1".into()));
}

#[test]
fn random_journals_differ() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut random = options();
    random.identity = IdentitySource::Random;
    let a = Journal::create(a.path(), random.clone(), time(0)).unwrap();
    let b = Journal::create(b.path(), random, time(0)).unwrap();
    assert_ne!(a.identity().log, b.identity().log);
    assert_ne!(a.verifier_key(), b.verifier_key());
}

#[test]
fn the_writer_and_the_reader_can_live_on_any_thread() {
    fn movable<T: Send>() {}
    movable::<Journal>();
    movable::<Reader>();
}
