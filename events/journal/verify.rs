//! Verification: recomputes every leaf and every root from the records, and compares them with all that was ever stated.
//!
//! Invariant: a report without findings means that every byte of every file but the lock was accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::SegmentEntry;
use super::disk::At as _;
use super::error::ReadError;
use super::identity::Identity;
use super::layout::Layout;
use super::leaf::{LeafWriter, Vocabulary};
use super::merkle::{Frontier, Hash};
use super::note::VerifierKey;
use super::record::Record;
use super::segment::SegmentHeader;
use super::segment_read::SegmentFile;
use super::sled_file;
use super::verify_files as files;
use super::verify_identity as first;
use super::verify_view::View;

/// A checkpoint that was kept outside the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OlderCheckpoint {
    /// What findings call it, such as its file name.
    pub name: String,
    /// The signed note.
    pub text: String,
}

/// What to verify against.
#[derive(Clone)]
pub struct VerifyOptions {
    /// What the payloads mean.
    pub vocabulary: Arc<dyn Vocabulary>,
    /// The verifier key as it is known from elsewhere. Without it the folder's own key is believed.
    pub expected_key: Option<VerifierKey>,
    /// Checkpoints that were kept elsewhere: the log must be a continuation of each.
    pub older: Vec<OlderCheckpoint>,
    /// The archive folder, for segments that are not in the journal any more.
    pub archive: Option<PathBuf>,
    /// Checks as somebody does who has only the public key: what takes the secret is left out, and that it is not here is no
    /// finding.
    pub without_secret: bool,
}

impl VerifyOptions {
    /// Verifies the folder against itself.
    pub fn new(vocabulary: Arc<dyn Vocabulary>) -> Self {
        Self { vocabulary, expected_key: None, older: Vec::new(), archive: None, without_secret: false }
    }
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// How many records were read and checked.
    pub records: u64,
    /// The first of them: not zero where retention deleted older ones.
    pub first_seq: u64,
    /// The size of the log.
    pub size: u64,
    /// The Merkle root over the log.
    pub root: Hash,
    /// How many signed checkpoints, the journal's own and those kept elsewhere, are valid and were compared with the
    /// records.
    pub checkpoints: u64,
    /// How many of the journal's own checkpoints are of records that retention deleted: of them only the signature was
    /// checked. One kept elsewhere that cannot be compared is a finding.
    pub checkpoints_signature_only: u64,
    /// Whether each record was compared with its leaf hash, which takes the secret that the salts come from.
    pub leaves_compared: bool,
    /// Whether a writer held the journal meanwhile: what it appended after these records was not looked at.
    pub live: bool,
    /// Everything that is wrong; empty when the journal is what it was.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The file, relative to the journal.
    pub file: String,
    /// The first record that is affected, when it is known.
    pub seq: Option<u64>,
    /// What kind of thing it is.
    pub kind: FindingKind,
    /// What is wrong, in words.
    pub message: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file or records that should be there are not.
    Missing,
    /// Bytes are not what a checksum or the format says.
    Damaged,
    /// A record is not the one that its leaf hash was made of.
    Leaf,
    /// Records are out of order, doubled, or do not follow each other.
    Sequence,
    /// A field contradicts the records, such as a cause that is not earlier or a time that goes back.
    Field,
    /// The Merkle root is not the one that was stated.
    Root,
    /// A signed note is not valid.
    Signature,
    /// A key is not the expected one.
    Key,
    /// History is not the continuation of a signed checkpoint.
    Rewritten,
    /// The anchor is damaged or contradicts the records.
    Anchor,
    /// A payload cannot be rendered by this version.
    Unreadable,
    /// A file that does not belong.
    Unknown,
    /// What was asked to be checked cannot be with what is here.
    Unchecked,
}

/// Collects findings.
pub(super) struct Findings {
    layout: Layout,
    list: Vec<Finding>,
}

impl Findings {
    pub(super) fn add(&mut self, file: &Path, seq: Option<u64>, kind: FindingKind, message: &str) {
        let file = self.layout.relative(file);
        self.list.push(Finding { file, seq, kind, message: message.to_owned() });
    }

    fn add_error(&mut self, file: &Path, seq: Option<u64>, error: &ReadError) {
        match error {
            ReadError::Damaged { seq: found, reason, .. } => {
                self.add(file, found.or(seq), FindingKind::Damaged, reason);
            }
            other => self.add(file, seq, FindingKind::Damaged, &other.to_string()),
        }
    }
}

/// The roots that were computed at the sizes where one is stated.
#[derive(Default)]
pub(super) struct Roots {
    wanted: BTreeSet<u64>,
    found: BTreeMap<u64, Hash>,
}

impl Roots {
    pub(super) fn want(&mut self, sizes: impl IntoIterator<Item = u64>) {
        self.wanted.extend(sizes);
    }

    fn pass(&mut self, frontier: &Frontier) {
        if self.wanted.contains(&frontier.size()) {
            self.found.insert(frontier.size(), frontier.root());
        }
    }

    pub(super) fn get(&self, size: u64) -> Option<Hash> {
        self.found.get(&size).copied()
    }
}

/// The pass over all records.
struct Pass<'a> {
    layout: &'a Layout,
    identity: &'a Identity,
    vocabulary: &'a dyn Vocabulary,
    leaf: Option<LeafWriter>,
    vkey: Option<&'a VerifierKey>,
    findings: Findings,
    roots: Roots,
    frontier: Frontier,
    records: u64,
    last_time_us: i64,
    /// The digest of the segment before, when it was read.
    digest: Option<Hash>,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Pass<'_> {
    /// Checks a record for itself and against the one before, and adds its leaf to the tree.
    fn record(&mut self, file: &Path, record: &Record, stored: Hash) {
        let seq = record.seq;
        if record.causes.iter().any(|cause| *cause >= seq) {
            self.findings.add(file, Some(seq), FindingKind::Field, "a cause is not an earlier record");
        }
        if record.time_us < self.last_time_us {
            self.findings.add(
                file,
                Some(seq),
                FindingKind::Field,
                "its time is before that of the record before",
            );
        }
        self.last_time_us = record.time_us;
        if seq == 0 {
            first::check_first(self.layout, self.identity, record, self.vocabulary, &mut self.findings);
        }
        let mut leaf = stored;
        match self.leaf.as_ref().map(|writer| writer.lines(record)) {
            None => {}
            Some(Ok(lines)) => {
                if lines.leaf != stored {
                    let text = "the record is not the one that its leaf hash was made of";
                    self.findings.add(file, Some(seq), FindingKind::Leaf, text);
                }
                leaf = lines.leaf;
            }
            Some(Err(error)) => {
                self.findings.add(file, Some(seq), FindingKind::Unreadable, &error.to_string())
            }
        }
        self.push(leaf);
        self.records += 1;
    }

    fn push(&mut self, leaf: Hash) {
        self.frontier.push(leaf);
        self.roots.pass(&self.frontier);
    }

    fn segment(&mut self, layout: &Layout, entry: &SegmentEntry) {
        let path = &entry.path;
        let header = match &entry.header {
            Ok(header) => header.clone(),
            Err(reason) => {
                self.findings.add(path, Some(entry.first), FindingKind::Damaged, reason);
                self.digest = None;
                return;
            }
        };
        if header.before != self.frontier {
            if header.first_seq == self.frontier.size() {
                let text = "the tree before it is not that of the records before";
                self.findings.add(path, Some(entry.first), FindingKind::Root, text);
            }
            // Go on from what the segment says, so that one damage is one finding.
            self.frontier = header.before.clone();
            self.roots.pass(&self.frontier);
        }
        if self.digest.is_some_and(|digest| digest != header.previous) {
            let text = "it does not follow the segment before: that one's digest is another";
            self.findings.add(path, Some(entry.first), FindingKind::Sequence, text);
        }
        self.digest = None;
        match self.segment_content(layout, path, &header) {
            // A writer let go of it after it was listed, and signed a note that says so.
            Err(ReadError::Io(_)) if !path.exists() && files::was_let_go(layout, self.vkey, header.end()) => {
            }
            Err(error) => self.findings.add_error(path, Some(entry.first), &error),
            Ok(()) => {}
        }
    }

    fn segment_content(
        &mut self,
        layout: &Layout,
        path: &Path,
        header: &SegmentHeader,
    ) -> Result<(), ReadError> {
        let file = SegmentFile::open(path)?;
        match file.check_digest() {
            Ok(digest) => self.digest = Some(digest),
            Err(error) => self.findings.add_error(path, None, &error),
        }
        let footer = file.footer()?;
        let leaves = file.leaves(&footer)?;
        let mut kinds: BTreeMap<(u16, u16), u64> = BTreeMap::new();
        let mut last_commit = true;
        let (mut first_time, mut last_time) = (None, header.last_time_us);
        let mut complete = true;
        for block in &footer.blocks {
            let at = (block.first_seq - header.first_seq) as usize;
            let stored = &leaves[at..at + block.count as usize];
            match file.block(block) {
                Ok(records) => {
                    for (record, leaf) in records.iter().zip(stored) {
                        *kinds.entry((record.kind, record.schema)).or_insert(0) += 1;
                        (last_commit, last_time) = (record.commit, record.time_us);
                        first_time.get_or_insert(record.time_us);
                        self.record(path, record, *leaf);
                    }
                }
                Err(error) => {
                    complete = false;
                    self.findings.add_error(path, Some(block.first_seq), &error);
                    stored.iter().for_each(|leaf| self.push(*leaf));
                }
            }
            (self.progress)(self.records, self.total.max(self.records));
        }
        if complete {
            let stated: BTreeMap<_, _> =
                header.kinds.iter().map(|k| ((k.kind, k.schema), k.records)).collect();
            let times = (first_time.unwrap_or(header.first_time_us), last_time);
            if stated != kinds || times != (header.first_time_us, header.last_time_us) {
                self.findings.add(path, None, FindingKind::Field, "its header does not describe its records");
            }
            if !last_commit {
                let text = "it ends in the middle of a batch";
                self.findings.add(path, Some(header.end() - 1), FindingKind::Sequence, text);
            }
        }
        if footer.after != self.frontier {
            self.findings.add(path, None, FindingKind::Root, "the tree after it is not that of its records");
        }
        if let Some(vkey) = self.vkey {
            match vkey.open(&footer.checkpoint) {
                Err(error) => self.findings.add(path, None, FindingKind::Signature, &error.to_string()),
                Ok(point) => {
                    if (point.size, point.root) != (header.end(), self.frontier.root()) {
                        let text = "the checkpoint that it carries is not that of its records";
                        self.findings.add(path, None, FindingKind::Root, text);
                    }
                }
            }
        }
        files::check_segment_checkpoint(layout, header.end(), &footer.checkpoint, &mut self.findings);
        Ok(())
    }

    /// Checks the hot tail that follows the sealed records; says whether there is one.
    fn tail(&mut self, layout: &Layout, view: &View) -> Result<bool, ReadError> {
        let first = self.frontier.size();
        let mut found = false;
        for (tail, contents) in &view.tails {
            let dir = layout.tail(*tail);
            let Some(contents) = contents.as_ref().filter(|_| *tail == first) else {
                let text = "its records are sealed, or segments before it are missing";
                self.findings.add(&dir, Some(*tail), FindingKind::Unknown, text);
                continue;
            };
            found = true;
            let db = dir.join("db");
            if let Some(damage) = &contents.damage {
                self.findings.add(&db, damage.seq, FindingKind::Damaged, &damage.reason);
            } else if !view.live
                && let Some((file, reason)) = sled_file::damage(&dir).at(&dir)?
            {
                self.findings.add(&file, None, FindingKind::Damaged, &reason);
            }
            for (record, leaf) in &contents.records {
                self.record(&db, record, *leaf);
            }
            (self.progress)(self.records, self.total.max(self.records));
        }
        Ok(found)
    }
}

/// Verifies a journal, closed, killed or being written; `progress` gets the records done and the records in all.
///
/// Of a journal that is being written it verifies what is there at the beginning, and says that it was.
///
/// # Errors
/// Only when files cannot be read at all, or there is no journal. Damage is in the report.
pub fn verify(
    dir: &Path,
    options: &VerifyOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<VerifyReport, ReadError> {
    let layout = Layout::new(dir);
    let mut findings = Findings { layout: layout.clone(), list: Vec::new() };
    let identity = match Identity::read(&layout) {
        Ok(identity) => identity,
        Err(error @ super::OpenError::Identity { .. }) => {
            findings.add(&layout.identity(), None, FindingKind::Damaged, &error.to_string());
            let root = Frontier::default().root();
            let findings = findings.list;
            return Ok(VerifyReport {
                records: 0,
                first_seq: 0,
                size: 0,
                root,
                checkpoints: 0,
                checkpoints_signature_only: 0,
                leaves_compared: false,
                live: false,
                findings,
            });
        }
        Err(error) => return Err(error.into()),
    };
    let secret = match options.without_secret {
        true => None,
        false => files::check_secret(&layout, &mut findings),
    };
    let leaves_compared = secret.is_some();
    let identity = first::settle(&layout, identity, secret.as_ref(), &mut findings)?;
    let vkey = files::check_keys(&layout, &identity.origin, secret.as_ref(), options, &mut findings);
    let archive = options.archive.as_deref().map(Layout::new);
    let view = View::of(&layout, archive.as_ref(), identity.log)?;
    if let Some(archive) = &archive {
        files::check_archive(archive, identity.log, &mut findings);
        first::check_copy(archive, &identity, &mut findings);
    }
    let (stray, entries): (Vec<_>, Vec<_>) = view.entries.iter().cloned().partition(SegmentEntry::is_stray);
    files::check_stray(&stray, &mut findings);
    let expected = view.anchor.newest().map_or(0, |anchor| anchor.size);
    let roots = files::stated_sizes(&view, vkey.as_ref(), options);
    // After the segments were listed: the note is there before any of them goes.
    let retained = files::check_retained(&layout, vkey.as_ref(), &mut findings)?;
    let first_kept = retained.as_ref().map_or(0, |note| note.first_seq);
    if let Some(vouched) = retained.and_then(|note| note.vouched) {
        first::check_vouched(&layout, &identity, &vouched, &mut findings);
        files::check_gone(&layout, &vouched.checkpoints, &mut findings);
    }
    // With an archive nothing may be missing, whatever retention took from the journal itself.
    let begin = match archive {
        Some(_) => 0,
        None => entries.first().map_or(first_kept, |entry| entry.first.min(first_kept)),
    };
    let first_seq = entries.first().map_or(begin, |entry| entry.first);
    let leaf = secret.map(|secret| {
        LeafWriter::new(identity.log, &identity.origin, secret.salts, Arc::clone(&options.vocabulary))
    });
    let ends = entries.iter().filter_map(SegmentEntry::end).max().unwrap_or(0);
    let mut pass = Pass {
        layout: &layout,
        identity: &identity,
        vocabulary: &*options.vocabulary,
        leaf,
        vkey: vkey.as_ref(),
        findings,
        roots,
        frontier: Frontier::default(),
        records: 0,
        last_time_us: 0,
        digest: (begin == 0).then_some(Hash([0; 32])),
        total: ends.max(expected).saturating_sub(begin),
        progress,
    };
    pass.roots.pass(&Frontier::default());
    let mut next = begin;
    for entry in &entries {
        if entry.first > next {
            let (path, text) = files::missing(&layout, archive.as_ref(), first_kept, next..entry.first);
            pass.findings.add(&path, Some(next), FindingKind::Missing, &text);
            pass.digest = None;
        } else if entry.first < next {
            let text = "its records are in the segment before it too";
            pass.findings.add(&entry.path, Some(entry.first), FindingKind::Sequence, text);
            continue;
        }
        if entry.archived && entry.first >= first_kept {
            let text = "it is missing or damaged here; the archive's copy was verified instead";
            pass.findings.add(&layout.segment(entry.first), Some(entry.first), FindingKind::Missing, text);
        }
        pass.segment(&layout, entry);
        next = entry.end().unwrap_or_else(|| after_damaged(&entries, entry.first, &view.checkpoints));
    }
    let tail = pass.tail(&layout, &view)?;
    let size = pass.frontier.size();
    let Pass { mut findings, roots, frontier, records, .. } = pass;
    if let Some(later) = view.checkpoints.iter().copied().find(|checkpoint| *checkpoint > size) {
        let text = format!("there is a checkpoint of {later} records, and the segments end at {size}");
        findings.add(&layout.segment(size), Some(size), FindingKind::Missing, &text);
    }
    // An archive folder has neither an anchor nor a secret; the missing secret is reported, and is reason enough.
    files::check_anchor(&layout, &view.anchor, size, tail, &roots, &mut findings);
    let named = &view.checkpoints;
    let computed = files::Computed { first_kept: first_seq, size, roots: &roots };
    let compared =
        files::check_checkpoints(&layout, named, vkey.as_ref(), &computed, options, &mut findings)?;
    files::check_snapshots(&layout, &view.snapshots, identity.log, size, &roots, &mut findings)?;
    files::check_strange(&view.strange, &mut findings);
    let (root, live, findings) = (frontier.root(), view.live, findings.list);
    Ok(VerifyReport {
        records,
        first_seq,
        size,
        root,
        checkpoints: compared.with_records,
        checkpoints_signature_only: compared.signature_only,
        leaves_compared,
        live,
        findings,
    })
}

/// Where a segment with a damaged header ends, by the next one's name or the next checkpoint.
fn after_damaged(entries: &[SegmentEntry], first: u64, checkpoints: &[u64]) -> u64 {
    let next = entries.iter().map(|entry| entry.first).find(|other| *other > first);
    let checkpoint = || checkpoints.iter().copied().find(|size| *size > first);
    next.or_else(checkpoint).unwrap_or(first)
}
