//! Whatever is changed on disk is found, and named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::common::*;
use purser_events::journal::*;

/// A closed journal of 12 records in two segments, with a snapshot.
fn closed(dir: &Path) -> Vec<String> {
    let mut journal = Journal::create(dir, options(), time(0)).unwrap();
    let mut checkpoints = Vec::new();
    append(&mut journal, 1).unwrap();
    append(&mut journal, 4).unwrap();
    journal.seal().unwrap();
    checkpoints.push(journal.checkpoint());
    append(&mut journal, 7).unwrap();
    journal.put_snapshot("v1", b"the state of the world").unwrap();
    checkpoints.push(journal.checkpoint());
    journal.close().unwrap();
    checkpoints
}

/// Which record a rewritten history has in place of record n.
type Rewrite = fn(u64) -> Option<Draft>;

/// The same log, but with these records instead.
fn rewritten(dir: &Path, which: impl Fn(u64) -> Option<Draft>) {
    let mut journal = Journal::create(dir, options(), time(0)).unwrap();
    for n in 0..12 {
        if let Some(mut draft) = which(n) {
            draft.causes.retain(|cause| *cause < journal.size());
            journal.append(time([0, 1, 1, 1, 1, 5, 5, 5, 5, 5, 5, 5][n as usize]), &[draft]).unwrap();
        }
        if n == 4 {
            journal.seal().unwrap();
        }
    }
    journal.close().unwrap();
}

fn names(report: &VerifyReport) -> Vec<(&str, Option<u64>, FindingKind)> {
    report.findings.iter().map(|finding| (&*finding.file, finding.seq, finding.kind)).collect()
}

/// What verification says; an identity of another format is an error of its own that names the file.
fn found(dir: &Path, file: &str) -> bool {
    match verify(dir, &VerifyOptions::new(toy()), &mut |_, _| {}) {
        Ok(report) => report.findings.iter().any(|finding| finding.file == file),
        Err(ReadError::Open(error)) => error.to_string().contains(file),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn any_flipped_byte_in_any_file_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    assert_sound(dir.path(), 12);
    let good = files(dir.path());
    assert_eq!(good.len(), 9, "{:?}", good.keys());
    let mut tried = 0;
    for (name, bytes) in &good {
        let path = dir.path().join(name);
        let file = name.to_str().unwrap();
        for at in 0..bytes.len() {
            // The anchor is mostly zeros; its own test goes through more of them.
            if file == "anchor" && at % 4096 > 90 && at % 97 != 0 {
                continue;
            }
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert!(found(dir.path(), file), "{file}: byte {at}");
            tried += 1;
        }
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            assert!(found(dir.path(), file), "{file}: cut to {len}");
        }
        let mut longer = bytes.clone();
        longer.push(b'\n');
        fs::write(&path, &longer).unwrap();
        // A checkpoint may get further signatures of witnesses, but an empty line is none.
        assert!(found(dir.path(), file), "{file}: one byte more");
        fs::write(&path, bytes).unwrap();
    }
    assert!(tried > 3000, "{tried}");
    assert_sound(dir.path(), 12);
}

#[test]
fn missing_and_superfluous_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    for (name, bytes) in files(dir.path()) {
        if name == Path::new("identity.json") || name.starts_with("snapshots") {
            continue;
        }
        let path = dir.path().join(&name);
        fs::remove_file(&path).unwrap();
        assert!(found(dir.path(), name.to_str().unwrap()), "{}", name.display());
        fs::write(&path, bytes).unwrap();
    }
    for name in
        ["stray", "segments/1.seg", "checkpoints/x", "snapshots/y.snap.tmp", "tail-00000000000000000003/db"]
    {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"").unwrap();
        assert_ne!(verified(dir.path()).findings, [], "{name}");
        fs::remove_file(&path).unwrap();
        if name.starts_with("tail") {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    assert_sound(dir.path(), 12);
}

#[test]
fn a_damaged_block_names_its_records() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let path = dir.path().join("segments/00000000000000000005.seg");
    let good = fs::read(&path).unwrap();
    let block = good.windows(4).position(|window| window == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    let mut bad = good.clone();
    bad[block + 20] ^= 1;
    fs::write(&path, &bad).unwrap();
    let report = verified(dir.path());
    let file = "segments/00000000000000000005.seg";
    assert!(names(&report).contains(&(file, Some(5), FindingKind::Damaged)), "{report:?}");
    let reader = Reader::open(dir.path(), toy()).unwrap();
    let read: Vec<_> = reader.records(0).collect();
    assert_eq!(read.len(), 6);
    assert!(matches!(&read[5], Err(ReadError::Damaged { seq: Some(5), .. })), "{:?}", read[5]);
    // The controller goes on all the same: the tree is known from the footer.
    let (mut journal, recovery) = Journal::open(dir.path(), options()).unwrap();
    assert_eq!(recovery.damaged_segments.len(), 1);
    assert_eq!(recovery.tail, TailRecovery::Clean);
    append(&mut journal, 1).unwrap();
    journal.close().unwrap();
    assert!(!verified(dir.path()).findings.is_empty());
}

#[test]
fn rewritten_history_is_found() {
    let honest = tempfile::tempdir().unwrap();
    let older = closed(honest.path());
    let cases: [(&str, Rewrite); 4] = [
        ("changed", |n| Some(if n == 3 { draft(99) } else { draft(n) })),
        ("dropped", |n| (n != 3).then(|| draft(n))),
        ("doubled", |n| Some(draft(if n == 4 { 3 } else { n }))),
        ("swapped", |n| {
            Some(draft(if n == 3 {
                4
            } else if n == 4 {
                3
            } else {
                n
            }))
        }),
    ];
    for (case, which) in cases {
        let forged = tempfile::tempdir().unwrap();
        rewritten(forged.path(), which);
        // Signed with the right key, it is consistent in itself...
        assert_eq!(verified(forged.path()).findings, [], "{case}");
        // ... but not with a checkpoint that was kept elsewhere.
        for (at, text) in older.iter().enumerate() {
            let mut options = VerifyOptions::new(toy());
            options.older = vec![OlderCheckpoint { name: format!("kept-{at}"), text: text.clone() }];
            let report = verify(forged.path(), &options, &mut |_, _| {}).unwrap();
            assert!(
                report.findings.iter().any(|finding| finding.kind == FindingKind::Rewritten),
                "{case}: {report:?}"
            );
            let report = verify(honest.path(), &options, &mut |_, _| {}).unwrap();
            // The two of its own, and the one that was kept elsewhere.
            assert_eq!((report.findings, report.checkpoints), (Vec::new(), 3));
        }
        // And its segments do not fit into the honest journal.
        for name in [0, 5, 4] {
            let name = format!("segments/{name:020}.seg");
            let Ok(bytes) = fs::read(forged.path().join(&name)) else { continue };
            let mixed = image(honest.path());
            fs::write(mixed.path().join(&name), bytes).unwrap();
            let report = verified(mixed.path());
            assert_ne!(report.findings, [], "{case}: {name}");
        }
    }
    let mut options = VerifyOptions::new(toy());
    options.expected_key = Some(SigningKey::from_seed(ORIGIN, &[1; 32]).verifier());
    let report = verify(honest.path(), &options, &mut |_, _| {}).unwrap();
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::Key), "{report:?}");
}

#[test]
fn damaged_interior_segments_do_not_stop_the_writer_but_the_last_one_does() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let (first, last) = (
        dir.path().join(format!("segments/{:020}.seg", 0)),
        dir.path().join(format!("segments/{:020}.seg", 5)),
    );
    let (first_bytes, last_bytes) = (fs::read(&first).unwrap(), fs::read(&last).unwrap());
    fs::remove_file(&first).unwrap();
    let (journal, recovery) = Journal::open(dir.path(), options()).unwrap();
    assert_eq!(recovery.damaged_segments, [SegmentDamage { first_seq: 0, reason: "it is missing".into() }]);
    drop(journal);
    fs::write(&first, &first_bytes[..40]).unwrap();
    let (journal, recovery) = Journal::open(dir.path(), options()).unwrap();
    assert!(!recovery.damaged_segments.is_empty());
    drop(journal);
    fs::write(&first, first_bytes).unwrap();
    for bytes in [None, Some(&last_bytes[..last_bytes.len() - 1]), Some(&last_bytes[..5])] {
        fs::remove_file(&last).unwrap();
        if let Some(bytes) = bytes {
            fs::write(&last, bytes).unwrap();
        }
        let error = Journal::open(dir.path(), options()).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::LastSegment { .. }), "{error}");
        fs::write(&last, &last_bytes).unwrap();
    }
    let (journal, _) = Journal::open(dir.path(), options()).unwrap();
    journal.close().unwrap();
    assert_sound(dir.path(), 12);
}

/// What a kill leaves: one segment of 5 records and a tail with 9 more.
fn killed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), options(), time(0)).unwrap();
    append(&mut journal, 5).unwrap();
    journal.seal().unwrap();
    for count in [1, 3, 1, 4] {
        append(&mut journal, count).unwrap();
    }
    image(dir.path())
}

fn tail_files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir).into_iter().filter(|(name, _)| name.to_string_lossy().starts_with("tail-")).collect()
}

#[test]
fn any_flipped_byte_in_a_killed_tail_is_found_and_never_a_silent_loss() {
    let image_dir = killed();
    assert_sound(image_dir.path(), 14);
    let root = Reader::open(image_dir.path(), toy()).unwrap().root_at(14).unwrap();
    let (mut harmless, mut lost) = (0, 0);
    for (name, bytes) in tail_files(image_dir.path()) {
        for at in (0..bytes.len()).step_by(if bytes.len() > 1000 { 11 } else { 5 }) {
            let dir = image(image_dir.path());
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(dir.path().join(&name), bad).unwrap();
            let report = verified(dir.path());
            let named = report.findings.iter().any(|finding| finding.file.starts_with("tail-"));
            assert!(named, "{}: byte {at}: {report:?}", name.display());

            let (mut journal, recovery) = Journal::open(dir.path(), options()).unwrap();
            match &recovery.tail {
                TailRecovery::Damaged { kept_size, lost: gone, quarantined, .. } => {
                    assert_eq!((*kept_size, gone.end), (journal.size(), 14));
                    assert!(quarantined.as_ref().unwrap().join("db").exists());
                    assert!(gone.is_empty() == (journal.root() == root));
                    lost += u32::from(!gone.is_empty());
                }
                // No record uses the byte.
                other => {
                    assert!(matches!(other, TailRecovery::Unclean { accepted: 0 }), "{other:?}");
                    assert_eq!((journal.size(), journal.root()), (14, root));
                    harmless += 1;
                }
            }
            let size = journal.size();
            append(&mut journal, 2).unwrap();
            journal.close().unwrap();
            assert_sound(dir.path(), size + 2);
        }
    }
    assert!(lost > 20 && harmless > 0, "{lost} lost records, {harmless} harmless");
}

#[test]
fn a_truncated_or_missing_tail_is_found() {
    let image_dir = killed();
    let (name, bytes) =
        tail_files(image_dir.path()).into_iter().find(|(name, _)| name.ends_with("db")).unwrap();
    for len in [0, 100, bytes.len() / 2, bytes.len() - 700] {
        let dir = image(image_dir.path());
        fs::write(dir.path().join(&name), &bytes[..len]).unwrap();
        let report = verified(dir.path());
        assert!(!report.findings.is_empty(), "{len}");
        let (journal, recovery) = Journal::open(dir.path(), options()).unwrap();
        let TailRecovery::Damaged { kept_size, lost, .. } = recovery.tail else {
            panic!("{len}: {recovery:?}")
        };
        assert_eq!((kept_size, lost), (journal.size(), journal.size()..14));
        assert!(journal.size() >= 5);
    }
    let dir = image(image_dir.path());
    fs::remove_dir_all(dir.path().join(name.parent().unwrap())).unwrap();
    let report = verified(dir.path());
    assert!(names(&report).contains(&("anchor", Some(5), FindingKind::Missing)), "{report:?}");
    let open = || Journal::open(dir.path(), options()).unwrap();
    let expected = |recovery: &Recovery| {
        let TailRecovery::Damaged { kept_size: 5, lost, quarantined: None, .. } = &recovery.tail else {
            return false;
        };
        *lost == (5..14)
    };
    let (journal, recovery) = open();
    assert!(expected(&recovery), "{recovery:?}");
    drop(journal);
    // Until a record says so, every opening says it again.
    let (mut journal, recovery) = open();
    assert!(expected(&recovery), "{recovery:?}");
    append(&mut journal, 1).unwrap();
    drop(journal);
    let (journal, recovery) = open();
    assert!(!expected(&recovery), "{recovery:?}");
    journal.close().unwrap();
    assert_sound(dir.path(), 6);
}

#[test]
fn a_damaged_anchor_is_reported_and_repaired() {
    let image_dir = killed();
    let good = fs::read(image_dir.path().join("anchor")).unwrap();
    let spoilt = |slots: &[usize]| {
        let mut bad = good.clone();
        slots.iter().for_each(|slot| bad[slot * 4096 + 20] ^= 1);
        bad
    };
    for bad in [spoilt(&[0]), spoilt(&[1]), spoilt(&[0, 1]), vec![], vec![0; 8192], good[..4200].to_vec()] {
        let dir = image(image_dir.path());
        fs::write(dir.path().join("anchor"), &bad).unwrap();
        assert!(names(&verified(dir.path())).iter().any(|(file, _, _)| *file == "anchor"));
        let (journal, recovery) = Journal::open(dir.path(), options()).unwrap();
        assert!(recovery.anchor_problem.is_some());
        assert_eq!(journal.size(), 14);
        journal.close().unwrap();
        assert_sound(dir.path(), 14);
    }
    // An anchor of other records: the tail is whole, and not the one that was acknowledged.
    let other = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(other.path(), options(), time(0)).unwrap();
    for n in 0..14 {
        journal
            .append(
                time(0),
                &[draft(n + 100)].map(|mut draft| {
                    draft.causes.clear();
                    draft
                }),
            )
            .unwrap();
    }
    drop(journal);
    let dir = image(image_dir.path());
    fs::copy(other.path().join("anchor"), dir.path().join("anchor")).unwrap();
    assert!(
        names(&verified(dir.path()))
            .iter()
            .any(|(file, _, kind)| (*file, *kind) == ("anchor", FindingKind::Anchor))
    );
    let (_, recovery) = Journal::open(dir.path(), options()).unwrap();
    assert!(matches!(recovery.tail, TailRecovery::Damaged { kept_size: 14, .. }), "{recovery:?}");
}
