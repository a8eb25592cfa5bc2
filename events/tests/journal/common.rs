//! A toy vocabulary, small journals, and faults on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use purser_events::journal::*;

pub(crate) const ORIGIN: &str = "example.org/purser/test";
pub(crate) const SEED: [u8; 32] = [42; 32];

pub(crate) struct Toy;

impl Vocabulary for Toy {
    fn render(&self, kind: u16, schema: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        if kind >= 200 {
            return Err(VocabularyError::UnknownKind { kind });
        }
        if schema > 3 {
            return Err(VocabularyError::NewerSchema { kind, schema, newest: 3 });
        }
        let (class, name) = match kind % 3 {
            0 => ("observation", "pod-bound"),
            1 => ("decision", "launch"),
            _ => ("control", "started"),
        };
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Rendered { class, name, json: format!("{{\"kind\":{kind},\"hex\":\"{hex}\"}}").into_bytes() })
    }
}

pub(crate) fn toy() -> Arc<dyn Vocabulary> {
    Arc::new(Toy)
}

pub(crate) fn options() -> Options {
    let mut options = Options::new(ORIGIN, "purser-0", 7, toy());
    options.identity = IdentitySource::Derived { seed: SEED };
    options.sync = false;
    options.min_free_bytes = 0;
    options
}

pub(crate) fn draft(n: u64) -> Draft {
    let payload = (0..20 + n % 40).map(|at| ((n * 31 + at * at) % 61) as u8).collect();
    let causes = if n > 2 { vec![n - 1, n / 2] } else { Vec::new() };
    Draft { kind: (n % 5) as u16, schema: 1 + (n % 2) as u16, causes, payload }
}

pub(crate) fn time(n: u64) -> i64 {
    1_700_000_000_000_000 + n as i64 * 1000
}

/// Appends `count` records as one batch.
pub(crate) fn append(journal: &mut Journal, count: u64) -> Result<std::ops::Range<u64>, AppendError> {
    let first = journal.size();
    let drafts: Vec<Draft> = (first..first + count).map(draft).collect();
    journal.append(time(first), &drafts)
}

/// Copies a folder as it is on disk now: what a crash would leave.
pub(crate) fn image(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy(from, to.path());
    to
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

/// All files in a folder, with their bytes; the lock's content is of no account.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else if path.file_name().unwrap() != "lock" {
                out.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}

pub(crate) fn verified(dir: &Path) -> VerifyReport {
    verify(dir, &VerifyOptions::new(toy()), &mut |_, _| {}).unwrap()
}

#[track_caller]
pub(crate) fn assert_sound(dir: &Path, size: u64) -> VerifyReport {
    let report = verified(dir);
    assert_eq!(report.findings, [], "at {}", dir.display());
    assert_eq!(report.size, size);
    report
}

/// All records of a journal, which must be exactly what [`draft`] makes.
#[track_caller]
pub(crate) fn assert_records(dir: &Path, at_least: u64) -> u64 {
    let reader = Reader::open(dir, toy()).unwrap();
    let mut next = reader.first_seq();
    for record in reader.records(next) {
        let record = record.unwrap();
        let draft = draft(next);
        assert_eq!(record.seq, next);
        assert_eq!(
            (record.kind, record.schema, record.causes, record.payload),
            (draft.kind, draft.schema, draft.causes, draft.payload)
        );
        next += 1;
    }
    assert_eq!(next, reader.size());
    assert!(next >= at_least, "{next} of {at_least} records: {:?}", reader.problem());
    next
}

/// What an armed fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Crash,
    Full,
    Broken,
}

/// Fails at the n-th passing of one point, once or until disarmed.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<ScriptState>,
}

#[derive(Default)]
struct ScriptState {
    armed: Option<Armed>,
    fired: u32,
}

struct Armed {
    point: Point,
    skip: u32,
    failure: Failure,
    lasting: bool,
}

impl Script {
    pub(crate) fn arm(&self, point: Point, skip: u32, failure: Failure, lasting: bool) {
        let armed = Some(Armed { point, skip, failure, lasting });
        *self.state.lock().unwrap() = ScriptState { armed, fired: 0 };
    }

    pub(crate) fn disarm(&self) {
        self.state.lock().unwrap().armed = None;
    }

    pub(crate) fn fired(&self) -> u32 {
        self.state.lock().unwrap().fired
    }
}

impl Faults for Script {
    fn at(&self, point: Point) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let Some(armed) = state.armed.as_mut().filter(|armed| armed.point == point) else { return Ok(()) };
        if armed.skip > 0 {
            armed.skip -= 1;
            return Ok(());
        }
        let (failure, lasting) = (armed.failure, armed.lasting);
        state.fired += 1;
        if !lasting {
            state.armed = None;
        }
        Err(match failure {
            Failure::Crash => crash(),
            Failure::Full => io::Error::from(io::ErrorKind::StorageFull),
            Failure::Broken => io::Error::other("injected"),
        })
    }
}
