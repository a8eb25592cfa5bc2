//! Crashes and a full disk at every point.

use std::path::Path;
use std::sync::Arc;

use super::common::*;
use purser_events::journal::*;

fn policy() -> SealPolicy {
    SealPolicy { max_records: 12, ..SealPolicy::default() }
}

fn with(script: &Arc<Script>, archive: &Path) -> Options {
    let mut options = options();
    options.seal = policy();
    options.archive = Some(archive.to_owned());
    options.faults = Some(Arc::clone(script) as Arc<dyn Faults>);
    options
}

/// Appends, seals, snapshots and retains; returns what was acknowledged, and whether it came to its end.
fn work(journal: &mut Journal) -> (u64, bool) {
    for round in 0..9u64 {
        if append(journal, 1 + round % 4).is_err() {
            return (journal.size(), false);
        }
        if round == 4 && journal.put_snapshot("v1", &[9; 100]).is_err() {
            return (journal.size(), false);
        }
        if journal.tick(time(journal.size())).is_err() {
            return (journal.size(), false);
        }
    }
    let keep = RetentionPolicy { max_age_us: None, max_records: Some(5), keep_segments: 1 };
    let done =
        journal.seal().is_ok() && append(journal, 2).is_ok() && journal.retain(&keep, time(99)).is_ok();
    (journal.size(), done)
}

#[test]
fn a_crash_at_any_point_loses_nothing_acknowledged() {
    let mut reached = 0;
    for point in Point::all() {
        for skip in [0, 1, 2, 5] {
            let (dir, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let script = Arc::new(Script::default());
            let mut journal = Journal::create(dir.path(), with(&script, archive.path()), time(0)).unwrap();
            script.arm(point, skip, Failure::Crash, false);
            let (acknowledged, done) = work(&mut journal);
            let context = format!("{point:?} after {skip}");
            if script.fired() == 0 {
                assert!(done, "{context}");
                break;
            }
            reached += 1;
            let root = journal.root();
            assert!(matches!(append(&mut journal, 1), Err(AppendError::Fatal { .. })), "{context}");
            let left = files(dir.path());
            drop(journal);
            assert!(files(dir.path()) == left, "{context}: dropping wrote something");

            // A reader and the next writer both find all that was acknowledged.
            let copy = image(dir.path());
            assert_records(copy.path(), if acknowledged > 18 { 0 } else { acknowledged });
            let options = with(&script, archive.path());
            let (mut journal, recovery) = Journal::open(dir.path(), options.clone()).unwrap();
            assert!(
                matches!(recovery.tail, TailRecovery::Clean | TailRecovery::Unclean { .. }),
                "{context}: {recovery:?}"
            );
            assert!(
                recovery.anchor_problem.is_none() && recovery.damaged_segments.is_empty(),
                "{context}: {recovery:?}"
            );
            assert!(journal.size() >= acknowledged, "{context}");
            if journal.size() == acknowledged {
                assert_eq!(journal.root(), root, "{context}");
            }
            append(&mut journal, 3).unwrap();
            let size = journal.size();
            journal.close().unwrap();
            let mut options = VerifyOptions::new(toy());
            options.archive = Some(archive.path().to_owned());
            let report = verify(dir.path(), &options, &mut |_, _| {}).unwrap();
            assert_eq!(report.findings, [], "{context}");
            assert_eq!((report.size, report.records), (size, size), "{context}");
        }
    }
    assert!(reached > 60, "only {reached} crashes happened");
}

#[test]
fn a_crash_while_recovering_loses_nothing_either() {
    let mut reached = 0;
    for point in Point::all() {
        for skip in 0..2 {
            let (dir, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let script = Arc::new(Script::default());
            let mut journal = Journal::create(dir.path(), with(&script, archive.path()), time(0)).unwrap();
            for count in [4, 9, 2, 3] {
                append(&mut journal, count).unwrap();
            }
            let (size, root) = (journal.size(), journal.root());
            let killed = image(dir.path());
            drop(journal);
            script.arm(point, skip, Failure::Crash, false);
            let options = with(&script, archive.path());
            if Journal::open(killed.path(), options.clone()).is_ok() {
                break;
            }
            reached += 1;
            let (journal, recovery) = Journal::open(killed.path(), options).unwrap();
            assert!(!matches!(recovery.tail, TailRecovery::Damaged { .. }), "{point:?}: {recovery:?}");
            assert_eq!((journal.size(), journal.root()), (size, root), "{point:?}");
            journal.close().unwrap();
            assert_sound(killed.path(), size);
        }
    }
    assert!(reached >= 12, "only {reached} crashes happened");
}

#[test]
fn a_full_disk_at_any_point_loses_nothing_and_passes() {
    let mut reached = 0;
    for point in Point::all() {
        for (skip, lasting) in [(0, true), (1, true), (3, true), (0, false), (1, false), (4, false)] {
            let (dir, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let script = Arc::new(Script::default());
            let mut journal = Journal::create(dir.path(), with(&script, archive.path()), time(0)).unwrap();
            script.arm(point, skip, Failure::Full, lasting);
            let context = format!("{point:?} after {skip}, lasting {lasting}");
            let mut acknowledged = 0;
            for round in 0..9 {
                match append(&mut journal, 1 + round % 4) {
                    Ok(range) => acknowledged = range.end,
                    Err(AppendError::Full { .. }) => {}
                    Err(error) => panic!("{context}: {error}"),
                }
                let _ = journal.put_snapshot("v1", b"state");
                let _ = journal.tick(time(journal.size()));
                assert_eq!(journal.size(), acknowledged, "{context}");
            }
            reached += u32::from(script.fired() > 0);
            // A crash while the disk is full.
            let copy = image(dir.path());
            let fired = script.fired();
            script.disarm();
            assert!(assert_records(copy.path(), acknowledged) >= acknowledged);
            let (reopened, recovery) = Journal::open(copy.path(), with(&script, archive.path())).unwrap();
            assert!(!matches!(recovery.tail, TailRecovery::Damaged { .. }), "{context}: {recovery:?}");
            assert!(reopened.size() >= acknowledged, "{context}");
            drop(reopened);
            // Space is back.
            append(&mut journal, 3).unwrap_or_else(|error| panic!("{context}, fired {fired}: {error}"));
            assert_eq!(journal.size(), acknowledged + 3, "{context}");
            journal.close().unwrap();
            assert_sound(dir.path(), acknowledged + 3);
            assert_records(dir.path(), acknowledged + 3);
        }
    }
    assert!(reached > 60, "only {reached} failures happened");
}

#[test]
fn another_failure_stops_the_writer_for_good() {
    for point in [Point::TailApply, Point::TailFlush, Point::TailSync, Point::AnchorWrite, Point::AnchorSync]
    {
        let (dir, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let script = Arc::new(Script::default());
        let mut journal = Journal::create(dir.path(), with(&script, archive.path()), time(0)).unwrap();
        append(&mut journal, 4).unwrap();
        script.arm(point, 0, Failure::Broken, false);
        assert!(matches!(append(&mut journal, 1), Err(AppendError::Fatal { .. })), "{point:?}");
        assert!(matches!(append(&mut journal, 1), Err(AppendError::Fatal { .. })), "{point:?}");
        assert!(matches!(journal.seal(), Err(WriteError::Fatal { .. })), "{point:?}");
        assert_eq!(journal.size(), 4);
        drop(journal);
        let (journal, _) = Journal::open(dir.path(), with(&script, archive.path())).unwrap();
        assert!(journal.size() >= 4);
        journal.close().unwrap();
    }
}

/// A real file system that runs out of space; needs the right to mount one, and passes without it.
#[test]
fn a_really_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        std::process::Command::new(args[0])
            .args(&args[1..])
            .arg(dir.path())
            .output()
            .is_ok_and(|out| out.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs"]) {
        return;
    }
    let home = dir.path().join("journal");
    let run = || {
        let mut journal = Journal::create(&home, options(), time(0)).map_err(|error| error.to_string())?;
        let ballast = dir.path().join("ballast");
        for length in [2_600_000usize, 2_700_000, 2_750_000, 2_790_000] {
            append(&mut journal, 50).map_err(|error| error.to_string())?;
            let acknowledged = journal.size();
            // Filled behind the journal's back, after its own look at the free space.
            let free = length.saturating_sub(files(dir.path()).values().map(Vec::len).sum());
            std::fs::write(&ballast, vec![1; free])
                .or(Ok::<(), std::io::Error>(()))
                .map_err(|e| e.to_string())?;
            let mut full = 0;
            for _ in 0..40 {
                let before = journal.size();
                match append(&mut journal, 50) {
                    Ok(_) => {}
                    Err(AppendError::Full { .. }) => {
                        full += 1;
                        assert_eq!(journal.size(), before);
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            if full == 0 {
                return Err("the disk never was full".to_owned());
            }
            std::fs::remove_file(&ballast).map_err(|error| error.to_string())?;
            append(&mut journal, 1).map_err(|error| error.to_string())?;
            journal.seal().map_err(|error| error.to_string())?;
            assert_records(&home, acknowledged);
        }
        let size = journal.size();
        journal.close().map_err(|error| error.to_string())?;
        assert_sound(&home, size);
        Ok(())
    };
    let result = run();
    let _ = std::process::Command::new("umount").arg(dir.path()).output();
    assert_eq!(result, Ok(()));
}
