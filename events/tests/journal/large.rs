//! Samples of a larger journal: what is changed somewhere in many blocks, segments and a killed tail is found, and named.
//!
//! The journal is made once and never changed. A case verifies a view of it: links to the small files and to the
//! segments that matter, and a copy of the one file that is damaged. What a view lacks is a finding of the view; what a
//! damage adds to it must name the damaged file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use sha2::{Digest as _, Sha256};

use super::common::{copy, image, options, time};
use super::samples::{self, Noise, fact};
use purser_events::journal::*;

/// Where the segments begin, the tail, and the end. All but the last segment have several blocks.
const BOUNDS: [u64; 8] = [0, 15_000, 26_000, 35_000, 43_500, 48_250, 48_750, 50_000];
const SEALED: u64 = BOUNDS[BOUNDS.len() - 2];
const SIZE: u64 = BOUNDS[BOUNDS.len() - 1];
const BATCH: u64 = 250;
const BLOCK: u64 = 4096;

/// The journal that all cases are about.
struct Large {
    dir: tempfile::TempDir,
    root: Hash,
}

/// The tests of this file share it while any of them runs; the last one removes it.
fn large() -> Arc<Large> {
    static SHARED: Mutex<Weak<Large>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    if let Some(large) = shared.upgrade() {
        return large;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), quick(), time(0)).unwrap();
    for first in (0..SIZE).step_by(BATCH as usize) {
        if BOUNDS.contains(&first) {
            journal.seal().unwrap();
        }
        if first == BOUNDS[2] || first == SEALED {
            journal.put_snapshot("v1", &first.to_le_bytes().repeat(500)).unwrap();
        }
        let batch: Vec<Draft> = (first..first + BATCH).map(fact).collect();
        journal.append(time(first), &batch).unwrap();
    }
    let large = Arc::new(Large { dir: image(dir.path()), root: journal.root() });
    *shared = Arc::downgrade(&large);
    large
}

fn quick() -> Options {
    Options { vocabulary: Arc::new(samples::Quick), ..options() }
}

fn segment(number: usize) -> String {
    format!("segments/{:020}.seg", BOUNDS[number])
}

fn tail() -> String {
    format!("tail-{SEALED:020}")
}

fn report(dir: &Path) -> VerifyReport {
    verify(dir, &VerifyOptions::new(Arc::new(samples::Quick)), &mut |_, _| {}).unwrap()
}

/// A part of the journal in a folder of its own.
struct View {
    dir: tempfile::TempDir,
    /// What verification finds in it for want of the other parts.
    lacks: Vec<Finding>,
}

impl View {
    /// The small files, these segments, and the tail or not.
    fn new(large: &Large, segments: &[usize], with_tail: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["", "segments", "checkpoints", "snapshots"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            for entry in fs::read_dir(large.dir.path().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(large.dir.path()).unwrap();
                let wanted = folder != "segments" || segments.iter().any(|n| name == Path::new(&segment(*n)));
                if path.is_file() && wanted && name != Path::new("lock") {
                    fs::hard_link(&path, dir.path().join(name)).unwrap();
                }
            }
        }
        if with_tail {
            copy(&large.dir.path().join(tail()), &dir.path().join(tail()));
        }
        let lacks = report(dir.path()).findings;
        Self { dir, lacks }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Puts a file of its own in the place of a linked one.
    fn write(&self, file: &str, bytes: &[u8]) {
        fs::remove_file(self.path(file)).unwrap();
        fs::write(self.path(file), bytes).unwrap();
    }

    /// What verification finds now and did not find before.
    fn news(&self) -> Vec<Finding> {
        let mut found = report(self.dir.path()).findings;
        found.retain(|finding| !self.lacks.contains(finding));
        found
    }
}

fn says(news: &[Finding], file: &str, kind: FindingKind) -> bool {
    news.iter().any(|finding| finding.file == file && finding.kind == kind)
}

#[test]
fn undamaged_it_is_sound() {
    let large = large();
    let report = report(large.dir.path());
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.records, report.root), (SIZE, SIZE, large.root));
    assert_eq!(report.checkpoints, BOUNDS.len() as u64 - 2);
}

/// Where the sections of a segment are, and how many samples of each are a fair share.
fn sections(dir: &Path, number: usize) -> Vec<(&'static str, std::ops::Range<usize>, usize)> {
    let inspection = inspect(dir).unwrap();
    let info = inspection.segments.iter().find(|info| info.file == segment(number)).unwrap();
    let sections = info.sections.unwrap();
    assert_eq!(sections.block_count, (BOUNDS[number + 1] - BOUNDS[number]).div_ceil(BLOCK));
    let mut at = 0;
    let mut next = |len: u64| {
        at += len as usize;
        at - len as usize..at
    };
    let (header, blocks) = (next(sections.header), next(sections.blocks));
    let (leaves, footer) = (next(sections.leaves), next(sections.footer - 32));
    vec![
        ("header", header, 2),
        ("block", blocks, 4),
        ("leaf", leaves, 3),
        ("footer", footer, 2),
        ("digest", next(32), 1),
    ]
}

#[test]
fn a_flipped_byte_in_a_segment_is_found_in_its_section() {
    let large = large();
    let mut noise = Noise(0x5e90);
    let mut tried = 0;
    // The smaller a segment, the cheaper a case.
    for (number, shares) in [(0, 1), (2, 1), (4, 3), (5, 9)] {
        let file = segment(number);
        let view = View::new(&large, &[number], false);
        let good = fs::read(view.path(&file)).unwrap();
        for (section, range, samples) in sections(view.dir.path(), number) {
            for sample in 0..samples * shares {
                let at = range.start + noise.below(range.len() as u64) as usize;
                let mut bad = good.clone();
                bad[at] ^= 1 << noise.below(8);
                // Whoever has no key can still put the digest right.
                let repaired = sample % 2 == 1 && section != "digest";
                if repaired {
                    let (body, digest) = bad.split_last_chunk_mut::<32>().unwrap();
                    *digest = Sha256::digest(body).into();
                }
                view.write(&file, &bad);
                let news = view.news();
                let context = format!("{file}: {section} at {at}, digest repaired: {repaired}: {news:#?}");
                assert!(news.iter().any(|finding| finding.file == file), "{context}");
                let seqs: Vec<u64> = news.iter().filter_map(|finding| finding.seq).collect();
                match section {
                    "leaf" => {
                        let seq = BOUNDS[number] + (at - range.start) as u64 / 32;
                        assert!(says(&news, &file, FindingKind::Leaf) && seqs.contains(&seq), "{context}");
                    }
                    "block" => {
                        let begins = |seq: &u64| (seq - BOUNDS[number]).is_multiple_of(BLOCK);
                        assert!(says(&news, &file, FindingKind::Damaged), "{context}");
                        assert!(seqs.len() == 1 && seqs.iter().all(begins), "{context}");
                    }
                    _ => assert!(says(&news, &file, FindingKind::Damaged), "{context}"),
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 160, "{tried}");
}

#[test]
fn a_flipped_byte_in_a_small_file_is_found() {
    let large = large();
    let mut noise = Noise(0x511a);
    let view = View::new(&large, &[5], false);
    let snapshots = [BOUNDS[2], SEALED].map(|size| (format!("snapshots/{size:020}.snap"), 15));
    let checkpoints = BOUNDS[1..7].iter().map(|size| (format!("checkpoints/{size:020}"), 8));
    let mut files: Vec<(String, usize)> = snapshots.into_iter().chain(checkpoints).collect();
    files.extend(
        [("anchor", 30), ("identity.json", 12), ("secret", 8), ("vkey", 8)].map(|(f, n)| (f.into(), n)),
    );
    let mut tried = 0;
    for (file, samples) in &files {
        let good = fs::read(view.path(file)).unwrap();
        for sample in 0..*samples {
            let at = match &**file {
                // Two of three hits go to what is used of a slot, which is little of it.
                "anchor" if sample % 3 < 2 => (sample % 2) * 4096 + noise.below(84) as usize,
                _ => noise.below(good.len() as u64) as usize,
            };
            let mut bad = good.clone();
            bad[at] ^= 1 << noise.below(8);
            view.write(file, &bad);
            let checked =
                verify(view.dir.path(), &VerifyOptions::new(Arc::new(samples::Quick)), &mut |_, _| {});
            let named = match (&checked, &**file) {
                // A journal of another format, or that does not say who it is, is not read any further.
                (Err(ReadError::Open(error)), "identity.json") => error.to_string().contains("identity.json"),
                (Ok(report), _) => {
                    let kinds: &[FindingKind] = match file.split('/').next().unwrap() {
                        "anchor" => &[FindingKind::Anchor],
                        "checkpoints" => &[FindingKind::Signature],
                        "vkey" => &[FindingKind::Damaged, FindingKind::Key],
                        _ => &[FindingKind::Damaged],
                    };
                    let mut new = report.findings.iter().filter(|finding| !view.lacks.contains(finding));
                    new.any(|finding| finding.file == *file && kinds.contains(&finding.kind))
                }
                _ => false,
            };
            assert!(named, "{file}: byte {at}: {checked:#?}");
            tried += 1;
        }
        view.write(file, &good);
    }
    assert!(tried >= 130, "{tried}");
}

#[test]
fn a_flipped_byte_in_the_tail_is_found_whether_a_record_uses_it_or_not() {
    let large = large();
    let mut noise = Noise(0x7a11);
    let view = View::new(&large, &[5], true);
    let records = samples::records(view.dir.path(), SEALED);
    assert_eq!(records.len() as u64, SIZE - SEALED);
    let (mut used, mut unused) = (0, 0);
    for name in ["db", "conf"] {
        let path = view.path(&tail()).join(name);
        let good = fs::read(&path).unwrap();
        let least = if name == "db" { 50 } else { 10 };
        for tried in 0..400 {
            // How much of the database is records is up to sled; of both kinds of bytes there are to be enough.
            if tried >= least && used > 10 {
                break;
            }
            let at = noise.below(good.len() as u64) as usize;
            let mut bad = good.clone();
            bad[at] ^= 1 << noise.below(8);
            fs::write(&path, &bad).unwrap();
            let after = report(view.dir.path());
            let named = after.findings.iter().any(|finding| finding.file.starts_with(&tail()));
            assert!(named, "{name}: byte {at}: {:#?}", after.findings);
            let is_used = (after.size, after.root) != (SIZE, large.root);
            *(if is_used { &mut used } else { &mut unused }) += 1;
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(unused >= 10 && used > 10, "{unused} and {used}");
    assert_eq!(view.news(), []);
}

/// How a list of records is forged at one place of it.
type Forgery = fn(&mut Vec<u64>, usize);

const FORGERIES: [(&str, Forgery); 3] = [
    ("dropped", |list, at| {
        list.remove(at);
    }),
    ("doubled", |list, at| list.insert(at, list[at])),
    ("swapped", |list, at| list.swap(at, at + 1)),
];

/// What the right writer, with the right key, makes of these records in place of those from `first` on: a journal of the
/// segments before, and a tail.
fn forged(large: &Large, first: u64, list: &[u64]) -> (tempfile::TempDir, Journal) {
    let before: Vec<usize> = (0..BOUNDS.len() - 2).filter(|number| BOUNDS[*number] < first).collect();
    let dir = View::new(large, &before[before.len() - 1..], false).dir;
    fs::remove_file(dir.path().join("anchor")).unwrap();
    for bound in BOUNDS.iter().filter(|bound| (first + 1..SIZE).contains(bound)) {
        fs::remove_file(dir.path().join(format!("checkpoints/{bound:020}"))).unwrap();
    }
    let (mut journal, _) = Journal::open(dir.path(), quick()).unwrap();
    assert_eq!(journal.size(), first);
    for batch in list.chunks(BATCH as usize) {
        let size = journal.size();
        let forge = |n: &u64| {
            let mut draft = fact(*n);
            draft.causes.retain(|cause| *cause < size);
            draft
        };
        journal.append(time(size), &batch.iter().map(forge).collect::<Vec<_>>()).unwrap();
    }
    (dir, journal)
}

#[test]
fn dropped_doubled_and_swapped_records_of_a_segment_are_found_though_signed_with_the_right_key() {
    let large = large();
    let mut noise = Noise(0xd0b1);
    // The second place is at the end of a block.
    for (number, place) in [(4, None), (4, Some(BLOCK as usize - 1)), (2, None)] {
        let (first, end) = (BOUNDS[number], BOUNDS[number + 1]);
        let place = place.unwrap_or(noise.below(end - first - 1) as usize);
        let view = View::new(&large, &[number, number + 1], false);
        for (forgery, forge) in FORGERIES {
            let mut list: Vec<u64> = (first..end).collect();
            forge(&mut list, place);
            let (dir, mut journal) = forged(&large, first, &list);
            journal.seal().unwrap();
            view.write(&segment(number), &fs::read(dir.path().join(segment(number))).unwrap());
            let news = view.news();
            let next = segment(number + 1);
            let found = match forgery {
                "dropped" => {
                    let missing = format!("segments/{:020}.seg", end - 1);
                    says(&news, &missing, FindingKind::Missing)
                }
                "doubled" => says(&news, &next, FindingKind::Sequence),
                _ => {
                    says(&news, &next, FindingKind::Root)
                        && says(&news, &next, FindingKind::Sequence)
                        && says(&news, &format!("checkpoints/{end:020}"), FindingKind::Signature)
                }
            };
            assert!(found, "{forgery} at {place} of segment {number}: {news:#?}");
        }
    }
}

#[test]
fn dropped_doubled_and_swapped_records_of_a_tail_are_found_though_made_with_the_secret() {
    let large = large();
    let mut noise = Noise(0xd0b2);
    let view = View::new(&large, &[5], true);
    for (forgery, forge) in FORGERIES.into_iter().cycle().take(9) {
        let mut list: Vec<u64> = (SEALED..SIZE).collect();
        let place = noise.below(SIZE - SEALED - 1) as usize;
        forge(&mut list, place);
        let (dir, journal) = forged(&large, SEALED, &list);
        fs::remove_dir_all(view.path(&tail())).unwrap();
        copy(&dir.path().join(tail()), &view.path(&tail()));
        drop(journal);
        let news = view.news();
        let found = match forgery {
            "dropped" => says(&news, &format!("{}/db", tail()), FindingKind::Damaged),
            _ => says(&news, "anchor", FindingKind::Anchor),
        };
        assert!(found, "{forgery} at {place}: {news:#?}");
    }
}

#[test]
fn frames_that_are_moved_about_in_a_tail_are_found_or_change_nothing() {
    let large = large();
    let mut noise = Noise(0xf4a3);
    let view = View::new(&large, &[5], true);
    let records = samples::records(view.dir.path(), SEALED);
    for sample in 0..3 {
        for (tampering, harmful) in [
            ("value dropped", true),
            ("frame dropped", true),
            ("frame in place of the next", true),
            ("numbers exchanged", true),
            ("frame doubled", false),
            ("frames swapped", false),
        ] {
            fs::remove_dir_all(view.path(&tail())).unwrap();
            copy(&large.dir.path().join(tail()), &view.path(&tail()));
            samples::tamper(&view.path(&tail()), |values| {
                let at = noise.below(values.len() as u64) as usize;
                let key = values.keys().nth(at).unwrap().clone();
                let value = values.get_mut(&key).unwrap();
                let frames = samples::frames(value);
                let (one, two) = (frames[sample].1.clone(), frames[sample + 1].1.clone());
                let (first, second) = (value[one.clone()].to_vec(), value[two.clone()].to_vec());
                match tampering {
                    "value dropped" => drop(values.remove(&key)),
                    "frame dropped" => drop(value.drain(one)),
                    "frame in place of the next" => drop(value.splice(two, first)),
                    "numbers exchanged" => {
                        let [first, second] = samples::exchanged([&first, &second]);
                        value.splice(two, second);
                        value.splice(one, first);
                    }
                    "frame doubled" => value.extend(first),
                    _ => drop(value.splice(one.start..two.end, [second, first].concat())),
                }
            });
            let after = report(view.dir.path());
            let db = format!("{}/db", tail());
            let found = says(&after.findings, &db, FindingKind::Damaged);
            assert_eq!(found, harmful, "{tampering}: {:#?}", after.findings);
            if !found {
                assert_eq!((after.findings, after.root), (view.lacks.clone(), large.root), "{tampering}");
                assert!(samples::records(view.dir.path(), SEALED) == records, "{tampering}");
            }
        }
    }
}
