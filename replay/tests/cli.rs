//! The program itself: exit codes, one line for what is wrong, and a pipe that nobody reads.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use purser_events::journal::{Draft, IdentitySource, Journal, Rendered, Vocabulary, VocabularyError};
use purser_events::wire::Purser;
use purser_replay::Outcome;

use crate::world::*;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.env_remove("PURSER_JOURNAL");
    command
}

fn answer(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let Story { world, .. } = story();
    let journal = world.journal();
    for (arguments, expected) in [
        (&["list", "--since", "noon"][..], "\"noon\" is no time"),
        (&["list", "--kind", "pod"], "pod-bound"),
        (&["list", "--reason", "because"], "see replay reasons"),
        (&["list", "--node", "node-defualt"], "the nearest names are"),
        (&["list", "--pod", "default/webb-0"], "is not in the log; the nearest names are default/web-0"),
        (
            &["list", "--nodepool", "defualt"],
            "nodepool \"defualt\" is not in the log; the nearest names are default",
        ),
        (&["list", "--limit", "1", "--tail", "1"], "cannot be used with"),
        (&["show", "99999"], "the log has"),
        (&["show", "abc"], "neither the number nor the id"),
        (&["show", "01890a5d-ac96-774b-bcce-b302099a8057"], "no record of this log has this id"),
        (&["state", "--at", "2020-01-01T00:00:00Z"], "the log here begins"),
        (&["why", "pod", "default/webb-0"], "default/web-0"),
        (&["why", "node", "nope"], "is not in the log"),
        (&["why", "node", "nope", "--at", "5"], "is not in the log"),
        (&["why", "cluster", "x"], "invalid value 'cluster'"),
        (&["verify", "--from", "99999"], "the log has"),
        (&["verify", "--checkpoint", "/nowhere/c"], "/nowhere/c"),
        (&["--archive", "/nowhere/a", "list"], "--archive /nowhere/a"),
    ] {
        let (outcome, out, err) = run(&journal, arguments);
        if arguments[0] == "verify" && arguments[1] == "--from" {
            // Integrity was checked, so there is a report; what could not be done is in it.
            assert_eq!(outcome, Outcome::Found);
            assert!(out.contains(expected), "{out}");
            continue;
        }
        assert_eq!((outcome, &*out), (Outcome::Failed, ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let (outcome, _, err) = run(Path::new("/nowhere/j"), &["list"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("/nowhere/j: there is no journal here"), "{err}");
}

#[test]
fn the_program_exits_as_it_should() {
    let empty = tempfile::tempdir().unwrap();
    let (code, out, err) = answer(program().arg("list").current_dir(empty.path()));
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(
        err.starts_with("replay: no journal: name it with --journal DIR") && err.lines().count() == 1,
        "{err}"
    );
    let (code, out, _) = answer(program().arg("--version"));
    assert_eq!((code, out.starts_with("replay 0.")), (Some(0), true));
    let (code, out, _) = answer(program().args(["list", "--help"]));
    assert_eq!((code, out.contains("--nodeclaim")), (Some(0), true));

    let dir = story().world.close();
    let (code, out, err) = answer(program().arg("verify").env("PURSER_JOURNAL", dir.path().join("j")));
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.starts_with("verified: "), "{out}");
    std::fs::rename(dir.path().join("j"), dir.path().join("purser-journal")).unwrap();
    let (code, out, _) = answer(program().args(["tail", "-n", "1"]).current_dir(dir.path()));
    assert_eq!((code, out.lines().count()), (Some(0), 2));
}

#[test]
fn a_pipe_that_nobody_reads_ends_it_quietly() {
    let dir = story().world.close();
    let mut child = program()
        .args(["list", "-o", "jsonl", "--journal"])
        .arg(dir.path().join("j"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*err), (Some(0), ""));
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

const COMMANDS: [&[&str]; 7] = [
    &["list"],
    &["show", "12"],
    &["tail"],
    &["state"],
    &["why", "pod", "default/web-0"],
    &["verify"],
    &["inspect"],
];

#[test]
fn a_journal_of_a_newer_version_is_refused_by_every_command() {
    let dir = story().world.close();
    let journal = dir.path().join("j");
    let identity = journal.join("identity.json");
    let good = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, good.replace("\"format\":1", "\"format\":2")).unwrap();
    let before = files(&journal);
    for command in COMMANDS {
        let (code, out, err) = answer(program().args(command).arg("--journal").arg(&journal));
        assert_eq!((code, &*out, err.lines().count()), (Some(2), "", 1), "{command:?}: {err}");
        for part in [identity.to_str().unwrap(), "newer version", "format is 2", "use the newer version"] {
            assert!(err.contains(part), "{command:?}: {part:?} is not in {err}");
        }
    }
    assert!(files(&journal) == before, "nothing was written");
}

#[test]
fn records_of_a_newer_version_are_named_and_never_passed_over() {
    let dir = story().world.close();
    let journal = dir.path().join("j");
    let mut writing = options();
    writing.vocabulary = Arc::new(Newer);
    let (mut writer, _) = Journal::open(&journal, writing).unwrap();
    let seq = writer.size();
    let draft = Draft { kind: 999, schema: 1, causes: Vec::new(), payload: vec![7] };
    writer.append(writer.last_time_us(), &[draft]).unwrap();
    writer.close().unwrap();
    let before = files(&journal);
    let named = format!("record {seq}: records of kind 999 are unknown to this version: use a newer program");
    for command in COMMANDS {
        let (code, out, err) = answer(program().args(command).arg("--journal").arg(&journal));
        match command {
            ["inspect"] => assert_eq!((code, &*err), (Some(0), ""), "{command:?}"),
            ["verify"] => {
                assert_eq!((code, &*err), (Some(1), ""), "{command:?}");
                assert!(out.contains(&named) && out.contains("NOT VERIFIED"), "{out}");
            }
            _ => {
                assert_eq!((code, err.lines().count()), (Some(2), 1), "{command:?}: {err}");
                assert!(err.contains(&named), "{command:?}: {err}");
            }
        }
    }
    assert!(files(&journal) == before, "nothing was written");
}

#[test]
fn a_key_that_is_none_or_that_of_another_journal_is_an_error() {
    let dir = story().world.close();
    let journal = dir.path().join("j");
    let mut another = options();
    another.identity = IdentitySource::Derived { seed: [6; 32] };
    let other = dir.path().join("other");
    Journal::create(&other, another, T0.0).unwrap().close().unwrap();
    let before = files(&journal);
    let none = dir.path().join("none");
    std::fs::write(&none, "no key\n").unwrap();
    let verify =
        |vkey: &Path| answer(program().args(["verify", "--vkey"]).arg(vkey).arg("--journal").arg(&journal));
    let (code, out, err) = verify(&none);
    assert_eq!((code, &*out, err.lines().count()), (Some(2), "", 1), "{err}");
    assert!(err.contains("--vkey") && err.contains(none.to_str().unwrap()), "{err}");
    let (code, out, err) = verify(&other.join("vkey"));
    assert_eq!((code, &*out, err.lines().count()), (Some(2), "", 1), "{err}");
    assert!(
        err.contains("is signed by another key, example/prod+") && err.contains("give that log's key"),
        "{err}"
    );
    // The journal's own public key, replaced by that of another.
    std::fs::copy(other.join("vkey"), journal.join("vkey")).unwrap();
    let (code, out, _) = answer(program().arg("verify").arg("--journal").arg(&journal));
    assert_eq!(code, Some(1));
    assert!(out.contains("it is not the public half of the key in the file secret"), "{out}");
    std::fs::write(journal.join("vkey"), &before[&journal.join("vkey")]).unwrap();
    assert!(files(&journal) == before, "nothing was written");
}

#[test]
fn a_journal_in_use_is_read_by_every_command_and_left_as_it_is() {
    let Story { world, .. } = story();
    let before = files(&world.journal());
    for command in COMMANDS {
        let (code, out, err) = answer(program().args(command).arg("--journal").arg(world.journal()));
        assert_eq!((code, &*err), (Some(0), ""), "{command:?}: {out}");
    }
    assert!(files(&world.journal()) == before, "nothing was written");
}

/// What a newer version may write.
struct Newer;

impl Vocabulary for Newer {
    fn render(&self, kind: u16, schema: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        match kind {
            999 => Ok(Rendered { class: "control", name: "newer", json: b"{}".to_vec() }),
            _ => Purser.render(kind, schema, payload),
        }
    }
}
