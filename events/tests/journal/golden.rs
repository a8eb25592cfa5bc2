//! The bytes that never change: the same seed and input give the same files, now and in every later version.

use std::fs;
use std::path::{Path, PathBuf};

use super::common::*;
use purser_events::journal::*;

const ENVELOPE: &str = r#"{"v":1,"seq":3,"ts":"2023-11-14T22:13:20.001000Z","rec":"018bcfe5-6801-7ef1-96c7-4c790210528d","kind":"observation","type":"pod-bound.v2","log":"example.org/purser/test","term":7,"instance":"purser-0","cause":[2,1],"commit":false,"payload_sha256":"8dd5cba405027f56b1b47ea08a3f65cbe50f9f4e77501574a83c15a41987792e","payload_len":116}"#;
const PAYLOAD: &str = r#"{"salt":"bdc43523c6daac6d251ba1c2a5aea1f0","data":{"kind":3,"hex":"202124293039071423340a1f36122d0d2c10331b052e1c"}}"#;
const CHECKPOINT: &str = "example.org/purser/test\n10\nLrNQQ2IfITmTV1s4bkfOfr34loDQ7U6UNezr49yfF/A=\n\n— example.org/purser/test p6lGYq71Q8gKqAPUiJY/HZqeRr1Nr2GGcY5zFQI88aOIeufgbbQ1YmL++8Xz58TIqTLVoYHo9DD4R1EAG4LvzhQd0A4=\n";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/journal")
}

fn make(dir: &Path) {
    let mut journal = Journal::create(dir, options(), time(0)).unwrap();
    append(&mut journal, 1).unwrap();
    append(&mut journal, 6).unwrap();
    journal.seal().unwrap();
    journal.set_writer(8, "purser-1").unwrap();
    append(&mut journal, 3).unwrap();
    journal.close().unwrap();
}

#[test]
fn the_same_seed_and_input_give_the_same_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make(a.path());
    make(b.path());
    assert_eq!(files(a.path()), files(b.path()));
}

#[test]
fn the_golden_journal_is_still_written_and_read_the_same() {
    let golden = golden();
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    if std::env::var_os("PURSER_WRITE_GOLDEN").is_some() {
        copy(dir.path(), &golden);
        fs::remove_file(golden.join("lock")).unwrap();
    }
    let report = assert_sound(&golden, 10);
    assert_eq!(report.root.to_string(), "2eb35043621f213993575b386e47ce7ebdf89680d0ed4e9435ecebe3dc9f17f0");
    assert_records(&golden, 10);
    let (now, then) = (files(dir.path()), files(&golden));
    for (name, bytes) in &then {
        // A newer compressor may pack the same records otherwise; what is signed stays.
        if !name.starts_with("segments") {
            assert_eq!(now.get(name), Some(bytes), "{}", name.display());
        }
    }
    let reader = Reader::open(&golden, toy()).unwrap();
    let record = reader.records(3).next().unwrap().unwrap();
    let lines = reader.leaf_writer().unwrap().lines(&record).unwrap();
    assert_eq!(String::from_utf8(lines.envelope).unwrap(), ENVELOPE);
    assert_eq!(String::from_utf8(lines.payload).unwrap(), PAYLOAD);
    let checkpoint = fs::read_to_string(golden.join("checkpoints").join(format!("{:020}", 10))).unwrap();
    assert_eq!(checkpoint, CHECKPOINT);
}
