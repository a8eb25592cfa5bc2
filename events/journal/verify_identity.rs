//! Verification of `identity.json` against the rest of the journal: its checksum is plain, so whoever alters it can mend that too.
//!
//! Invariant: each field is held against something that a root or a signature covers, as long as that is here.

use super::disk::FileError;
use super::identity::{self, Identity, Secret};
use super::layout::Layout;
use super::leaf::Vocabulary;
use super::merkle::Hash;
use super::note::SigningKey;
use super::record::Record;
use super::retained::Vouched;
use super::verify::{FindingKind, Findings};

/// Holds origin and log against the key and the other files. What comes back is what those say, to go on with: one altered field
/// is one finding.
pub(super) fn settle(
    layout: &Layout,
    mut identity: Identity,
    secret: Option<&Secret>,
    findings: &mut Findings,
) -> Result<Identity, FileError> {
    let file = layout.identity();
    let named = identity::read_vkey(layout).ok().filter(|key| key.name() != identity.origin);
    if let Some(own) = named {
        let seed = secret.and_then(|secret| secret.seed);
        let public = |name: &str| seed.map(|seed| SigningKey::from_seed(name, &seed).verifier());
        // Otherwise the key is to blame, which is compared with the secret for itself.
        if public(own.name()).is_none_or(|public| public == own) {
            let text =
                format!("its origin is {}, and the key in vkey is that of {}", identity.origin, own.name());
            findings.add(&file, None, FindingKind::Field, &text);
            own.name().clone_into(&mut identity.origin);
        }
    }
    if let Some(found) = identity::disowned(layout, identity.log)? {
        let text = format!("its log is {}, and that of all other files is {found}", identity.log);
        findings.add(&file, None, FindingKind::Field, &text);
        identity.log = found;
    }
    Ok(identity)
}

/// Holds time and predecessor against the first record, as far as that says them in its readable form.
pub(super) fn check_first(
    layout: &Layout,
    identity: &Identity,
    first: &Record,
    vocabulary: &dyn Vocabulary,
    findings: &mut Findings,
) {
    let file = layout.identity();
    // A writer that was just created writes it anew before its first record.
    let settled = || Identity::read(layout).is_ok_and(|now| now.created_us == first.time_us);
    if identity.created_us != first.time_us && !settled() {
        let text =
            format!("its created_us is {}, and the log begins at {}", identity.created_us, first.time_us);
        findings.add(&file, Some(0), FindingKind::Field, &text);
    }
    let Ok(rendered) = vocabulary.render(first.kind, first.schema, &first.payload) else { return };
    let Ok(said) = serde_json::from_slice::<serde_json::Value>(&rendered.json) else { return };
    if said.get("predecessor").is_some_and(|said| said.as_str() != identity.predecessor.as_deref()) {
        let text = "its predecessor is not the one that the first record names";
        findings.add(&file, Some(0), FindingKind::Field, text);
    }
    if let Some(origin) =
        said.get("origin").and_then(|origin| origin.as_str()).filter(|o| *o != identity.origin)
    {
        let text = format!("its origin is {}, and the first record says {origin}", identity.origin);
        findings.add(&file, Some(0), FindingKind::Field, &text);
    }
}

/// Holds time and predecessor against the note of retention, which vouches for them when the first record is gone.
pub(super) fn check_vouched(
    layout: &Layout,
    identity: &Identity,
    vouched: &Vouched,
    findings: &mut Findings,
) {
    let file = layout.identity();
    if identity.created_us != vouched.created_us {
        let text = format!(
            "its created_us is {}, and the note of retention says {}",
            identity.created_us, vouched.created_us
        );
        findings.add(&file, None, FindingKind::Field, &text);
    }
    if identity.predecessor.as_ref().map(|text| Hash::of(text.as_bytes())) != vouched.predecessor {
        let text = "its predecessor is not the one that the note of retention vouches for";
        findings.add(&file, None, FindingKind::Field, text);
    }
}

/// Holds the copy in the archive against the journal's own.
pub(super) fn check_copy(archive: &Layout, own: &Identity, findings: &mut Findings) {
    let file = archive.identity();
    match Identity::read(archive) {
        // That it is of another log, or has none, is said elsewhere.
        Ok(copy) if copy.log != own.log => {}
        Err(super::OpenError::Missing { .. }) => {}
        Ok(copy) if copy == *own => {}
        Ok(_) => findings.add(&file, None, FindingKind::Field, "it is not that of the journal"),
        Err(error) => findings.add(&file, None, FindingKind::Damaged, &error.to_string()),
    }
}
