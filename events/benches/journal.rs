//! What the journal costs: appends beside bare sled and a bare synced file, bytes a record, opening, reading, verifying.
//!
//! `cargo bench -p purser-events --bench journal` runs in a minute or two; `PURSER_BENCH=quick` in seconds;
//! `PURSER_BENCH=full` opens a journal with ten million records behind it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench measures time, prints, and may stop at any surprise"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use purser_events::journal::*;

struct Toy;

impl Vocabulary for Toy {
    fn render(&self, kind: u16, _: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        let mut json = Vec::with_capacity(payload.len() * 2 + 32);
        write!(json, "{{\"kind\":{kind},\"hex\":\"").expect("invariant: a vector takes everything");
        for byte in payload {
            write!(json, "{byte:02x}").expect("invariant: a vector takes everything");
        }
        json.extend_from_slice(b"\"}");
        Ok(Rendered { class: "observation", name: "pod-bound", json })
    }
}

/// A payload of some 60 bytes like the real ones: small integers, ids that come back, and 8 to 16 bytes of noise.
fn draft(n: u64) -> Draft {
    let noise = |salt: u64| {
        (n ^ salt << 32)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let mut payload = Vec::with_capacity(64);
    payload.extend_from_slice(&(n / 3).to_le_bytes());
    payload.extend_from_slice(&(noise(1) % 5000).to_le_bytes());
    payload.extend_from_slice(&noise(2).to_le_bytes());
    payload.extend_from_slice(&[(noise(3) % 7) as u8, 1, 0, 0, 2, 0, 0, 0]);
    payload.extend_from_slice(&(100 * (noise(4) % 40)).to_le_bytes());
    payload.extend_from_slice(&((noise(5) % 64) << 20).to_le_bytes());
    payload.extend_from_slice(format!("node-{:05}", noise(6) % 2000).as_bytes());
    let causes = if n > 10 { vec![n - 1 - noise(7) % 8] } else { Vec::new() };
    Draft { kind: (noise(8) % 12) as u16, schema: 1, causes, payload }
}

fn options(sync: bool) -> Options {
    let mut options = Options::new("bench.example.org/journal", "purser-0", 1, Arc::new(Toy));
    options.identity = IdentitySource::Derived { seed: [1; 32] };
    options.sync = sync;
    options.min_free_bytes = 0;
    options
}

struct Run {
    latencies: Vec<Duration>,
    records: u64,
}

impl Run {
    fn measure(commits: u64, batch: u64, mut commit: impl FnMut(u64, &[Draft])) -> Self {
        let mut latencies = Vec::new();
        for at in 0..commits {
            let drafts: Vec<Draft> = (at * batch..(at + 1) * batch).map(draft).collect();
            let start = Instant::now();
            commit(at * batch, &drafts);
            latencies.push(start.elapsed());
        }
        latencies.sort_unstable();
        Self { latencies, records: commits * batch }
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.latencies.iter().sum::<Duration>().as_secs_f64()
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }
}

fn appends(root: &Path, commits: u64) {
    println!("append: records/s, p50 / p99 of a commit; the last column is p50 against a bare synced file");
    println!(
        "{:<28}{:>7}{:>12}{:>11}{:>11}{:>8}",
        "store", "batch", "records/s", "p50 us", "p99 us", "ratio"
    );
    for batch in [1u64, 10, 100, 1000] {
        let commits = (commits * 10 / (batch + 9)).max(20);
        let file_path = root.join(format!("file-{batch}"));
        let mut file = File::create(&file_path).unwrap();
        let bare_file = Run::measure(commits, batch, |_, drafts| {
            let bytes: Vec<u8> = drafts.iter().flat_map(|draft| draft.payload.iter().copied()).collect();
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
        });
        let sled_path = root.join(format!("sled-{batch}"));
        let db = sled::Config::new()
            .path(&sled_path)
            .cache_capacity(16 << 20)
            .flush_every_ms(None)
            .open()
            .unwrap();
        let handle = File::open(sled_path.join("db")).unwrap();
        let bare_sled = Run::measure(commits, batch, |first, drafts| {
            let mut values = sled::Batch::default();
            for (at, draft) in drafts.iter().enumerate() {
                values.insert(&(first + at as u64).to_be_bytes(), &*draft.payload);
            }
            db.apply_batch(values).unwrap();
            db.flush().unwrap();
            handle.sync_data().unwrap();
        });
        drop(db);
        let mut journal = Journal::create(&root.join(format!("grouped-{batch}")), options(true), 0).unwrap();
        let grouped = Run::measure(commits, batch, |first, drafts| {
            journal.append(first as i64 * 10, drafts).unwrap();
        });
        journal.close().unwrap();
        let mut journal = Journal::create(&root.join(format!("single-{batch}")), options(true), 0).unwrap();
        let singles = (commits / batch).max(3);
        let single = Run::measure(singles, batch, |first, drafts| {
            for draft in drafts {
                journal.append(first as i64 * 10, std::slice::from_ref(draft)).unwrap();
            }
        });
        journal.close().unwrap();
        let base = bare_file.percentile(50).as_secs_f64();
        let runs = [
            ("bare file + fdatasync", &bare_file),
            ("bare sled + fdatasync", &bare_sled),
            ("journal, group commit", &grouped),
            ("journal, commit a record", &single),
        ];
        for (name, run) in runs {
            println!(
                "{name:<28}{batch:>7}{:>12.0}{:>11.0}{:>11.0}{:>8.2}",
                run.rate(),
                run.percentile(50).as_secs_f64() * 1e6,
                run.percentile(99).as_secs_f64() * 1e6,
                run.percentile(50).as_secs_f64() / base,
            );
        }
    }
}

fn history(root: &Path, records: u64) {
    let dir = root.join("history");
    let start = Instant::now();
    let mut journal = Journal::create(&dir, options(false), 0).unwrap();
    let batch = 1024;
    for first in (0..records).step_by(batch) {
        let drafts: Vec<Draft> = (first..first + batch as u64).map(draft).collect();
        journal.append(first as i64 * 10, &drafts).unwrap();
    }
    let size = journal.size();
    journal.close().unwrap();
    let built = start.elapsed();
    println!(
        "\nhistory of {size} records, built in {built:.1?} ({:.0} records/s, unsynced)",
        size as f64 / built.as_secs_f64()
    );

    let start = Instant::now();
    let (mut journal, recovery) = Journal::open(&dir, options(false)).unwrap();
    println!("open after a clean close: {:.1?} ({recovery:?})", start.elapsed());
    let drafts: Vec<Draft> = (0..30_000).map(|n| draft(size + n)).collect();
    journal.append(size as i64 * 10, &drafts).unwrap();
    let root_hash = journal.root();
    drop(journal);
    let start = Instant::now();
    let (journal, recovery) = Journal::open(&dir, options(false)).unwrap();
    println!(
        "open after a kill with 30000 records in the tail: {:.1?} ({:?})",
        start.elapsed(),
        recovery.tail
    );
    assert_eq!(journal.root(), root_hash);
    journal.close().unwrap();

    let inspection = inspect(&dir).unwrap();
    let count = inspection.records as f64;
    let sections: Vec<SectionBytes> =
        inspection.segments.iter().filter_map(|segment| segment.sections).collect();
    let each = |part: fn(&SectionBytes) -> u64| sections.iter().map(part).sum::<u64>() as f64 / count;
    println!(
        "bytes a record: {:.1} on disk = {:.1} blocks (raw {:.1}, payload {:.1}) + {:.1} leaf + {:.2} header and footer",
        inspection.total_bytes as f64 / count,
        each(|section| section.blocks),
        each(|section| section.blocks_raw),
        each(|section| section.payloads_raw),
        each(|section| section.leaves),
        each(|section| section.header + section.footer),
    );

    let reader = Reader::open(&dir, Arc::new(Toy)).unwrap();
    let start = Instant::now();
    let read = reader.records(0).filter(|record| record.is_ok()).count();
    println!("scan: {:.0} records/s", read as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let report = verify(&dir, &VerifyOptions::new(Arc::new(Toy)), &mut |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    println!("verify: {:.0} records/s", report.records as f64 / start.elapsed().as_secs_f64());
}

/// Small journals are made by the thousand in simulations.
fn small(root: &Path, rounds: u32) {
    let start = Instant::now();
    for round in 0..rounds {
        let dir = root.join(format!("small-{round}"));
        let mut journal = Journal::create(&dir, options(false), 0).unwrap();
        journal.append(0, &[draft(0)]).unwrap();
        drop(journal);
        let (journal, _) = Journal::open(&dir, options(false)).unwrap();
        journal.close().unwrap();
    }
    println!(
        "\nsmall journal, unsynced: create, append, kill, open, close in {:.1?}",
        start.elapsed() / rounds
    );
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim().to_owned()
}

fn main() {
    let (commits, records) = match std::env::var("PURSER_BENCH").as_deref() {
        Ok("quick") => (100, 100_000),
        Ok("full") => (200, 10_000_000),
        _ => (400, 1_000_000),
    };
    let root = tempfile::tempdir().unwrap();
    appends(root.path(), commits);
    small(root.path(), 50);
    history(root.path(), records);
    println!("peak memory of this process (VmHWM): {}", peak_memory());
}
