//! The golden files: bytes that old versions wrote, and that this one must read, render and write the same.
//!
//! Invariant: a file that is there is never written again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use purser_engine::reason::ReasonId;
use sha2::{Digest as _, Sha256};

use super::{asked_for, file, samples};
use crate::wire::{self, Kind, code};

const DIR: &str = "events/golden";
/// Folders of `events/golden` that are not kinds.
const OTHERS: [&str; 1] = ["journal"];
const SUMS: &str = "SHA256SUMS";
const CODES: &str = "codes.txt";
const REMEDY: &str = "UPDATE_GOLDEN=1 cargo test -p purser-events golden writes what is missing";

fn golden(path: &str) -> PathBuf {
    file(DIR).join(path)
}

/// The file of a sample, without its ending.
fn stem(kind: &Kind, schema: u16, case: &str) -> String {
    let dash = if case.is_empty() { "" } else { "-" };
    format!("{}/v{schema}{dash}{case}", kind.name)
}

/// Writes a file that is not there, if that is asked for.
fn create(path: &str, bytes: &[u8]) -> io::Result<()> {
    let path = golden(path);
    if path.exists() || !asked_for("UPDATE_GOLDEN") {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap())?;
    fs::write(path, bytes)
}

fn read(path: &str) -> Vec<u8> {
    fs::read(golden(path)).unwrap_or_else(|error| panic!("{DIR}/{path}: {error}: {REMEDY}"))
}

/// The files of kinds: the kind's name, the file's name without its ending, the ending.
fn files() -> Vec<(String, String, String)> {
    let mut files = Vec::new();
    for folder in fs::read_dir(file(DIR)).unwrap().map(Result::unwrap) {
        let name = folder.file_name().into_string().unwrap();
        if !folder.path().is_dir() || OTHERS.contains(&name.as_str()) {
            continue;
        }
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let file = entry.file_name().into_string().unwrap();
            let (stem, ending) = file.split_once('.').unwrap();
            files.push((name.clone(), stem.to_owned(), ending.to_owned()));
        }
    }
    files.sort();
    files
}

/// One test, so that files are written before they are looked for.
#[test]
fn golden_files_are_complete_and_what_this_version_reads_and_writes() {
    write_what_is_missing();
    samples_are_written_as_ever();
    every_file_is_read_as_ever();
    kinds_and_files_match();
    no_file_has_changed();
    codes_only_grow();
}

fn write_what_is_missing() {
    let mut seen = BTreeSet::new();
    for sample in samples::all() {
        let encoded = wire::encode(&sample.event).unwrap();
        let kind = Kind::of(encoded.kind).unwrap();
        let stem = stem(kind, encoded.schema, sample.case);
        assert!(seen.insert(stem.clone()), "{stem}: two samples");
        create(&format!("{stem}.bin"), &encoded.payload).unwrap();
        let json = wire::render(encoded.kind, encoded.schema, &encoded.payload).unwrap();
        create(&format!("{stem}.json"), &json).unwrap();
    }
}

fn samples_are_written_as_ever() {
    for sample in samples::all() {
        let encoded = wire::encode(&sample.event).unwrap();
        let stem = stem(Kind::of(encoded.kind).unwrap(), encoded.schema, sample.case);
        assert!(
            encoded.payload == read(&format!("{stem}.bin")),
            "{stem}.bin: the sample's bytes have changed"
        );
        let event = wire::decode(encoded.kind, encoded.schema, &encoded.payload);
        assert_eq!(event, Ok(sample.event), "{stem}");
    }
}

fn every_file_is_read_as_ever() {
    for (name, stem, _) in files().into_iter().filter(|(_, _, ending)| ending == "bin") {
        let kind = Kind::named(&name).unwrap_or_else(|| panic!("{DIR}/{name}: there is no such kind"));
        let schema = schema_of(&stem);
        let payload = read(&format!("{name}/{stem}.bin"));
        let json = kind.render(schema, &payload).unwrap_or_else(|error| panic!("{name}/{stem}.bin: {error}"));
        let expected = read(&format!("{name}/{stem}.json"));
        assert_eq!(
            String::from_utf8(json).unwrap(),
            String::from_utf8(expected).unwrap(),
            "{name}/{stem}.json"
        );
        kind.decode(schema, &payload).unwrap_or_else(|error| panic!("{name}/{stem}.bin: {error}"));
    }
}

fn schema_of(stem: &str) -> u16 {
    let number = stem.split('-').next().and_then(|version| version.strip_prefix('v'));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{stem}: no schema in the name"))
}

fn kinds_and_files_match() {
    let files = files();
    for kind in Kind::all() {
        for schema in kind.schemas {
            for ending in ["bin", "json"] {
                let wanted = (kind.name.to_owned(), format!("v{}", schema.number), ending.to_owned());
                assert!(
                    files.contains(&wanted),
                    "{}/v{}.{ending} is missing: {REMEDY}",
                    kind.name,
                    schema.number
                );
            }
        }
    }
    for (name, stem, ending) in &files {
        let kind = Kind::named(name).unwrap_or_else(|| panic!("{DIR}/{name}: there is no such kind"));
        let schema = schema_of(stem);
        assert!(
            kind.schemas.iter().any(|known| known.number == schema),
            "{name}/{stem}.{ending}: no such schema"
        );
        let other = match ending.as_str() {
            "bin" => "json",
            "json" => "bin",
            _ => panic!("{name}/{stem}.{ending}: an odd file"),
        };
        assert!(
            files.contains(&(name.clone(), stem.clone(), other.to_owned())),
            "{name}/{stem} has no .{other}"
        );
    }
}

/// `SHA256SUMS` can be checked with sha256sum too.
fn no_file_has_changed() {
    let sums = fs::read_to_string(golden(SUMS)).unwrap_or_default();
    let listed: Vec<(&str, &str)> = sums.lines().map(|line| line.split_once("  ").unwrap()).collect();
    for (sum, path) in &listed {
        assert_eq!(
            sha256(&read(path)),
            *sum,
            "{DIR}/{path} has changed: the files of a released schema stay as they are"
        );
    }
    let mut missing = String::new();
    for (name, stem, ending) in files() {
        let path = format!("{name}/{stem}.{ending}");
        if !listed.iter().any(|(_, listed)| *listed == path) {
            writeln!(missing, "{}  {path}", sha256(&read(&path))).unwrap();
        }
    }
    if !missing.is_empty() {
        assert!(asked_for("UPDATE_GOLDEN"), "{SUMS} lacks\n{missing}{REMEDY}");
        fs::write(golden(SUMS), sums + &missing).unwrap();
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `codes.txt` has each code with its word; lines are added, never changed or taken away.
fn codes_only_grow() {
    let of_enums = code::ALL
        .iter()
        .flat_map(|(name, codes)| codes.iter().map(move |(code, word)| (*name, *code, *word)));
    let reasons = ReasonId::ALL.iter().map(|id| ("reason", *id as u16, id.as_str()));
    let known: Vec<String> =
        of_enums.chain(reasons).map(|(name, code, word)| format!("{name} {code} {word}")).collect();
    let text = fs::read_to_string(golden(CODES)).unwrap_or_default();
    for line in text.lines() {
        assert!(
            known.iter().any(|known| known == line),
            "{CODES}: {line:?} no longer holds: codes never change"
        );
    }
    let missing: Vec<&str> =
        known.iter().map(String::as_str).filter(|known| !text.lines().any(|line| line == *known)).collect();
    if !missing.is_empty() {
        assert!(asked_for("UPDATE_GOLDEN"), "{CODES} lacks {missing:?}: {REMEDY}");
        fs::write(golden(CODES), text + &missing.join("\n") + "\n").unwrap();
    }
}

#[test]
fn each_domain_case_is_in_a_sample() {
    // The encoder matches every variant of the domain; here every kind of the table must come from one.
    let written: BTreeSet<u16> =
        samples::all().iter().map(|sample| wire::encode(&sample.event).unwrap().kind).collect();
    let all: BTreeSet<u16> = Kind::all().map(|kind| kind.number).collect();
    assert_eq!(written, all);
}
