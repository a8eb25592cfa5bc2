//! A process that ends the others when the one that started them is gone.
//!
//! It learns of that by the end of its input, which comes however a process ends; and it is in a process group of its own,
//! so that what ends a test run from the terminal does not end it first.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::PlaneError;

/// Takes `+ PID` and `- PID`; at the end of input ends what is left and removes the folder that it was given.
const SCRIPT: &str = r#"
pids=
while read -r change pid; do
    case $change in
    +) pids="$pids $pid" ;;
    -)
        left=
        for one in $pids; do [ "$one" = "$pid" ] || left="$left $one"; done
        pids=$left
        ;;
    esac
done
for pid in $pids; do kill -KILL "$pid"; done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// The process.
pub(crate) struct Guard {
    process: Child,
    input: Option<ChildStdin>,
}

impl Guard {
    /// Starts one that removes `folder` in the end.
    pub(crate) fn start(folder: &Path) -> Result<Self, PlaneError> {
        let mut process = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(PlaneError::io("starting sh"))?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    /// Has it look after a process.
    pub(crate) fn add(&mut self, pid: u32) -> Result<(), PlaneError> {
        self.tell(&format!("+ {pid}\n"))
    }

    /// A process has ended: its id may come to belong to another.
    pub(crate) fn forget(&mut self, pid: u32) -> Result<(), PlaneError> {
        self.tell(&format!("- {pid}\n"))
    }

    fn tell(&mut self, line: &str) -> Result<(), PlaneError> {
        match &mut self.input {
            Some(input) => input.write_all(line.as_bytes()).map_err(PlaneError::io("telling the guard")),
            None => Ok(()),
        }
    }

    /// Has it end what it looks after, and waits for that.
    pub(crate) fn end(&mut self) {
        self.input = None;
        // It was there, or nobody would be waiting.
        let _ = self.process.wait();
    }
}
