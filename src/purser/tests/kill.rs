//! The process is killed at moments of chance, again and again, and goes on each time: nothing is lost, nothing is launched twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use purser_engine::event::{Event, Fact, Seq};
use purser_engine::model::{ClaimName, InstanceId};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_events::journal::{Reader, VerifyOptions, verify};
use purser_events::wire::{Events, Purser};
use serde_json::Value;

/// `PURSER_KILLS=200` for a long look.
fn kills() -> u32 {
    std::env::var("PURSER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12)
}

/// A run that goes on for as long as it is killed; with each batch written by itself, as in a cluster, or many at once.
fn simulate(journal: &Path, resume: bool, durable: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_purser"));
    let until = format!("{}m", (kills() * 15).min(24 * 60));
    command
        .args(["simulate", "--until", &until, "--faults", "typical", "-o", "json", "--journal"])
        .arg(journal);
    if resume {
        command.arg("--resume");
    }
    if durable {
        command.arg("--durable");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_process_that_is_killed_at_any_moment_goes_on_where_its_log_ends() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut died = 0;
    for _ in 0..kills() {
        // The smallest generator that does (xorshift); the moments differ from machine to machine anyway.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let begun = journal.join("identity.json").exists();
        let mut child = simulate(&journal, begun, !random.is_multiple_of(4)).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + random % 600));
        died += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(died > kills() / 2, "{died}: most of them must have been at work");
    let output = simulate(&journal, true, false).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["pods"]["lost"], 0);
    every_decision_is_right_and_no_claim_has_two_instances(&journal);
}

fn every_decision_is_right_and_no_claim_has_two_instances(journal: &Path) {
    let report = verify(journal, &VerifyOptions::new(Arc::new(Purser)), &mut |_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let reader = Reader::open(journal, Arc::new(Purser)).unwrap();
    let mut again = Reexecution::default();
    let mut instances: BTreeMap<ClaimName, InstanceId> = BTreeMap::new();
    for record in Events::read(&reader, Seq(0)) {
        let record = record.unwrap();
        if let Event::Fact(Fact::InstanceLaunched { claim, instance, .. }) = &record.event {
            let first = instances.entry(claim.clone()).or_insert_with(|| instance.clone());
            assert_eq!(first, instance, "the instances of {claim}");
        }
        let logged =
            Logged { seq: record.seq, time: record.time, commit: record.commit, event: record.event };
        again.feed(&logged).unwrap_or_else(|divergence| panic!("{divergence:#?}"));
    }
    assert!(instances.len() > 20, "{} launches: the run is worth it", instances.len());
}
