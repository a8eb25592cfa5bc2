//! Snapshots, archive, retention, inspection.

use std::fs;

use super::common::*;
use purser_events::journal::*;

#[test]
fn snapshots_are_caches_of_a_version_and_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    for round in 0..4u8 {
        append(&mut journal, 5).unwrap();
        journal.put_snapshot("v1", &[round; 3000]).unwrap();
        if round == 2 {
            journal.seal().unwrap();
        }
    }
    append(&mut journal, 1).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 2);
    let newest = journal.latest_snapshot("v1", u64::MAX).unwrap().unwrap();
    assert_eq!((newest.size, newest.bytes), (20, vec![3; 3000]));
    assert_eq!(journal.latest_snapshot("v1", 19).unwrap().unwrap().size, 15);
    assert_eq!(journal.latest_snapshot("v2", 19).unwrap(), None);
    let path = dir.path().join("snapshots").join(format!("{:020}.snap", 20));
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(journal.latest_snapshot("v1", u64::MAX).unwrap().unwrap().size, 15);
    assert_eq!(
        Reader::open(dir.path(), toy()).unwrap().latest_snapshot("v1", 100).unwrap().unwrap().size,
        15
    );
    fs::remove_file(&path).unwrap();
    journal.close().unwrap();
    assert_sound(dir.path(), 21);
}

#[test]
fn segments_are_archived_and_only_then_retired() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let archive = outside.path().join("archive");
    fs::write(&archive, b"not a folder").unwrap();
    let mut options = options();
    options.archive = Some(archive.clone());
    let mut journal = Journal::create(dir.path(), options.clone(), time(0)).unwrap();
    for _ in 0..4 {
        append(&mut journal, 5).unwrap();
        journal.seal().unwrap();
    }
    let status = journal.archive_status().unwrap();
    assert_eq!(status.pending, [0, 5, 10, 15]);
    assert!(status.last_error.is_some());
    let policy = RetentionPolicy { max_age_us: Some(1000), max_records: Some(8), keep_segments: 1 };
    let refused = journal.retain(&policy, time(1000)).unwrap();
    assert!(refused.deleted.is_empty() && refused.stopped.is_some(), "{refused:?}");

    fs::remove_file(&archive).unwrap();
    journal.tick(time(20)).unwrap();
    assert_eq!(journal.archive_status().unwrap().pending, [0u64; 0]);
    append(&mut journal, 1).unwrap();
    let young = journal.retain(&policy, time(0)).unwrap();
    assert_eq!((young.deleted, young.first_seq), (vec![], 0));
    let done = journal.retain(&policy, time(1000)).unwrap();
    assert_eq!((done.deleted, done.first_seq, done.stopped), (vec![0, 5], 10, None));
    journal.close().unwrap();

    let report = assert_sound(dir.path(), 21);
    assert_eq!((report.first_seq, report.records), (10, 11));
    let mut with_archive = VerifyOptions::new(toy());
    with_archive.archive = Some(archive.clone());
    let report = verify(dir.path(), &with_archive, &mut |_, _| {}).unwrap();
    assert_eq!(
        (report.findings.len(), report.first_seq, report.records),
        (0, 0, 21),
        "{:?}",
        report.findings
    );

    let reader = Reader::open(dir.path(), toy()).unwrap();
    assert_eq!(reader.first_seq(), 10);
    assert!(matches!(reader.records(3).next(), Some(Err(ReadError::Missing { from: 3, to: 10 }))));
    assert_eq!(reader.records(10).filter(Result::is_ok).count(), 11);
    let reader = Reader::open_with_archive(dir.path(), Some(&archive), toy()).unwrap();
    assert_eq!(reader.records(0).filter(Result::is_ok).count(), 21);
    let reader = Reader::open(&archive, toy()).unwrap();
    assert_eq!(reader.records(0).filter(Result::is_ok).count(), 21);

    // What retention did not delete is missed, and every byte of its note counts.
    let note = dir.path().join("retained");
    let good = fs::read(&note).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&note, bad).unwrap();
        assert!(verified(dir.path()).findings.iter().any(|finding| finding.file == "retained"), "byte {at}");
    }
    fs::write(&note, good).unwrap();
    let segment = dir.path().join("segments").join(format!("{:020}.seg", 15));
    fs::rename(&segment, outside.path().join("aside")).unwrap();
    let report = verified(dir.path());
    assert!(
        report.findings.iter().any(|finding| finding.seq == Some(15) && finding.kind == FindingKind::Missing)
    );
    // With the archive the writer opens, even without the newest segment.
    fs::remove_file(dir.path().join("segments").join(format!("{:020}.seg", 20))).unwrap();
    let (journal, _) = Journal::open(dir.path(), options).unwrap();
    assert_eq!(journal.size(), 21);
}

#[test]
fn a_checkpoint_of_records_that_are_gone_is_a_finding_if_it_was_asked_about() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(&dir.path().join("j"), options(), time(0)).unwrap();
    append(&mut journal, 5).unwrap();
    journal.seal().unwrap();
    let kept = journal.checkpoint();
    for _ in 0..3 {
        append(&mut journal, 5).unwrap();
        journal.seal().unwrap();
    }
    copy(&dir.path().join("j"), &dir.path().join("archive"));
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(8), keep_segments: 1 };
    assert_eq!(journal.retain(&policy, time(30)).unwrap().first_seq, 10);
    let at_ten = fs::read_to_string(dir.path().join("j/checkpoints").join(format!("{:020}", 10))).unwrap();
    journal.close().unwrap();
    let journal = dir.path().join("j");
    let ask = |text: &str, archive: Option<&str>| {
        let mut options = VerifyOptions::new(toy());
        options.older = vec![OlderCheckpoint { name: "kept".to_owned(), text: text.to_owned() }];
        options.archive = archive.map(|archive| dir.path().join(archive));
        verify(&journal, &options, &mut |_, _| {}).unwrap()
    };
    let report = ask(&kept, None);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((&*finding.file, finding.kind), ("kept", FindingKind::Unchecked));
    assert_eq!(
        finding.message,
        "could not be checked: it is of 5 records, the first kept is 10; name the archive with --archive"
    );
    // The root where the kept records begin is known, and the archive has the others.
    let report = ask(&at_ten, None);
    assert_eq!((report.findings, report.checkpoints, report.checkpoints_signature_only), (vec![], 4, 1));
    let report = ask(&kept, Some("archive"));
    assert_eq!((report.findings, report.checkpoints, report.checkpoints_signature_only), (vec![], 5, 0));
    // Of the journal's own of records that are gone, every signature still counts.
    let own = journal.join("checkpoints").join(format!("{:020}", 5));
    fs::write(&own, kept.replacen("5\n", "6\n", 1)).unwrap();
    let report = verified(&journal);
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::Signature), "{report:?}");
}

#[test]
fn an_archive_that_lacks_records_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(&dir.path().join("j"), options(), time(0)).unwrap();
    for _ in 0..4 {
        append(&mut journal, 5).unwrap();
        journal.seal().unwrap();
    }
    let archive = dir.path().join("archive");
    copy(&dir.path().join("j"), &archive);
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(1), keep_segments: 1 };
    assert_eq!(journal.retain(&policy, time(30)).unwrap().first_seq, 15);
    journal.close().unwrap();
    let mut options = VerifyOptions::new(toy());
    options.archive = Some(archive.clone());
    let ask = || verify(&dir.path().join("j"), &options, &mut |_, _| {}).unwrap();
    assert_eq!((ask().findings, ask().first_seq), (vec![], 0));
    // One from the middle, then all from the beginning on.
    for (taken, from, to) in [(5, 5, 9), (0, 0, 9), (10, 0, 14)] {
        fs::remove_file(archive.join(format!("segments/{taken:020}.seg"))).unwrap();
        let report = ask();
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((finding.seq, finding.kind), (Some(from), FindingKind::Missing));
        assert!(finding.file.ends_with(&format!("archive/segments/{from:020}.seg")), "{finding:?}");
        let text = format!("the records {from} to {to} are neither in the journal nor in the archive");
        assert_eq!(finding.message, text);
    }
    assert_eq!((ask().first_seq, ask().records), (15, 5));
    let reader = Reader::open_with_archive(&dir.path().join("j"), Some(&archive), toy()).unwrap();
    assert_eq!((reader.first_seq(), reader.first_kept()), (15, 15));
}

#[test]
fn an_archive_is_of_one_journal() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let with = |archive: &str| Options { archive: Some(path(archive)), ..options() };
    let mut journal = Journal::create(&path("one"), with("archive"), time(0)).unwrap();
    append(&mut journal, 5).unwrap();
    journal.close().unwrap();
    let other = IdentitySource::Derived { seed: [1; 32] };
    Journal::create(&path("two"), Options { identity: other, ..options() }, time(0))
        .unwrap()
        .close()
        .unwrap();
    let before = files(dir.path());
    let refused = |error: Option<OpenError>| match error {
        Some(error @ OpenError::Archive { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let new = refused(Journal::create(&path("three"), with("archive"), time(0)).err());
    assert!(new.contains("there is the archive of a journal in it already"), "{new}");
    let old = refused(Journal::open(&path("two"), with("archive")).err());
    assert!(old.contains("it is the archive of another journal: give another folder"), "{old}");
    refused(Journal::open(&path("one"), with("one/archive")).err());
    refused(Journal::create(&path("four/j"), with("four"), time(0)).err());
    assert!(files(dir.path()) == before, "nothing was written");
    Journal::open(&path("one"), with("archive")).unwrap();
}

#[test]
fn what_is_planned_is_let_go_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    for _ in 0..4 {
        append(&mut journal, 5).unwrap();
        journal.seal().unwrap();
    }
    let before = files(dir.path());
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(8), keep_segments: 1 };
    let plan = journal.plan_retention(&policy, time(30)).unwrap();
    assert_eq!((plan.deleted.as_slice(), plan.first_seq), (&[0, 5][..], 10));
    assert!(files(dir.path()) == before, "a plan changes nothing");
    // More could go by now; only what was planned does.
    append(&mut journal, 5).unwrap();
    journal.seal().unwrap();
    journal.let_go(&plan, time(31)).unwrap();
    journal.let_go(&plan, time(31)).unwrap();
    journal.close().unwrap();
    assert_eq!(assert_sound(dir.path(), 25).first_seq, 10);
}

#[test]
fn inspection_accounts_for_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 50).unwrap();
    journal.seal().unwrap();
    append(&mut journal, 3).unwrap();
    journal.put_snapshot("v1", &[1; 500]).unwrap();
    let inspection = inspect(dir.path()).unwrap();
    assert_eq!((inspection.records, inspection.root), (53, Some(journal.root())));
    let segment = &inspection.segments[0];
    let sections = segment.sections.unwrap();
    assert_eq!(sections.header + sections.blocks + sections.leaves + sections.footer, segment.bytes);
    assert_eq!(inspection.tails[0].records, 3);
    assert_eq!(inspection.snapshots[0].unpacked_bytes, Some(500));
    assert_eq!(inspection.anchor.problem, None);
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["segments"][0]["header"]["count"], 50);
    assert_eq!(json["identity"]["origin"], ORIGIN);
}
