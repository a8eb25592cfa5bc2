//! Reading while a writer writes.

use super::common::*;
use purser_events::journal::*;

#[test]
fn a_reader_follows_a_writer_through_appends_and_seals() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = options();
    settings.seal = SealPolicy { max_records: 40, ..SealPolicy::default() };
    let mut journal = Journal::create(dir.path(), settings, time(0)).unwrap();
    let path = dir.path().to_owned();
    let (ack, acknowledged) = std::sync::mpsc::channel();
    let follower = std::thread::spawn(move || {
        let mut reader = Reader::open(&path, toy()).unwrap();
        let mut next = 0;
        let mut refreshes = 0;
        loop {
            let least = acknowledged.try_iter().last().unwrap_or(0);
            let size = reader.refresh().unwrap();
            assert!(size >= least, "{size} of {least}: {:?}", reader.problem());
            for record in reader.records(next) {
                let record = record.unwrap();
                assert_eq!(record.payload, draft(next).payload);
                next += 1;
            }
            refreshes += 1;
            assert_eq!(next, size);
            if next >= 1000 {
                return (refreshes, reader.root_at(1000).unwrap());
            }
        }
    });
    while journal.size() < 1000 {
        let count = (1 + journal.size() % 7).min(1000 - journal.size());
        append(&mut journal, count).unwrap();
        let _ = ack.send(journal.size());
    }
    let (refreshes, root) = follower.join().unwrap();
    assert!(refreshes > 2, "{refreshes}");
    assert_eq!(root, journal.root());
    journal.close().unwrap();
    assert_sound(dir.path(), 1000);
}

#[test]
fn reading_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 5).unwrap();
    journal.seal().unwrap();
    append(&mut journal, 5).unwrap();
    let killed = image(dir.path());
    let before = files(killed.path());
    let reader = Reader::open(killed.path(), toy()).unwrap();
    assert_eq!((reader.size(), reader.unacknowledged(), reader.problem()), (10, 0, None));
    inspect(killed.path()).unwrap();
    verified(killed.path());
    assert!(files(killed.path()) == before);
}

#[test]
fn a_reader_seeks_and_proves() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    for _ in 0..6 {
        append(&mut journal, 5).unwrap();
        if journal.size().is_multiple_of(10) && journal.size() < 30 {
            journal.seal().unwrap();
        }
    }
    let reader = Reader::open(dir.path(), toy()).unwrap();
    assert_eq!(reader.seek(0).unwrap(), 0);
    for n in [0, 5, 10, 15, 20, 25] {
        assert_eq!(reader.seek(time(n)).unwrap(), n);
        assert_eq!(reader.seek(time(n) + 1).unwrap(), n + 5);
    }
    let leaves = reader.leaves(0..30).unwrap();
    assert_eq!(leaves.len(), 30);
    assert_eq!(reader.leaves(7..23).unwrap(), leaves[7..23]);
    assert_eq!(merkle::root_of(&leaves), journal.root());
    for size in 0..=30 {
        assert_eq!(reader.root_at(size), Some(merkle::root_of(&leaves[..size as usize])), "{size}");
    }
    for record in reader.records(0) {
        let record = record.unwrap();
        let lines = reader.leaf_writer().unwrap().lines(&record).unwrap();
        assert_eq!(merkle::leaf_hash(&lines.envelope), leaves[record.seq as usize]);
        let proof = merkle::inclusion_proof(&leaves, record.seq).unwrap();
        assert!(merkle::verify_inclusion(&journal.root(), 30, record.seq, &lines.leaf, &proof));
        let envelope: serde_json::Value = serde_json::from_slice(&lines.envelope).unwrap();
        assert_eq!(envelope["payload_sha256"], Hash::of(&lines.payload).to_string());
        serde_json::from_slice::<serde_json::Value>(&lines.payload).unwrap();
    }
    assert_eq!(journal.verifier_key().open(&journal.checkpoint()).unwrap().root, journal.root());
}

#[test]
fn a_journal_is_verified_while_it_is_written_sealed_and_shortened() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = options();
    settings.seal = SealPolicy { max_records: 60, ..SealPolicy::default() };
    let mut journal = Journal::create(dir.path(), settings, time(0)).unwrap();
    append(&mut journal, 10).unwrap();
    let path = dir.path().to_owned();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let verifier = std::thread::spawn(move || {
        let mut reports: Vec<VerifyReport> = Vec::new();
        while is_done.try_recv().is_err() || reports.len() < 3 {
            reports.push(verified(&path));
            assert_eq!(reports.last().unwrap().findings, []);
        }
        reports
    });
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(500), keep_segments: 2 };
    for round in 0..600 {
        append(&mut journal, 5).unwrap();
        if round % 25 == 0 {
            journal.put_snapshot("v1", &[7; 2_000]).unwrap();
        }
        if round % 100 == 99 {
            journal.retain(&policy, time(journal.size())).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    done.send(()).unwrap();
    let reports = verifier.join().unwrap();
    assert!(reports.iter().all(|report| report.live), "a writer held it all the while");
    assert!(reports.is_sorted_by_key(|report| report.size));
    assert!(reports.first().unwrap().size < reports.last().unwrap().size);
    assert!(reports.last().unwrap().first_seq > 0, "retention was at work");
    journal.close().unwrap();
    assert!(!assert_sound(dir.path(), 3_010).live);
}

#[test]
fn damage_is_found_in_a_journal_that_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 50).unwrap();
    journal.seal().unwrap();
    append(&mut journal, 5).unwrap();
    let segment = dir.path().join("segments").join(format!("{:020}.seg", 0));
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    std::fs::write(dir.path().join("stray"), b"x").unwrap();
    let report = verified(dir.path());
    assert!(report.live);
    let found: Vec<&str> = report.findings.iter().map(|finding| &*finding.file).collect();
    assert!(found.iter().any(|file| file.starts_with("segments/")) && found.contains(&"stray"), "{found:?}");
}

#[test]
fn to_look_whether_there_is_a_writer_keeps_none_out() {
    let dir = tempfile::tempdir().unwrap();
    Journal::create(dir.path(), options(), time(0)).unwrap().close().unwrap();
    let path = dir.path().to_owned();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let verifier = std::thread::spawn(move || {
        while is_done.try_recv().is_err() {
            verified(&path);
        }
    });
    for _ in 0..50 {
        drop(Journal::open(dir.path(), options()).unwrap());
    }
    done.send(()).unwrap();
    verifier.join().unwrap();
}
