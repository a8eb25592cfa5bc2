//! What is left when a control plane ends, or the test that started it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{object, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind() {
    let plane = start().await;
    let kubeconfig = plane.kubeconfig();
    let folder = kubeconfig.parent().unwrap().to_owned();
    let pids = plane.pids();
    assert!(pids.len() == 4 && pids.iter().all(|pid| runs(*pid)) && kubeconfig.exists());
    drop(plane);
    assert!(!folder.exists() && !pids.iter().any(|pid| runs(*pid)));
}

/// Whether a process is there and not merely waiting to be taken note of.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Where a process that is to be killed says what it started.
const REPORT: &str = "PURSER_PLANE_REPORT";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind_by_a_test_that_is_killed() {
    if let Some(report) = std::env::var_os(REPORT).map(PathBuf::from) {
        let plane = start().await;
        let written =
            serde_json::to_vec(&json!({"folder": plane.kubeconfig().parent(), "pids": plane.pids()}));
        let draft = report.with_extension("draft");
        std::fs::write(&draft, written.unwrap()).unwrap();
        std::fs::rename(&draft, &report).unwrap();
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ending::nothing_is_left_behind_by_a_test_that_is_killed"])
        .env(REPORT, &report)
        .spawn()
        .unwrap();
    until("a control plane", async || report.exists()).await;
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let pids: Vec<u32> = object(report["pids"].clone());
    assert!(pids.len() == 4 && pids.iter().all(|pid| runs(*pid)));
    test.kill().unwrap();
    test.wait().unwrap();
    until("the end of its programs", async || !pids.iter().any(|pid| runs(*pid))).await;
    until("the end of its files", async || !Path::new(report["folder"].as_str().unwrap()).exists()).await;
}
