//! Signed notes as C2SP defines them, and checkpoints as their text.
//!
//! Invariant: a checkpoint is believed only after a signature of the expected key over its exact bytes was checked.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _};
use sha2::{Digest, Sha256};

use super::bytes::{hex, unhex};
use super::merkle::Hash;

/// The algorithm byte of Ed25519 in key ids and verifier keys.
const ED25519: u8 = 1;

/// Why a note or a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is not a signed note, or its body is not the expected one.
    #[error("not a signed note of the expected form: {0}")]
    Malformed(&'static str),
    /// No line is signed with the expected key, or its signature is wrong.
    #[error("no valid signature by the key {name}")]
    Unsigned {
        /// The name in the expected verifier key.
        name: String,
    },
    /// The text of a verifier key cannot be read.
    #[error("not a verifier key (name+id+base64): {0}")]
    Key(&'static str),
}

/// The key that signs checkpoints. Its name is the log's origin.
pub struct SigningKey {
    name: String,
    key: ed25519_dalek::SigningKey,
}

/// The public half, in the text form `name+id+base64` that auditors keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

/// What a checkpoint states: the log of this origin had this root at this size.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The number of records.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

// === impl SigningKey ===

impl SigningKey {
    /// A key from its 32-byte seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// The public half.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::new(self.name.clone(), self.key.verifying_key())
    }

    /// Signs a checkpoint; Ed25519 is deterministic, so equal checkpoints have equal text.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.sign_text(&checkpoint.body())
    }

    pub(super) fn sign_text(&self, body: &str) -> String {
        let verifier = self.verifier();
        let mut raw = verifier.id.to_vec();
        raw.extend_from_slice(&self.key.sign(body.as_bytes()).to_bytes());
        format!("{body}\n\u{2014} {} {}\n", self.name, STANDARD.encode(raw))
    }
}

// === impl VerifierKey ===

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![ED25519];
        raw.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(raw))
    }
}

impl std::str::FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has not three parts"));
        };
        let raw = STANDARD.decode(key).map_err(|_| NoteError::Key("its third part is not base64"))?;
        let key: [u8; 32] = match raw.split_first() {
            Some((&ED25519, key)) => {
                key.try_into().map_err(|_| NoteError::Key("its length is not that of Ed25519"))?
            }
            _ => return Err(NoteError::Key("its algorithm is not Ed25519")),
        };
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key)
            .map_err(|_| NoteError::Key("it is no point on the curve"))?;
        let verifier = Self::new(name.to_owned(), key);
        if unhex(id) != Some(verifier.id) {
            return Err(NoteError::Key("its id does not belong to its key"));
        }
        Ok(verifier)
    }
}

impl VerifierKey {
    fn new(name: String, key: ed25519_dalek::VerifyingKey) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_bytes());
        hasher.update([b'\n', ED25519]);
        hasher.update(key.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let id = [digest[0], digest[1], digest[2], digest[3]];
        Self { name, id, key }
    }

    /// The name of the key, which is the origin of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the signature and reads the checkpoint. Signatures by other keys (witnesses) are ignored.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::parse_body(self.open_text(note)?)?;
        if checkpoint.origin != self.name {
            return Err(NoteError::Malformed("its origin is not the name of the key"));
        }
        Ok(checkpoint)
    }

    pub(super) fn open_text<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let at =
            note.rfind("\n\n").ok_or(NoteError::Malformed("there is no blank line before the signatures"))?;
        let (body, signatures) = (&note[..=at], &note[at + 2..]);
        if !signatures.ends_with('\n') {
            return Err(NoteError::Malformed("the last line is not ended"));
        }
        for line in signatures.lines() {
            let (name, raw) = line
                .strip_prefix("\u{2014} ")
                .and_then(|rest| rest.split_once(' '))
                .ok_or(NoteError::Malformed("a signature line cannot be read"))?;
            let raw = STANDARD.decode(raw).map_err(|_| NoteError::Malformed("a signature is not base64"))?;
            let Some((id, signature)) = raw.split_first_chunk::<4>() else { continue };
            if name == self.name && *id == self.id {
                let signature = Signature::from_slice(signature).ok();
                let valid = signature.is_some_and(|s| self.key.verify_strict(body.as_bytes(), &s).is_ok());
                return if valid { Ok(body) } else { Err(NoteError::Unsigned { name: self.name.clone() }) };
            }
        }
        Err(NoteError::Unsigned { name: self.name.clone() })
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// The text that is signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    fn parse_body(body: &str) -> Result<Self, NoteError> {
        let mut lines = body.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Malformed("it has not three lines"));
        };
        let size = size.parse().map_err(|_| NoteError::Malformed("its size is not a number"))?;
        let root = STANDARD.decode(root).ok().and_then(|raw| raw.try_into().ok()).map(Hash);
        let root = root.ok_or(NoteError::Malformed("its root is not a base64 SHA-256"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (SigningKey, Checkpoint) {
        let key = SigningKey::from_seed("example.org/log", &[7; 32]);
        (key, Checkpoint { origin: "example.org/log".into(), size: 42, root: Hash::of(b"root") })
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_key_only() {
        let (key, checkpoint) = sample();
        let text = key.sign(&checkpoint);
        assert_eq!(key.verifier().open(&text), Ok(checkpoint));
        let other = SigningKey::from_seed("example.org/log", &[8; 32]);
        assert_eq!(other.verifier().open(&text), Err(NoteError::Unsigned { name: "example.org/log".into() }));
        assert_eq!(key.verifier().to_string().parse(), Ok(key.verifier()));
    }

    #[test]
    fn foreign_signatures_are_ignored() {
        let (key, checkpoint) = sample();
        let text = key.sign(&checkpoint);
        let witness = SigningKey::from_seed("witness", &[9; 32]).sign_text(&checkpoint.body());
        let (_, line) = witness.rsplit_once("\n\n").unwrap();
        assert_eq!(key.verifier().open(&format!("{text}{line}")), Ok(checkpoint));
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let (key, checkpoint) = sample();
        for (text, is_key) in [(key.sign(&checkpoint), false), (key.verifier().to_string(), true)] {
            for at in 0..text.len() {
                for bit in 0..8 {
                    let mut bytes = text.clone().into_bytes();
                    bytes[at] ^= 1 << bit;
                    let Ok(changed) = String::from_utf8(bytes) else { continue };
                    if is_key {
                        assert_ne!(changed.parse::<VerifierKey>(), Ok(key.verifier()), "byte {at} bit {bit}");
                    } else {
                        assert!(key.verifier().open(&changed).is_err(), "byte {at} bit {bit}");
                    }
                }
            }
        }
    }
}
