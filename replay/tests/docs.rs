//! That docs/replay.md shows what the program answers. `UPDATE_DOCS=1` writes the answers into it.

use std::path::Path;

use crate::world::*;

const BEGIN: &str = "```console\n$ replay ";

#[test]
fn the_answers_in_the_book_are_those_of_the_program() {
    let Story { world, .. } = story();
    let dir = world.close();
    let journal = dir.path().join("j");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/replay.md");
    let book = std::fs::read_to_string(&file).unwrap();
    let mut parts = book.split(BEGIN);
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let (block, rest) = part.split_once("```\n").unwrap();
        let command = block.lines().next().unwrap();
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let (_, out, err) = run(&journal, &arguments);
        written.push_str(&format!("{BEGIN}{command}\n{}{err}```\n{rest}", without_duration(&out)));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, written).unwrap();
    } else {
        assert!(
            written == book,
            "docs/replay.md is out of date: UPDATE_DOCS=1 cargo test -p purser-replay docs"
        );
    }
}

/// How long a verification took differs from run to run.
fn without_duration(out: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" checked; ") {
        Some((before, _)) => format!("{before} checked; 0.1 s\n"),
        None => format!("{line}\n"),
    };
    out.lines().map(line).collect()
}
