//! A restart with millions of events behind: open the journal, read the snapshot, fold the records after it.
//!
//! Invariant: what is timed as a whole is the very function that the binary opens its journal with, and the State that
//! it gives is compared with the one that was folded while the journal was written.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use purser_engine::event::{Event, Seq};
use purser_engine::model::{Span, Time};
use purser_engine::snapshot;
use purser_engine::state::State;
use purser_events::journal::{Draft, Journal, Reader, inspect};
use purser_events::wire::{Events, Purser};

use crate::cluster::Cluster;
use crate::lab::{drafts, fold, millis, options, record, temp_dir, timed};

const NODES: usize = 2_000;
const PODS_PER_NODE: usize = 10;
/// Records after the snapshot: a little less than the most that a hot tail takes.
const TAIL: u64 = 30_000;
/// What a restart may take.
const BOUND: Duration = Duration::from_secs(2);

/// Measures with this many records before the snapshot.
pub(crate) fn run(records: u64) {
    let root = temp_dir();
    let dir = root.path().join("journal");
    let ((mut journal, mut cluster, mut state), made) = timed(|| make(&dir, records));
    let size = journal.size();
    let rate = size as f64 / made.as_secs_f64();
    println!(
        "\nhistory: {size} records in {made:.0?} ({rate:.0} records/s with encoding and fold, unsynced)"
    );

    let (bytes, wrote) = timed(|| snapshot::write(&state));
    let ((), put) = timed(|| journal.put_snapshot(&snapshot::tag(), &bytes).unwrap());
    println!(
        "snapshot of {} nodes and {} pods: {} KiB, made in {:.0} ms, compressed and written in {:.0} ms",
        state.nodes.len(),
        state.pods.len(),
        bytes.len() / 1024,
        millis(wrote),
        millis(put),
    );
    tail(&mut journal, &mut cluster, &mut state);
    // Dropped and not closed: the hot tail stays, as after a kill.
    drop(journal);

    let copy = root.path().join("copy");
    image(&dir, &copy);
    println!("restart after a kill, {TAIL} records in the hot tail:");
    parts(&copy, &state);
    fs::remove_dir_all(&copy).unwrap();
    let (opened, whole) = timed(|| purser::journal::open(&dir, options()).unwrap());
    row("purser::journal::open, all of it in one", whole);
    println!("  {}", verdict(whole));
    assert!(opened.state == state, "the State of before the kill");

    opened.log.into_journal().unwrap().close().unwrap();
    println!("restart after a clean close, {TAIL} records after the snapshot, sealed:");
    let whole = parts(&dir, &state);
    println!("  {}", verdict(whole));

    let inspection = inspect(&dir).unwrap();
    let each = inspection.total_bytes as f64 / inspection.records as f64;
    println!("{} segments, {each:.1} bytes a record on disk", inspection.segments.len());
    without_snapshot(&dir);
}

/// A journal of a cluster that replaces a node every ten seconds, sealed by age and number as in production.
///
/// What is appended is made and folded by another thread, or the larger half of the time would go into waiting for it.
fn make(dir: &Path, records: u64) -> (Journal, Cluster, State) {
    let mut journal = Journal::create(dir, options(), 0).unwrap();
    let (send, receive) = mpsc::sync_channel::<(Time, Vec<Draft>)>(64);
    let producer = std::thread::spawn(move || {
        let mut state = State::default();
        let mut events = Vec::new();
        let mut cluster = Cluster::new(&mut events);
        let mut flush = |now: Time, events: &mut Vec<Event>| {
            send.send((now, drafts(state.size, events))).unwrap();
            fold(&mut state, now, events);
            events.clear();
            state.size
        };
        for _ in 0..NODES {
            cluster.launch(PODS_PER_NODE, &mut events);
            if events.len() > 500 {
                flush(cluster.now, &mut events);
            }
        }
        while flush(cluster.now, &mut events) < records {
            for _ in 0..4 {
                cluster.turn(&mut events);
                cluster.now = cluster.now + Span::secs(10);
            }
        }
        (cluster, state)
    });
    for (now, batch) in receive {
        journal.append(now.0, &batch).unwrap();
    }
    let (cluster, state) = producer.join().unwrap();
    journal.seal().unwrap();
    (journal, cluster, state)
}

/// A busy quarter of an hour in small batches.
fn tail(journal: &mut Journal, cluster: &mut Cluster, state: &mut State) {
    let end = state.size + TAIL;
    let mut events: Vec<Event> = Vec::new();
    while state.size < end {
        cluster.turn(&mut events);
        cluster.now = cluster.now + Span::secs(1);
        for batch in events.chunks(10) {
            let left = (end - state.size).min(batch.len() as u64) as usize;
            if left > 0 {
                record(journal, state, cluster.now, &batch[..left]);
            }
        }
        events.clear();
    }
    assert_eq!(journal.size() - journal.sealed_size(), TAIL, "all of it is in the hot tail");
}

/// The same journal in another folder; what never changes is linked.
fn image(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            image(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            fs::hard_link(&path, &target).unwrap();
        } else if path.file_name().is_some_and(|name| name != "lock") {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// What opening consists of, each part by itself.
fn parts(dir: &Path, expected: &State) -> Duration {
    let ((journal, recovery), opened) = timed(|| Journal::open(dir, options()).unwrap());
    let (reader, read) = timed(|| Reader::open(dir, Arc::new(Purser)).unwrap());
    let (kept, loaded) =
        timed(|| reader.latest_snapshot(&snapshot::tag(), journal.size()).unwrap().expect("there is one"));
    let (mut state, parsed) = timed(|| snapshot::read(&kept.bytes).unwrap());
    let from = state.size;
    let ((), folded) = timed(|| {
        for logged in Events::read(&reader, Seq(from)) {
            let logged = logged.unwrap();
            fold(&mut state, logged.time, &[logged.event]);
        }
    });
    assert!(state == *expected && state.size - from == TAIL, "the State of before");
    let segments = reader.segments().len();
    let how = if recovery.is_clean() { "" } else { ", tail checked and sealed" };
    row(&format!("journal: headers of {segments} segments{how}"), opened);
    row("reader: the headers again, the tree's edge", read);
    row("snapshot: read, unpacked, root compared", loaded);
    row("snapshot: into State", parsed);
    row(&format!("fold of {TAIL} records"), folded);
    let sum = opened + read + loaded + parsed + folded;
    row("sum", sum);
    sum
}

fn row(what: &str, time: Duration) {
    println!("  {what:<58}{:>9.1} ms", millis(time));
}

fn verdict(time: Duration) -> String {
    let word = if time < BOUND { "within" } else { "BEYOND" };
    format!("{word} the bound of {:.0} ms", millis(BOUND))
}

/// What it costs when no snapshot can be used: the fold from record 0.
fn without_snapshot(dir: &Path) {
    let reader = Reader::open(dir, Arc::new(Purser)).unwrap();
    let records = reader.size().min(500_000);
    let mut state = State::default();
    let ((), folded) = timed(|| {
        for logged in Events::read(&reader, Seq(0)).take(records as usize) {
            let logged = logged.unwrap();
            fold(&mut state, logged.time, &[logged.event]);
        }
    });
    let rate = records as f64 / folded.as_secs_f64();
    let all = reader.size() as f64 / rate;
    println!("without a snapshot: {rate:.0} records/s from record 0, {all:.1} s for all");
}
