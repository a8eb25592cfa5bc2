//! Verification of the small files: identity, keys, anchor, checkpoints, snapshots, and files that do not belong.
//!
//! Invariant: every file in the folder is either checked byte for byte, or reported as unknown.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::anchor::{AnchorSlots, Slot};
use super::catalog::{self, SegmentEntry};
use super::disk::{FileError, names, read_optional};
use super::error::OpenError;
use super::identity::{self, Secret};
use super::layout::{Layout, parse_damaged, parse_segment, parse_snapshot, parse_tail};
use super::note::{SigningKey, VerifierKey};
use super::record::LogId;
use super::retained::{RetainedNote, read_retained};
use super::snapshot;
use super::tail::is_sled_snapshot;
use super::verify::{FindingKind, Findings, Roots, VerifyOptions};
use super::verify_view::View;

/// Reads the secret, if it is there and whole. Without it all else is checked all the same.
pub(super) fn check_secret(layout: &Layout, findings: &mut Findings) -> Option<Secret> {
    const LACK: &str =
        "records were not compared with their leaf hashes; --without-secret checks the rest alone";
    let (kind, text) = match Secret::read(layout) {
        Ok(Some(secret)) => return Some(secret),
        Ok(None) => (FindingKind::Missing, format!("it is missing: {LACK}")),
        Err(OpenError::Io(error)) => (FindingKind::Unchecked, format!("{}: {LACK}", error.source)),
        Err(error) => (FindingKind::Damaged, error.to_string()),
    };
    findings.add(&layout.secret(), None, kind, &text);
    None
}

/// Decides which key signatures are checked with: the one given, or the folder's own.
pub(super) fn check_keys(
    layout: &Layout,
    origin: &str,
    secret: Option<&Secret>,
    options: &VerifyOptions,
    findings: &mut Findings,
) -> Option<VerifierKey> {
    let file = layout.vkey();
    let own = match identity::read_vkey(layout) {
        Ok(key) => Some(key),
        Err(error) => {
            findings.add(&file, None, FindingKind::Damaged, &error.to_string());
            None
        }
    };
    let secret =
        secret.and_then(|secret| secret.seed).map(|seed| SigningKey::from_seed(origin, &seed).verifier());
    if let (Some(own), Some(secret)) = (&own, &secret)
        && own != secret
    {
        findings.add(
            &file,
            None,
            FindingKind::Key,
            "it is not the public half of the key in the file secret",
        );
    }
    if let (Some(own), Some(expected)) = (&own, &options.expected_key)
        && own != expected
    {
        findings.add(&file, None, FindingKind::Key, &format!("it is {own}, and {expected} is expected"));
    }
    options.expected_key.clone().or(own).or(secret)
}

/// Whether the archive is of this log at all.
pub(super) fn check_archive(archive: &Layout, log: LogId, findings: &mut Findings) {
    if let Some(found) = catalog::foreign_archive(archive, log) {
        let text = format!("archive is of log {found}, the journal is {log}");
        findings.add(archive.root(), None, FindingKind::Unknown, &text);
    }
}

/// Reads the note of retention, if it is there and valid.
pub(super) fn check_retained(
    layout: &Layout,
    vkey: Option<&VerifierKey>,
    findings: &mut Findings,
) -> Result<Option<RetainedNote>, FileError> {
    let Some(vkey) = vkey else { return Ok(None) };
    match read_retained(layout, vkey)? {
        None => Ok(None),
        Some(Ok(note)) => Ok(Some(note)),
        Some(Err(error)) => {
            findings.add(&layout.retained(), None, FindingKind::Signature, &error.to_string());
            Ok(None)
        }
    }
}

/// Whether the checkpoints of records that retention deleted are all there: they are what is left of those.
pub(super) fn check_gone(layout: &Layout, sizes: &[u64], findings: &mut Findings) {
    for size in sizes {
        let file = layout.checkpoint(*size);
        if !file.exists() {
            let text = "the checkpoint of records that retention deleted is not there, and it was kept";
            findings.add(&file, None, FindingKind::Missing, text);
        }
    }
}

/// Whether the note of retention says by now that the records before this one were let go of.
pub(super) fn was_let_go(layout: &Layout, vkey: Option<&VerifierKey>, end: u64) -> bool {
    let note = vkey.and_then(|vkey| read_retained(layout, vkey).ok()).flatten();
    matches!(note, Some(Ok(note)) if note.first_seq >= end)
}

/// The files that do not belong into the folder, or are not finished.
pub(super) fn strange(layout: &Layout) -> Result<Vec<PathBuf>, FileError> {
    const FILES: [&str; 9] = [
        "identity.json",
        "secret",
        "vkey",
        "lock",
        "anchor",
        "retained",
        "segments",
        "checkpoints",
        "snapshots",
    ];
    let mut strange = Vec::new();
    let root = layout.root();
    for name in names(root)? {
        if let Some(first) = parse_tail(&name) {
            let tail = layout.tail(first);
            for name in names(&tail)? {
                let known = name == "conf" || name == "db" || is_sled_snapshot(&name);
                let empty_blobs = name == "blobs" && names(&tail.join("blobs"))?.is_empty();
                if !known && !empty_blobs {
                    strange.push(tail.join(name));
                }
            }
        } else if !FILES.contains(&&*name) && parse_damaged(&name).is_none() {
            strange.push(root.join(name));
        }
    }
    let mut others = |folder: PathBuf, belongs: fn(&str) -> bool| {
        names(&folder).map(|names| {
            strange.extend(names.iter().filter(|name| !belongs(name)).map(|name| folder.join(name)));
        })
    };
    others(layout.segments(), |name| parse_segment(name).is_some())?;
    others(layout.checkpoints(), |name| super::bytes::parse_digits20(name).is_some())?;
    others(layout.snapshots(), |name| parse_snapshot(name).is_some())?;
    Ok(strange)
}

/// Reports what does not belong into the folder, as far as it is still there: what a writer had under way is finished by now.
pub(super) fn check_strange(strange: &[PathBuf], findings: &mut Findings) {
    for file in strange.iter().filter(|file| file.symlink_metadata().is_ok()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = if name.ends_with(super::disk::TEMPORARY) || name == "scratch" {
            "it was not finished; opening the journal for writing removes it"
        } else {
            "it does not belong to a journal"
        };
        findings.add(file, None, FindingKind::Unknown, text);
    }
}

/// The sizes at which roots are stated somewhere, to be computed in one pass over the records.
pub(super) fn stated_sizes(view: &View, vkey: Option<&VerifierKey>, options: &VerifyOptions) -> Roots {
    let mut roots = Roots::default();
    roots.want(view.checkpoints.iter().copied());
    roots.want(view.snapshots.iter().copied());
    for slot in view.anchor.slots {
        if let Slot::Valid(anchor) = slot {
            roots.want([anchor.size]);
        }
    }
    if let Some(vkey) = vkey {
        roots.want(
            options.older.iter().filter_map(|older| vkey.open(&older.text).ok()).map(|point| point.size),
        );
    }
    roots
}

/// Compares the anchor with the records. `tail` says whether there is a hot tail, which may be ahead of it.
pub(super) fn check_anchor(
    layout: &Layout,
    slots: &AnchorSlots,
    size: u64,
    tail: bool,
    roots: &Roots,
    findings: &mut Findings,
) {
    let file = layout.anchor();
    if let Some(problem) = &slots.problem {
        findings.add(&file, None, FindingKind::Anchor, problem);
    }
    for slot in slots.slots {
        let Slot::Valid(anchor) = slot else { continue };
        if anchor.size <= size && roots.get(anchor.size).is_some_and(|root| root != anchor.root) {
            let text = format!("its root at {} records is not that of the records", anchor.size);
            findings.add(&file, None, FindingKind::Anchor, &text);
        }
    }
    if let Some(newest) = slots.newest() {
        if newest.size > size {
            let text = format!("{} records were acknowledged, and there are {size}", newest.size);
            findings.add(&file, Some(size), FindingKind::Missing, &text);
        } else if newest.size < size && !tail {
            let text = format!("{} records were acknowledged, and {size} are sealed", newest.size);
            findings.add(&file, Some(newest.size), FindingKind::Anchor, &text);
        }
    }
}

/// What the records came to, for what is stated of them to be compared with.
pub(super) struct Computed<'a> {
    /// The first record that there is.
    pub(super) first_kept: u64,
    /// The size of the log.
    pub(super) size: u64,
    /// The roots at the sizes that are stated somewhere.
    pub(super) roots: &'a Roots,
}

/// How many checkpoints were checked, and how far.
#[derive(Default)]
pub(super) struct Compared {
    /// Those that were compared with the records.
    pub(super) with_records: u64,
    /// Those of deleted records, of which only the signature could be checked.
    pub(super) signature_only: u64,
}

/// Checks every checkpoint file, and those that are kept elsewhere.
pub(super) fn check_checkpoints(
    layout: &Layout,
    listed: &[u64],
    vkey: Option<&VerifierKey>,
    computed: &Computed<'_>,
    options: &VerifyOptions,
    findings: &mut Findings,
) -> Result<Compared, FileError> {
    let mut compared = Compared::default();
    let Some(vkey) = vkey else { return Ok(compared) };
    for named in listed.iter().copied() {
        let file = layout.checkpoint(named);
        let bytes = read_optional(&file)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        match vkey.open(&text) {
            Err(error) => findings.add(&file, None, FindingKind::Signature, &error.to_string()),
            Ok(point) if point.size != named => {
                let text = format!("it is a checkpoint of {} records", point.size);
                findings.add(&file, None, FindingKind::Signature, &text);
            }
            // One in the midst of what is here is without a root only where records are missing: a finding already.
            Ok(point) => match check_root(&file, point.size, &point.root, computed, findings) {
                true => compared.with_records += 1,
                false => compared.signature_only += u64::from(point.size < computed.first_kept),
            },
        }
    }
    for older in &options.older {
        let file = Path::new(&older.name);
        match vkey.open(&older.text) {
            Err(error) => findings.add(file, None, FindingKind::Signature, &error.to_string()),
            Ok(point) if check_root(file, point.size, &point.root, computed, findings) => {
                compared.with_records += 1;
            }
            // Somebody asks whether the log continues it, and silence would be taken for a yes.
            Ok(point) if point.size <= computed.size => {
                let text = unchecked(point.size, computed.first_kept, options.archive.is_some());
                findings.add(file, None, FindingKind::Unchecked, &text);
            }
            Ok(_) => {}
        }
    }
    Ok(compared)
}

/// Why a checkpoint that was kept elsewhere could not be compared with the records.
fn unchecked(size: u64, first_kept: u64, archive: bool) -> String {
    let of = format!("could not be checked: it is of {size} records");
    match (size < first_kept, archive) {
        (true, false) => format!("{of}, the first kept is {first_kept}; name the archive with --archive"),
        (true, true) => {
            format!("{of}, the first kept is {first_kept}, and the archive lacks those before it")
        }
        (false, _) => format!("{of}, and those around it are missing or damaged"),
    }
}

/// Compares a stated root with the computed one; says whether there was one to compare with.
fn check_root(
    file: &Path,
    stated: u64,
    root: &super::merkle::Hash,
    computed: &Computed<'_>,
    findings: &mut Findings,
) -> bool {
    let size = computed.size;
    if stated > size {
        let text = format!("it was made at {stated} records, and there are only {size}: history is missing");
        findings.add(file, Some(size), FindingKind::Rewritten, &text);
        return false;
    }
    let Some(found) = computed.roots.get(stated) else { return false };
    if found != *root {
        let text =
            format!("the first {stated} records do not have the root {root} any more: history was changed");
        findings.add(file, None, FindingKind::Rewritten, &text);
    }
    true
}

/// Checks the digests and roots of snapshots.
pub(super) fn check_snapshots(
    layout: &Layout,
    listed: &[u64],
    log: LogId,
    size: u64,
    roots: &Roots,
    findings: &mut Findings,
) -> Result<(), FileError> {
    for named in listed.iter().copied() {
        let file = layout.snapshot(named);
        match snapshot::read(&file, log)? {
            None => {}
            Some(Err(error)) => findings.add(&file, None, FindingKind::Damaged, error.0),
            Some(Ok(snapshot)) => {
                if snapshot.size != named {
                    findings.add(
                        &file,
                        None,
                        FindingKind::Damaged,
                        "its name is not the size it was made at",
                    );
                } else if named > size || roots.get(named).is_some_and(|root| root != snapshot.root) {
                    findings.add(&file, None, FindingKind::Rewritten, "it was not made from these records");
                }
            }
        }
    }
    Ok(())
}

/// Whether a segment's checkpoint is among the files, and is the one that the segment carries.
pub(super) fn check_segment_checkpoint(layout: &Layout, size: u64, carried: &str, findings: &mut Findings) {
    let file = layout.checkpoint(size);
    match fs::read(&file) {
        Err(_) => findings.add(&file, None, FindingKind::Missing, "the checkpoint of a segment is not there"),
        // Other signatures, of witnesses, may have been added after ours.
        Ok(bytes) if !bytes.starts_with(carried.as_bytes()) => {
            findings.add(
                &file,
                None,
                FindingKind::Signature,
                "it is not the checkpoint that the segment carries",
            );
        }
        Ok(_) => {}
    }
}

/// The file that should have these records, and what to say of its absence.
pub(super) fn missing(
    layout: &Layout,
    archive: Option<&Layout>,
    first_kept: u64,
    records: Range<u64>,
) -> (PathBuf, String) {
    let Range { start, end } = records;
    match archive {
        None => (layout.segment(start), format!("the segment with the records {start}..{end} is missing")),
        Some(archive) => {
            // What retention took should be in the archive, the rest in the journal.
            let place = if start < first_kept { archive } else { layout };
            let last = end.saturating_sub(1);
            let text = format!("the records {start} to {last} are neither in the journal nor in the archive");
            (place.segment(start), text)
        }
    }
}

/// Reports the segments of other logs. Nothing of them is read: the records are those of the journal's own.
pub(super) fn check_stray(stray: &[SegmentEntry], findings: &mut Findings) {
    for entry in stray {
        if let Err(reason) = &entry.header {
            let text = format!("{reason}; opening the journal for writing sets it aside");
            findings.add(&entry.path, Some(entry.first), FindingKind::Unknown, &text);
        }
    }
}
