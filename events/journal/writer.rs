//! The writer: appends, acknowledges, seals, closes.
//!
//! Invariant: an append returns a range only when its records are in the tail, the tail's file is synced, and the anchor
//! that counts them is synced; the numbers and roots held here are always those of acknowledged records.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::anchor::{self, AnchorWriter};
use super::archive::Archive;
use super::catalog;
use super::disk::{At as _, Disk, FileError, Severity, free_bytes};
use super::error::{AppendError, OpenError, WriteError};
use super::faults::Artifact;
use super::identity::{self, Identity, Lock, Secret, check_name, derive};
use super::layout::Layout;
use super::leaf::{LeafWriter, SaltSecret};
use super::merkle::{Frontier, Hash};
use super::note::{Checkpoint, SigningKey, VerifierKey};
use super::options::{IdentitySource, Options, SealPolicy};
use super::record::{Draft, LogId, MAX_PAYLOAD_LEN, Record};
use super::recovery::{Recovery, SealedState, read_sealed};
use super::tail::Tail;
use super::tail_read;

/// Files smaller than this (anchor, notes, a young tail) are not counted one by one when space is checked.
const SMALL_FILES_LEN: u64 = 256 * 1024;
/// A file system with less than this free is full, whatever error it gives.
const NOTHING_FREE: u64 = 16 * 1024;

/// Where the sealed history ends.
#[derive(Debug, Clone)]
pub(super) struct SealedEnd {
    pub(super) frontier: Frontier,
    /// The digest of the last segment; zeros when there is none.
    pub(super) digest: Hash,
}

pub(super) enum State {
    Ready,
    /// Space ran out in the middle of something: the tail has to be recovered before the next append.
    Reopen,
    Stopped {
        reason: String,
    },
}

/// The single writer of a journal.
pub struct Journal {
    pub(super) layout: Layout,
    pub(super) disk: Disk,
    pub(super) identity: Identity,
    pub(super) leaf: LeafWriter,
    pub(super) key: SigningKey,
    pub(super) vkey: VerifierKey,
    _lock: Lock,
    pub(super) anchor: AnchorWriter,
    pub(super) sealed: SealedEnd,
    pub(super) frontier: Frontier,
    pub(super) last_time_us: i64,
    pub(super) archive: Option<Archive>,
    pub(super) tail: Option<Tail>,
    /// Sealed tails that could not be deleted yet.
    pub(super) leftovers: Vec<PathBuf>,
    /// Sizes whose checkpoint could not be written yet.
    pub(super) missing_checkpoints: BTreeSet<u64>,
    /// The snapshot that is to stand in for records which are about to go.
    pub(super) stand_in: Option<u64>,
    pub(super) state: State,
    seal: SealPolicy,
    min_free_bytes: u64,
    instance: Arc<str>,
    term: u64,
}

impl Journal {
    /// Creates a journal in a folder that is empty or not there.
    pub fn create(dir: &Path, options: Options, now_us: i64) -> Result<Self, OpenError> {
        check_name("origin", &options.origin)?;
        check_name("instance", &options.instance)?;
        let layout = Layout::new(dir);
        let disk = Disk { sync: options.sync, faults: options.faults.clone() };
        if let Some(archive) = &options.archive {
            Archive::check(archive, dir, None)?;
        }
        fs::create_dir_all(dir).at(dir)?;
        // A lock and unfinished small files may be left from a creation that was interrupted.
        if layout.identity().exists()
            || !layout.list_segments()?.is_empty()
            || !layout.list_tails()?.is_empty()
        {
            return Err(OpenError::Exists { dir: dir.to_owned() });
        }
        let lock = Lock::acquire(&layout, &options.instance)?;
        if layout.anchor().exists() {
            fs::remove_file(layout.anchor()).at(&layout.anchor())?;
        }
        let (log, salts, seed) = match &options.identity {
            IdentitySource::Random => (random(dir)?, random(dir)?, random(dir)?),
            IdentitySource::Derived { seed } => {
                (derive(seed, "log"), derive(seed, "salts"), derive(seed, "key"))
            }
        };
        let mut id = [0; 16];
        id.copy_from_slice(&log[..16]);
        let (key, seed) = match &options.signing_key {
            Some(file) => (identity::read_signing_key(file, &options.origin)?, None),
            None => (SigningKey::from_seed(&options.origin, &seed), Some(seed)),
        };
        let identity = Identity {
            format: identity::FORMAT,
            log: LogId(id),
            origin: options.origin.clone(),
            created_us: now_us,
            predecessor: options.predecessor.clone(),
        };
        for folder in [layout.segments(), layout.checkpoints(), layout.snapshots()] {
            fs::create_dir_all(&folder).at(&folder)?;
        }
        let secret = Secret { salts: SaltSecret(salts), seed };
        let sealed = SealedEnd { frontier: Frontier::default(), digest: Hash([0; 32]) };
        let mut anchor = AnchorWriter::open(&disk, &layout, identity.log, 0)?;
        anchor.write(&disk, 0, sealed.frontier.root(), 0).at(&layout.anchor())?;
        identity::write_new(&disk, &layout, &identity, &secret, &key.verifier())?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_folder(parent).at(parent)?;
        }
        Ok(Self::assemble(layout, disk, identity, secret.salts, key, lock, anchor, sealed, 0, options))
    }

    /// Opens a journal and puts in order what its last writer left.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Recovery), OpenError> {
        check_name("instance", &options.instance)?;
        let layout = Layout::new(dir);
        let disk = Disk { sync: options.sync, faults: options.faults.clone() };
        let identity = Identity::read(&layout)?;
        if identity.origin != options.origin {
            return Err(OpenError::WrongOrigin {
                dir: dir.to_owned(),
                expected: options.origin,
                found: identity.origin,
            });
        }
        if let Some(archive) = &options.archive {
            Archive::check(archive, dir, Some(identity.log))?;
        }
        let missing = |reason: &str| OpenError::Secret { file: layout.secret(), reason: reason.to_owned() };
        let secret =
            Secret::read(&layout)?.ok_or_else(|| missing("it is missing: restore it from a backup"))?;
        let key = match (&options.signing_key, &secret.seed) {
            (Some(file), _) => identity::read_signing_key(file, &identity.origin)?,
            (None, Some(seed)) => SigningKey::from_seed(&identity.origin, seed),
            (None, None) => {
                return Err(missing(
                    "it has no signing key: give the file that the journal was created with",
                ));
            }
        };
        let vkey = identity::read_vkey(&layout)?;
        if vkey != key.verifier() {
            let (expected, found) = (vkey.to_string(), key.verifier().to_string());
            let file = options.signing_key.clone().unwrap_or_else(|| layout.secret());
            return Err(OpenError::WrongKey { file, expected, found });
        }
        let lock = Lock::acquire(&layout, &options.instance)?;
        identity::refuse_disowned(&layout, identity.log)?;
        let archive = options.archive.as_deref().map(Layout::new);
        let sealed = read_sealed(&layout, archive.as_ref(), identity.log, &vkey)?;
        let slots = anchor::read(&layout, identity.log)?;
        let generation = slots.newest().map_or(0, |anchor| anchor.generation);
        let anchor = AnchorWriter::open(&disk, &layout, identity.log, generation)?;
        let SealedState { end, last_time_us: last, damaged, foreign } = sealed;
        let mut journal =
            Self::assemble(layout, disk, identity, secret.salts, key, lock, anchor, end, last, options);
        let set_aside = journal.set_aside(&foreign)?;
        let mut recovery = journal.recover(&slots)?;
        (recovery.damaged_segments, recovery.set_aside) = (damaged, set_aside);
        if let Some(archive) = &mut journal.archive {
            archive.expect(&journal.layout)?;
        }
        Ok((journal, recovery))
    }

    /// Opens a journal, or creates one when there is none.
    pub fn open_or_create(dir: &Path, options: Options, now_us: i64) -> Result<(Self, Recovery), OpenError> {
        if Layout::new(dir).identity().exists() {
            Self::open(dir, options)
        } else {
            Ok((Self::create(dir, options, now_us)?, Recovery::clean()))
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where the parts of a writer come together")]
    fn assemble(
        layout: Layout,
        disk: Disk,
        identity: Identity,
        salts: SaltSecret,
        key: SigningKey,
        lock: Lock,
        anchor: AnchorWriter,
        sealed: SealedEnd,
        last_time_us: i64,
        options: Options,
    ) -> Self {
        Self {
            leaf: LeafWriter::new(identity.log, &identity.origin, salts, options.vocabulary),
            vkey: key.verifier(),
            key,
            archive: options.archive.as_deref().map(|dir| Archive::new(dir, disk.clone())),
            layout,
            disk,
            identity,
            _lock: lock,
            anchor,
            frontier: sealed.frontier.clone(),
            sealed,
            last_time_us,
            tail: None,
            leftovers: Vec::new(),
            missing_checkpoints: BTreeSet::new(),
            stand_in: None,
            state: State::Ready,
            seal: options.seal,
            min_free_bytes: options.min_free_bytes,
            instance: Arc::from(options.instance),
            term: options.term,
        }
    }

    // --- what the caller may know ---

    /// The number of acknowledged records, which is the sequence number of the next.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The Merkle root over all acknowledged records.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge of the Merkle tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// How many records are sealed; the rest is in the hot tail.
    pub fn sealed_size(&self) -> u64 {
        self.sealed.frontier.size()
    }

    /// The time of the last record; an append must not be earlier. Zero in an empty journal.
    pub fn last_time_us(&self) -> i64 {
        self.last_time_us
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// Who the log is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key that checkpoints are verified with.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.vkey
    }

    /// Renders records of this log.
    pub fn leaf_writer(&self) -> &LeafWriter {
        &self.leaf
    }

    /// A signed checkpoint of what is acknowledged now, to be kept elsewhere.
    pub fn checkpoint(&self) -> String {
        self.sign(self.size(), self.root())
    }

    pub(super) fn sign(&self, size: u64, root: Hash) -> String {
        self.key.sign(&Checkpoint { origin: self.identity.origin.clone(), size, root })
    }

    /// From now on records are of this term and instance.
    pub fn set_writer(&mut self, term: u64, instance: &str) -> Result<(), OpenError> {
        check_name("instance", instance)?;
        self.term = term;
        self.instance = Arc::from(instance);
        Ok(())
    }

    /// The root over the first `size` records, if they are here.
    pub(super) fn root_at(&self, size: u64) -> Option<Hash> {
        if size == self.size() {
            return Some(self.root());
        }
        match &self.tail {
            Some(tail) if size > tail.first() => tail_read::contents_of(&tail.values().ok()?, tail.first())
                .root_at(&self.sealed.frontier, size),
            _ => {
                let archive = self.archive.as_ref().map(Archive::layout);
                catalog::root_at(&catalog::scan(&self.layout, archive, self.identity.log).ok()?, size)
            }
        }
    }

    // --- appending ---

    /// Appends a batch, whole or not at all, and returns its sequence numbers when it is durable.
    pub fn append(&mut self, time_us: i64, drafts: &[Draft]) -> Result<Range<u64>, AppendError> {
        self.append_all(&[(time_us, drafts)])
    }

    /// Appends several batches, each with its time, with one write for all. They are acknowledged together; on an error none is.
    pub fn append_all<B: AsRef<[Draft]>>(&mut self, batches: &[(i64, B)]) -> Result<Range<u64>, AppendError> {
        if let State::Stopped { reason } = &self.state {
            return Err(AppendError::Fatal { reason: reason.clone() });
        }
        let first = self.size();
        let (mut records, mut last_us) = (Vec::new(), self.last_time_us);
        for (time_us, drafts) in batches {
            let next = first + records.len() as u64;
            self.prepare(next, last_us, *time_us, drafts.as_ref(), &mut records)?;
            last_us = *time_us;
        }
        let [(head, _), ..] = records.as_slice() else { return Ok(first..first) };
        let begins_us = head.time_us;
        let end = first + records.len() as u64;
        self.check_room(&records)?;
        self.ready()?;
        if self.is_due(last_us) {
            self.seal()?;
        }
        if first == 0 {
            self.begin(begins_us)?;
        }
        if self.tail.is_none() {
            let tail = Tail::create(&self.disk, &self.layout, first, begins_us);
            // An empty tail that could not be deleted had this very name; it is in use again.
            let dir = self.layout.tail(first);
            self.leftovers.retain(|leftover| *leftover != dir);
            self.tail = Some(tail.map_err(|error| self.fail(error))?);
        }
        let tail = self.tail.as_mut().expect("invariant: a tail was made above when there was none");
        let appended = tail.append(&self.disk, &records);
        appended.map_err(|error| self.fail(error))?;
        let mut frontier = self.frontier.clone();
        frontier.extend(records.iter().map(|(_, leaf)| *leaf));
        let anchored = self.anchor.write(&self.disk, end, frontier.root(), last_us).at(&self.layout.anchor());
        anchored.map_err(|error| self.fail(error))?;
        (self.frontier, self.last_time_us) = (frontier, last_us);
        Ok(first..end)
    }

    /// The log begins with its first record: so the identity says its time, and cannot say another unnoticed.
    fn begin(&mut self, time_us: i64) -> Result<(), AppendError> {
        if self.identity.created_us == time_us {
            return Ok(());
        }
        let identity = Identity { created_us: time_us, ..self.identity.clone() };
        let written =
            self.disk.write_over(Artifact::Identity, &self.layout.identity(), identity.render().as_bytes());
        written.map_err(|error| self.fail_untouched(error))?;
        self.identity = identity;
        Ok(())
    }

    /// Gives a batch its numbers, from `first` on, and adds its records and their leaves to those before it.
    fn prepare(
        &self,
        first: u64,
        last_us: i64,
        time_us: i64,
        drafts: &[Draft],
        records: &mut Vec<(Record, Hash)>,
    ) -> Result<(), AppendError> {
        if time_us < last_us {
            return Err(AppendError::Time { last_us, given_us: time_us });
        }
        for (at, draft) in drafts.iter().enumerate() {
            let seq = first + at as u64;
            let len = draft.payload.len();
            if len > MAX_PAYLOAD_LEN {
                return Err(AppendError::TooLarge { seq, len, max: MAX_PAYLOAD_LEN });
            }
            if let Some(cause) = draft.causes.iter().find(|cause| **cause >= seq) {
                return Err(AppendError::Cause { seq, cause: *cause });
            }
            let record = Record {
                seq,
                time_us,
                kind: draft.kind,
                schema: draft.schema,
                term: self.term,
                instance: Arc::clone(&self.instance),
                causes: draft.causes.clone(),
                commit: at + 1 == drafts.len(),
                payload: draft.payload.clone(),
            };
            let leaf = self.leaf.lines(&record)?.leaf;
            records.push((record, leaf));
        }
        Ok(())
    }

    /// Space for the batch in the tail, for a copy of the tail to recover from, and for sealing it; beside what is to
    /// stay free in any case.
    fn check_room(&self, batch: &[(Record, Hash)]) -> Result<(), AppendError> {
        let Ok(free) = free_bytes(self.layout.root()) else { return Ok(()) };
        let batch: usize = batch.iter().map(|(record, _)| record.payload.len() + 256).sum();
        let (bytes, file) =
            self.tail.as_ref().map_or((0, 0), |tail| (tail.bytes() + 64 * tail.records(), tail.file_len()));
        let need = self.min_free_bytes + 6 * batch as u64 + bytes + file + SMALL_FILES_LEN;
        if free < need {
            return Err(AppendError::Full { reason: format!("{need} bytes are needed, {free} are free") });
        }
        Ok(())
    }

    pub(super) fn is_due(&self, now_us: i64) -> bool {
        self.tail.as_ref().is_some_and(|tail| {
            tail.records() >= self.seal.max_records
                || tail.bytes() >= self.seal.max_bytes
                || now_us.saturating_sub(tail.first_time_us()) >= self.seal.max_age_us
        })
    }

    // --- failures ---

    pub(super) fn severity(&self, error: &FileError) -> Severity {
        match error.severity() {
            // Sled wraps and loses error numbers; what counts is whether there is space.
            Severity::Fatal if free_bytes(self.layout.root()).is_ok_and(|free| free < NOTHING_FREE) => {
                Severity::Full
            }
            severity => severity,
        }
    }

    /// A failure after which the tail's content is unknown.
    pub(super) fn fail(&mut self, error: FileError) -> WriteError {
        let reason = error.to_string();
        match self.severity(&error) {
            Severity::Full => {
                self.state = State::Reopen;
                return WriteError::Full { reason };
            }
            Severity::Crash => {
                if let Some(tail) = self.tail.take() {
                    tail.crash();
                }
            }
            Severity::Fatal => {}
        }
        self.state = State::Stopped { reason: reason.clone() };
        WriteError::Fatal { reason }
    }

    /// A failure that had nothing to do with the tail: without space, the writer stays as it is.
    pub(super) fn fail_untouched(&mut self, error: FileError) -> WriteError {
        match self.severity(&error) {
            Severity::Full => WriteError::Full { reason: error.to_string() },
            Severity::Crash | Severity::Fatal => self.fail(error),
        }
    }

    pub(super) fn ready(&mut self) -> Result<(), WriteError> {
        match &self.state {
            State::Ready => Ok(()),
            State::Stopped { reason } => Err(WriteError::Fatal { reason: reason.clone() }),
            State::Reopen => {
                self.reopen().map_err(|error| self.fail(error))?;
                self.state = State::Ready;
                Ok(())
            }
        }
    }

    /// Stops the writer, as after a failure; for the parts of it in other files.
    pub(super) fn stop(&mut self, error: FileError) -> WriteError {
        self.fail(error)
    }
}

fn random(dir: &Path) -> Result<[u8; 32], OpenError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string())).at(dir)?;
    Ok(bytes)
}
