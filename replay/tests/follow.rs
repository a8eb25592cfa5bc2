//! Following and verifying a journal that is being written.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use crate::world::*;

#[test]
fn new_records_are_shown_also_across_a_seal() {
    let mut world = story().world;
    let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(["tail", "-f", "-n", "1", "-o", "jsonl", "--journal"])
        .arg(world.journal())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> u64 {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["seq"].as_u64().unwrap()
    };
    let size = world.state().size;
    assert_eq!(next(), size - 1);
    for round in 0..3 {
        let before = world.state().size;
        world.see([pending(&format!("late-{round}"), 100)]);
        if round == 1 {
            world.controller().journal_mut().journal_mut().unwrap().seal().unwrap();
        }
        world.pass(2_000);
        for seq in before..world.state().size {
            assert_eq!(next(), seq);
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_interrupt_ends_it_quietly_with_whole_output_and_nothing_left_behind() {
    let world = story().world;
    let size = world.state().size as usize;
    for (format, signal, number) in [("table", "INT", 2), ("jsonl", "TERM", 15), ("json", "INT", 2)] {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["tail", "-f", "-n", "1000", "-o", format, "--journal"])
            .arg(world.journal())
            .env("TMPDIR", scratch.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // Once it has written what there is, it waits for more. In the table there is a header too.
        for _ in 0..size + usize::from(format == "table") {
            out.read_line(&mut text).unwrap();
        }
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        out.read_to_string(&mut text).unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = child.wait().unwrap();
        // A shell shows this as 128 and the number: 130 for Ctrl-C.
        assert_eq!((status.signal(), &*err), (Some(number), ""), "{format}");
        assert!(text.ends_with('\n'), "{format}");
        match format {
            "table" => assert_eq!(text.lines().count(), size + 1),
            "jsonl" => {
                let read = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
                assert_eq!(read.count(), size);
            }
            _ => {
                let read: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
                assert_eq!(read.len(), size);
            }
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "no copy of the tail is left");
    }
}

#[test]
fn a_journal_is_verified_while_a_controller_writes_it_and_what_was_covered_is_said() {
    let mut world = story().world;
    let journal = world.journal();
    let verifier = std::thread::spawn(move || {
        let run = |format: &str| {
            let verify = ["verify", "-o", format, "--journal"];
            Command::new(env!("CARGO_BIN_EXE_replay")).args(verify).arg(&journal).output().unwrap()
        };
        let mut sizes = Vec::new();
        for _ in 0..8 {
            let output = run("json");
            let told = String::from_utf8(output.stdout).unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), &*err), (Some(0), ""), "{told}");
            let report: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert_eq!((&report["passed"], &report["live"]), (&true.into(), &true.into()), "{told}");
            sizes.push(report["size"].as_u64().unwrap());
        }
        (sizes, String::from_utf8(run("table").stdout).unwrap())
    });
    let mut round = 0;
    while !verifier.is_finished() {
        world.see([pending(&format!("late-{round}"), 100)]);
        world.pass(2_000);
        if round % 20 == 19 {
            world.controller().journal_mut().journal_mut().unwrap().seal().unwrap();
        }
        round += 1;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let (sizes, told) = verifier.join().unwrap();
    assert!(sizes.is_sorted() && sizes.first() < sizes.last(), "the journal grew meanwhile: {sizes:?}");
    assert!(
        told.contains("note: the journal is being written: integrity was checked up to record "),
        "{told}"
    );
    assert!(told.contains("what came later was not looked at\nverified: "), "{told}");
}
