//! The note that says where the kept history begins, and what the records that are gone had said.
//!
//! Invariant: once the first record is gone, the note vouches for what only that record vouched for: when the log was begun and
//! what it follows; and it names each checkpoint of records that are gone, so that none of them can go unnoticed.

use super::disk::{FileError, read_optional};
use super::identity::Identity;
use super::layout::Layout;
use super::merkle::Hash;
use super::note::{NoteError, VerifierKey};

const TITLE: &str = "purser-retained";

/// The signed note in `retained`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RetainedNote {
    /// The first record that is kept.
    pub(super) first_seq: u64,
    /// When the note was written.
    pub(super) time_us: i64,
    /// What else it vouches for; notes of early versions did not.
    pub(super) vouched: Option<Vouched>,
}

/// What the note says of the records that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vouched {
    /// When the log was begun.
    pub(super) created_us: i64,
    /// The digest of the checkpoint that the log follows, if it follows one.
    pub(super) predecessor: Option<Hash>,
    /// The sizes of the checkpoints of records that are gone, ascending.
    pub(super) checkpoints: Vec<u64>,
}

impl Vouched {
    pub(super) fn new(identity: &Identity, checkpoints: Vec<u64>) -> Self {
        let predecessor = identity.predecessor.as_ref().map(|text| Hash::of(text.as_bytes()));
        Self { created_us: identity.created_us, predecessor, checkpoints }
    }
}

impl RetainedNote {
    pub(super) fn body(&self, origin: &str) -> String {
        let head = format!("{TITLE}\n{origin}\n{}\n{}\n", self.first_seq, self.time_us);
        let Some(Vouched { created_us, predecessor, checkpoints }) = &self.vouched else { return head };
        let predecessor = predecessor.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
        format!("{head}begun {created_us}\nfollows {predecessor}\ncheckpoints{}\n", steps(checkpoints))
    }

    fn parse(vkey: &VerifierKey, text: &str) -> Result<Self, NoteError> {
        let body = vkey.open_text(text)?;
        let bad = || NoteError::Malformed("it is not a note of retention");
        let lines: Vec<&str> = body.lines().collect();
        let [TITLE, origin, first_seq, time_us, vouched @ ..] = &lines[..] else { return Err(bad()) };
        let vouched = match vouched {
            [] => None,
            vouched => Some(parse_vouched(vouched).ok_or_else(bad)?),
        };
        let first_seq = first_seq.parse().map_err(|_| bad())?;
        let time_us = time_us.parse().map_err(|_| bad())?;
        let note = Self { first_seq, time_us, vouched };
        if *origin != vkey.name() || note.body(origin) != body {
            return Err(bad());
        }
        Ok(note)
    }
}

fn parse_vouched(lines: &[&str]) -> Option<Vouched> {
    let [begun, follows, checkpoints] = lines else { return None };
    let predecessor = match follows.strip_prefix("follows ")? {
        "-" => None,
        digest => Some(Hash(super::bytes::unhex(digest)?)),
    };
    Some(Vouched {
        created_us: begun.strip_prefix("begun ")?.parse().ok()?,
        predecessor,
        checkpoints: parse_steps(checkpoints.strip_prefix("checkpoints")?)?,
    })
}

/// Ascending numbers as the steps between them, equal ones counted: a year of segments of one length is one word.
fn steps(sizes: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut before = 0;
    for size in sizes {
        let step = size - before;
        before = *size;
        match runs.last_mut() {
            Some((last, count)) if *last == step => *count += 1,
            _ => runs.push((step, 1)),
        }
    }
    let word = |(step, count): &(u64, u64)| match count {
        1 => format!(" {step}"),
        count => format!(" {step}x{count}"),
    };
    runs.iter().map(word).collect()
}

fn parse_steps(text: &str) -> Option<Vec<u64>> {
    // No log has so many segments; a note that claims more is not ours.
    const MOST: u64 = 1 << 24;
    let mut sizes: Vec<u64> = Vec::new();
    for word in text.split(' ').skip(1) {
        let (step, count) = word.split_once('x').unwrap_or((word, "1"));
        let (step, count): (u64, u64) = (step.parse().ok()?, count.parse().ok()?);
        if step == 0 || count > MOST - sizes.len() as u64 {
            return None;
        }
        for _ in 0..count {
            sizes.push(sizes.last().copied().unwrap_or(0).checked_add(step)?);
        }
    }
    Some(sizes)
}

/// Reads the note of retention, when there is one.
pub(super) fn read_retained(
    layout: &Layout,
    vkey: &VerifierKey,
) -> Result<Option<Result<RetainedNote, NoteError>>, FileError> {
    let Some(bytes) = read_optional(&layout.retained())? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not text"));
    Ok(Some(text.and_then(|text| RetainedNote::parse(vkey, &text))))
}

#[cfg(test)]
mod tests {
    use super::super::note::SigningKey;
    use super::*;

    #[test]
    fn a_note_reads_as_it_was_written_also_one_of_an_early_version() {
        let key = SigningKey::from_seed("example.org/log", &[7; 32]);
        let vouched = |predecessor, checkpoints| Some(Vouched { created_us: -5, predecessor, checkpoints });
        let many: Vec<u64> = (1..=1_000).map(|n| n * 32_768).chain([40_000_000]).collect();
        for vouched in [
            None,
            vouched(None, vec![]),
            vouched(Some(Hash::of(b"before")), vec![5, 10, 15, 17]),
            vouched(None, many),
        ] {
            let note = RetainedNote { first_seq: 17, time_us: 3, vouched };
            let text = key.sign_text(&note.body("example.org/log"));
            assert!(text.len() < 400, "{text}");
            assert_eq!(RetainedNote::parse(&key.verifier(), &text), Ok(note));
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let key = SigningKey::from_seed("example.org/log", &[7; 32]);
        let head = "purser-retained\nexample.org/log\n17\n3\n";
        for rest in [
            "begun 1\n",
            "begun 1\nfollows -\n",
            "begun 1\nfollows x\ncheckpoints\n",
            "begun 1\nfollows -\ncheckpoints 5 0\n",
            "begun 1\nfollows -\ncheckpoints 5x1\n",
            "begun 1\nfollows -\ncheckpoints 5x9000000 6x9000000\n",
            "begun 01\nfollows -\ncheckpoints\n",
        ] {
            let text = key.sign_text(&format!("{head}{rest}"));
            assert!(RetainedNote::parse(&key.verifier(), &text).is_err(), "{rest}");
        }
    }
}
