//! Who the log is: identity file, secrets, verifier key, and the lock that keeps a second writer out.
//!
//! Invariant: each of these files has exactly one valid form for its content, so any changed byte shows.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::bytes::{hex, unhex};
use super::disk::{At as _, Disk, FileError, read_optional};
use super::error::OpenError;
use super::layout::Layout;
use super::leaf::SaltSecret;
use super::merkle::Hash;
use super::note::{SigningKey, VerifierKey};
use super::record::{LogId, MAX_NAME_LEN};
use super::segment_read::SegmentFile;

/// The version of the folder's layout that this code writes and reads.
pub const FORMAT: u64 = 1;

/// What `identity.json` says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Identity {
    /// The version of the folder's layout.
    pub format: u64,
    /// The log's id.
    pub log: LogId,
    /// The log's name, which is also the name of its signing key.
    pub origin: String,
    /// When the log was begun, which is the time of its first record: microseconds of UTC since 1970.
    pub created_us: i64,
    /// The last checkpoint of the log that this one follows, if there was one. The first record says the same.
    pub predecessor: Option<String>,
}

impl Identity {
    pub(super) fn render(&self) -> String {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let body = format!(
            "{{\"format\":{},\"log\":\"{}\",\"origin\":{},\"created_us\":{},\"predecessor\":{}",
            self.format,
            self.log,
            text(&self.origin),
            self.created_us,
            self.predecessor.as_deref().map_or_else(|| "null".to_owned(), text),
        );
        format!("{body},\"checksum\":\"{}\"}}\n", Hash::of(body.as_bytes()))
    }

    pub(super) fn parse(file: &Path, text: &[u8]) -> Result<Self, OpenError> {
        let bad = |reason: &str| OpenError::Identity { file: file.to_owned(), reason: reason.to_owned() };
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|_| bad("it is not JSON"))?;
        let format = value["format"].as_u64().ok_or_else(|| bad("it has no format number"))?;
        if format > FORMAT {
            return Err(OpenError::Newer { file: file.to_owned(), found: format, supported: FORMAT });
        }
        if format == 0 {
            return Err(bad("its format number is 0, and the first is 1"));
        }
        let log =
            value["log"].as_str().and_then(LogId::parse).ok_or_else(|| bad("its log id is malformed"))?;
        let origin = value["origin"].as_str().ok_or_else(|| bad("it has no origin"))?.to_owned();
        let created_us = value["created_us"].as_i64().ok_or_else(|| bad("it has no creation time"))?;
        let predecessor = value["predecessor"].as_str().map(str::to_owned);
        let identity = Self { format, log, origin, created_us, predecessor };
        if identity.render().as_bytes() != text {
            return Err(bad("its checksum does not fit its content"));
        }
        Ok(identity)
    }

    pub(super) fn read(layout: &Layout) -> Result<Self, OpenError> {
        let file = layout.identity();
        match read_optional(&file)? {
            None => Err(OpenError::Missing { dir: layout.root().to_owned() }),
            Some(text) => Self::parse(&file, &text),
        }
    }
}

/// The log that everything in the folder is of, if that is another than the identity says.
pub(super) fn disowned(layout: &Layout, log: LogId) -> Result<Option<LogId>, FileError> {
    let mut logs = super::anchor::logs(layout)?;
    if logs.contains(&log) {
        return Ok(None);
    }
    for first in layout.list_segments()? {
        if let Ok(file) = SegmentFile::open(&layout.segment(first)) {
            logs.push(file.header().log);
        }
    }
    let found = logs.first().copied().filter(|found| *found != log);
    Ok(found.filter(|found| logs.iter().all(|other| other == found)))
}

/// Refuses an identity that nothing in the folder agrees with.
pub(super) fn refuse_disowned(layout: &Layout, log: LogId) -> Result<(), OpenError> {
    match disowned(layout, log)? {
        None => Ok(()),
        Some(found) => Err(OpenError::Identity {
            file: layout.identity(),
            reason: format!("its log is {log}, and that of all other files is {found}"),
        }),
    }
}

/// The content of `secret`.
pub(super) struct Secret {
    pub(super) salts: SaltSecret,
    /// Absent when the signing key is kept outside the journal.
    pub(super) seed: Option<[u8; 32]>,
}

impl Secret {
    pub(super) fn render(&self) -> String {
        let seed = self.seed.as_ref().map_or_else(|| "external".to_owned(), |seed| hex(seed));
        let body = format!("purser-secret 1\nsalt {}\nseed {seed}\n", hex(&self.salts.0));
        format!("{body}checksum {}\n", Hash::of(body.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?;
        let salts = SaltSecret(unhex(lines.next()?.strip_prefix("salt ")?)?);
        let seed = match lines.next()?.strip_prefix("seed ")? {
            "external" => None,
            seed => Some(unhex(seed)?),
        };
        let secret = Self { salts, seed };
        (secret.render() == text).then_some(secret)
    }

    /// `None` when the file is not there: a copy of a journal for somebody who may not know the salts.
    pub(super) fn read(layout: &Layout) -> Result<Option<Self>, OpenError> {
        let file = layout.secret();
        let Some(bytes) = read_optional(&file)? else { return Ok(None) };
        let secret = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
        let reason = "its checksum does not fit its content: restore it from a backup of the volume";
        secret.map(Some).ok_or_else(|| OpenError::Secret { file, reason: reason.to_owned() })
    }
}

/// Reads a signing key that is kept outside: one line of 64 hex digits, the seed.
pub(super) fn read_signing_key(file: &Path, origin: &str) -> Result<SigningKey, OpenError> {
    let reason = "it is not one line of 64 hex digits, the Ed25519 seed";
    let bad = || OpenError::Secret { file: file.to_owned(), reason: reason.to_owned() };
    let text = std::fs::read_to_string(file).at(file)?;
    let seed = unhex(text.trim_end()).ok_or_else(bad)?;
    Ok(SigningKey::from_seed(origin, &seed))
}

/// Reads `vkey`; its bytes must be the one form of that key.
pub(super) fn read_vkey(layout: &Layout) -> Result<VerifierKey, OpenError> {
    let file = layout.vkey();
    let bytes = read_optional(&file)?.unwrap_or_default();
    let bad = |reason: String| OpenError::Key { file: file.clone(), reason };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not text".to_owned()))?;
    let key: VerifierKey = text.parse().map_err(|error: super::note::NoteError| bad(error.to_string()))?;
    if format!("{key}\n") != text {
        return Err(bad("it has superfluous bytes".to_owned()));
    }
    Ok(key)
}

/// What a seed derives: everything about a log that is otherwise random.
pub(super) fn derive(seed: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"purser journal: ");
    hasher.update(purpose.as_bytes());
    hasher.update([0]);
    hasher.update(seed);
    hasher.finalize().into()
}

/// Names that stand on a line of their own in notes, and inside verifier keys.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), OpenError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > MAX_NAME_LEN || name.chars().any(bad) {
        return Err(OpenError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

/// Whoever verifies the journal holds the lock for a moment to see whether there is a writer: longer than that one waits for it.
const GLANCE: Duration = Duration::from_millis(5);

/// How often one waits so long.
const GLANCES: u32 = 4;

/// Whether a writer holds the journal. Where that cannot be found out, as of a copy, there is none.
pub(super) fn is_held(layout: &Layout) -> bool {
    let Ok(file) = File::open(layout.lock()) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The held lock of the single writer. The operating system releases it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn acquire(layout: &Layout, instance: &str) -> Result<Self, OpenError> {
        let path = layout.lock();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.at(&path)?;
        let mut locked = file.try_lock();
        for _ in 0..GLANCES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(GLANCE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim_end().replace('\n', ", ");
                return Err(OpenError::InUse { dir: layout.root().to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(source).at(&path)?,
        }
        // The content only helps a person; the lock is the kernel's, so a failure to write it (a full disk) is no obstacle.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "pid {}\ninstance {instance}\n", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Creates the small files of a new journal; `identity.json` comes last and makes it a journal.
pub(super) fn write_new(
    disk: &Disk,
    layout: &Layout,
    identity: &Identity,
    secret: &Secret,
    vkey: &VerifierKey,
) -> Result<(), OpenError> {
    disk.write_once(&layout.secret(), secret.render().as_bytes(), 0o600)?;
    disk.write_once(&layout.vkey(), format!("{vkey}\n").as_bytes(), 0o644)?;
    disk.sync_folder(layout.root()).at(layout.root())?;
    disk.write_once(&layout.identity(), identity.render().as_bytes(), 0o644)?;
    disk.sync_folder(layout.root()).at(layout.root())?;
    Ok(())
}
