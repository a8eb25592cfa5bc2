//! The program itself: exit codes, one line for what is wrong, and a pipe that nobody reads.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
        (&["list", "--limit", "1", "--tail", "1"], "cannot be used with"),
        (&["show", "99999"], "the log has"),
        (&["show", "abc"], "neither the number nor the id"),
        (&["show", "01890a5d-ac96-774b-bcce-b302099a8057"], "no record of this log has this id"),
        (&["state", "--at", "2020-01-01T00:00:00Z"], "the log here begins"),
        (&["why", "pod", "default/webb-0"], "default/web-0"),
        (&["why", "node", "nope"], "is not in the log"),
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
