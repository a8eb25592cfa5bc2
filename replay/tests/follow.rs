//! Following a journal that is being written.

use std::io::{BufRead as _, BufReader};
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
            world.controller().journal_mut().journal_mut().seal().unwrap();
        }
        world.pass(2_000);
        for seq in before..world.state().size {
            assert_eq!(next(), seq);
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
