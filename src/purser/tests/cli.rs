//! The program as its users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use purser_engine::event::{Control, Event, Seq};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_engine::settings::{MinValuesPolicy, PreferencePolicy, Settings};
use purser_engine::snapshot;
use purser_events::journal::{
    Draft, Journal, Options, Reader, Rendered, VerifyOptions, Vocabulary, VocabularyError, verify,
};
use purser_events::wire::{Events, LoggedEvent, Purser};
use serde_json::Value;

fn purser(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_purser")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the first minutes of the day and gives the summary, what depends on the machine aside.
fn summary(journal: &Path, more: &[&str]) -> Value {
    let mut args = vec!["simulate", "--until", "6m", "-o", "json", "--journal", text(journal)];
    args.extend(more);
    let output = purser(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fields = summary.as_object_mut().unwrap();
    fields.remove("wall").unwrap();
    fields["journal"].as_object_mut().unwrap().remove("folder").unwrap();
    summary
}

#[test]
fn bad_input_is_one_line_with_the_remedy_exit_code_2_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time";
    let unknown = file("unknown.csv", &format!("{header},colour\na,1,1,0,0,,LS,Running,0,9,0,red\n"));
    let negative = file("negative.csv", &format!("{header}\na,-5,1,0,0,,LS,Running,0,9,0\n"));
    let quantity = file(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, resources: {requests: {cpu: 1Qx}}}]}\n",
    );
    let pool = file(
        "pool.yaml",
        "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: bad}\nspec: {weight: 1000, template: {spec: {requirements: [], nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: d}}}}\n",
    );
    let types = file("types.csv", "name,wings\nm7g.large,2\n");
    let inside = dir.path().join("journal/archive");
    let of_pool = |name: &str, more: &str| {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {{name: {name}}}\nspec: {{{more}template: {{spec: {{requirements: [], nodeClassRef: {{group: karpenter.k8s.aws, kind: EC2NodeClass, name: d}}}}}}}}\n---\n"
        )
    };
    let twice = file("twice.yaml", &(of_pool("same", "") + &of_pool("same", "")));
    let fixed = file("fixed.yaml", &of_pool("fixed", "replicas: 3, "));
    let named = file("named.yaml", &of_pool("Foo_Bar", ""));
    let long = file("long.csv", &format!("{header}\n{},1,1,0,0,,LS,Running,0,9,0\n", "p".repeat(254)));
    let cases: [(&[&str], &[&str]); 16] = [
        (&["--nodepools", text(&twice)], &["twice.yaml", "NodePool same", "rename"]),
        (&["--nodepools", text(&fixed)], &["NodePool fixed", "spec.replicas", "remove the field"]),
        (&["--nodepools", text(&named)], &["named.yaml", "metadata.name", "Foo_Bar", "lower-case"]),
        (&["--trace", text(&long)], &["long.csv", "name", "253"]),
        (&["--archive", text(&types)], &["--archive", "types.csv", "a folder"]),
        (&["--trace", text(&unknown)], &["unknown.csv", "colour"]),
        (&["--trace", text(&negative)], &["negative.csv", "2", "cpu_milli", "-5"]),
        (&["--trace", text(&quantity)], &["pod.yaml", "Pod", "requests", "1Qx"]),
        (&["--trace", "no-such-file.csv"], &["no-such-file.csv"]),
        (&["--nodepools", text(&pool)], &["pool.yaml", "NodePool", "bad", "weight"]),
        (&["--catalogue", text(&types)], &["types.csv", "wings"]),
        (&["--until", "soon"], &["--until", "soon"]),
        (&["--keep", "10GB"], &["--keep", "10GB", "12h", "100000"]),
        (&["--keep", "0"], &["--keep", "0"]),
        (
            &["--archive", text(&inside)],
            &["journal/archive", "in the journal's folder", "give another folder"],
        ),
        (&["--until", "2020-01-01T00:00:00Z"], &["--until", "not after the start"]),
    ];
    let journal = dir.path().join("journal");
    for (args, told) in cases {
        let mut all = vec!["simulate", "--journal", text(&journal)];
        all.extend(args);
        let output = purser(&all);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        for part in told {
            assert!(stderr.contains(part), "{args:?}: {part:?} is not in {stderr}");
        }
        assert!(output.stdout.is_empty() && !journal.exists(), "{args:?}: nothing written");
    }
}

#[test]
fn policies_are_settings_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let settings_of = |name: &str, more: &[&str]| {
        let journal = dir.path().join(name);
        summary(&journal, more);
        let reader = Reader::open(&journal, Arc::new(Purser)).unwrap();
        let mut records = Events::read(&reader, Seq(0)).map(|logged| logged.unwrap().event);
        let settings = records.find_map(|event| match event {
            Event::Control(Control::SettingsChanged { settings }) => Some(settings),
            _ => None,
        });
        settings.unwrap()
    };
    assert_eq!(settings_of("plain", &[]), Settings::default());
    let policies = ["--preference-policy", "Ignore", "--min-values-policy", "besteffort"];
    let wanted = Settings {
        preference_policy: PreferencePolicy::Ignore,
        min_values_policy: MinValuesPolicy::BestEffort,
        ..Settings::default()
    };
    assert_eq!(settings_of("policies", &policies), wanted);
}

#[test]
fn the_same_input_gives_the_same_summary_and_a_folder_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let first = summary(&one, &[]);
    assert_eq!(summary(&two, &[]), first);
    assert!(first["pods"]["bound"].as_u64().unwrap() > 100);
    // What lies about under the name of the built-in day is not asked for.
    std::fs::create_dir(dir.path().join("day")).unwrap();
    std::fs::write(dir.path().join("day/pod.json"), "{}").unwrap();
    let beside = Command::new(env!("CARGO_BIN_EXE_purser"))
        .args(["simulate", "--until", "6m", "-o", "json", "--journal", "four"])
        .current_dir(&dir)
        .output()
        .unwrap();
    let beside: Value = serde_json::from_slice(&beside.stdout).unwrap();
    assert_eq!(beside["journal"]["root"], first["journal"]["root"]);
    assert_ne!(
        summary(&dir.path().join("three"), &["--seed", "2"])["journal"]["root"],
        first["journal"]["root"]
    );

    let again = purser(&["simulate", "--until", "6m", "--journal", text(&one)]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8(again.stderr).unwrap().contains("--resume"));
    let other = purser(&["simulate", "--until", "6m", "--seed", "3", "--journal", text(&one), "--resume"]);
    assert_eq!(other.status.code(), Some(2), "a journal of another input is not gone on with");
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    // Where events get lost, one that starts finds what the other is not told of for long.
    let faults = ["--faults", "none"];
    let mut whole = summary(&dir.path().join("whole"), &faults);
    for until in ["2m", "3m", "4m30s"] {
        let mut args = vec!["simulate", "--until", until, "-o", "json", "--journal", text(&journal)];
        args.extend(faults);
        args.extend((until != "2m").then_some("--resume"));
        assert!(purser(&args).status.success());
    }
    let mut resumed = summary(&journal, &["--resume", "--faults", "none"]);
    let records = |summary: &Value| summary["journal"]["records"].as_u64().unwrap();
    assert_eq!(
        records(&resumed),
        records(&whole) + 6,
        "three times it is said that one stops and one starts"
    );
    let mut take = |field: &str| {
        [&mut whole, &mut resumed].map(|summary| summary.as_object_mut().unwrap().remove(field).unwrap())
    };
    take("journal");
    // One that starts lists the world, and so sees some things a moment before it would have been told of them.
    let [whole_cost, resumed_cost] = take("cost_microusd").map(|cost| cost.as_i64().unwrap());
    assert!((whole_cost - resumed_cost).abs() * 1_000 <= whole_cost, "{whole_cost} and {resumed_cost}");
    assert_eq!(resumed, whole, "all else is equal");
}

#[test]
fn a_folder_of_manifests_is_run_as_it_was_found_and_not_gone_on_with_when_it_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, journal) = (dir.path().join("manifests"), dir.path().join("journal"));
    std::fs::create_dir(&folder).unwrap();
    let pool = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {template: {spec: {requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}], nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: d}}}}\n";
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: old}\nstatus: {allocatable: {cpu: 1930m, memory: 7Gi, pods: '29'}, conditions: [{type: Ready, status: 'True'}]}\n";
    // More than the node has, as it happens; it runs there all the same.
    let pods: String = (0..4)
        .map(|n| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, creationTimestamp: '2025-12-01T00:00:00Z'}}\nspec: {{nodeName: old, containers: [{{name: c, resources: {{requests: {{cpu: 600m}}}}}}]}}\nstatus: {{phase: Running}}\n"))
        .collect();
    let waits = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: waits, creationTimestamp: '2025-12-01T00:00:00Z'}\nspec: {containers: [{name: c, resources: {requests: {cpu: 600m}}}]}\n";
    std::fs::write(folder.join("all.yaml"), format!("{pool}---\n{node}{pods}{waits}")).unwrap();
    let args =
        ["simulate", "--trace", text(&folder), "--journal", text(&journal), "--faults", "none", "-o", "json"];
    let output = purser(&[&args[..], &["--until", "1h"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["pods"]["bound"], &summary["launches"]), (&5.into(), &1.into()), "{summary:#}");
    assert_eq!(summary["simulated_seconds"], 3_600, "to the end, though nothing happens any more");
    let longest = summary["pending_us"]["max"].as_i64().unwrap();
    assert!(longest < 600_000_000, "{longest}: waiting begins with the run, not with the dump");
    std::fs::write(folder.join("more.yaml"), waits.replace("waits", "more")).unwrap();
    let resumed = purser(&[&args[..], &["--until", "2h", "--resume"]].concat());
    assert_eq!(resumed.status.code(), Some(2), "{}", String::from_utf8_lossy(&resumed.stderr));
}

#[test]
fn of_pods_that_still_wait_the_summary_has_the_reason_that_the_log_has() {
    let dir = tempfile::tempdir().unwrap();
    let pool = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {limits: {cpu: '1'}, template: {spec: {requirements: [], nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: d}}}}\n";
    let pod = |name: &str, cpu: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, resources: {{requests: {{cpu: {cpu}}}}}}}]}}\n"
        )
    };
    let manifests = dir.path().join("all.yaml");
    let pods = [pod("a", "2"), pod("b", "2"), pod("whale", "5000")].concat();
    std::fs::write(&manifests, format!("{pool}{pods}")).unwrap();
    let told = summary(&dir.path().join("j"), &["--trace", text(&manifests), "--faults", "none"]);
    let expected = serde_json::json!({
        "fits no instance type": 1,
        "still waiting: limit-reached (nodepool=p, limit=cpu)": 2,
    });
    assert_eq!(told["pods"]["without_a_node"], expected);
}

#[test]
fn the_driver_in_real_time_runs_the_same_world() {
    let dir = tempfile::tempdir().unwrap();
    let paced = summary(&dir.path().join("paced"), &["--pace", "60"]);
    // A machine that is busy with other things is late with most of them.
    assert!(paced["pods"]["bound"].as_u64().unwrap() > 10, "{paced}");
    assert_eq!(paced["pods"]["lost"], 0);
}

#[test]
fn the_catalogue_is_shown_whole_and_by_name() {
    let output = purser(&["catalogue", "-o", "json"]);
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows.len() > 700);
    let one = rows.iter().find(|row| row["name"] == "m5.large").unwrap();
    assert_eq!(one["allocatable"]["cpu"], "1930m");
    let table = String::from_utf8(purser(&["catalogue", "--name", "m5.large"]).stdout).unwrap();
    assert!(table.contains("m5.large") && table.contains("1 instance types"), "{table}");
    assert_eq!(purser(&["catalogue", "--name", "nothing"]).status.code(), Some(2));
}

#[test]
fn one_monstrous_pod_is_refused_and_the_rest_of_a_dump_runs() {
    let dir = tempfile::tempdir().unwrap();
    let tolerations: Vec<String> =
        (0..5_000).map(|n| format!(r#"{{"key":"example.com/team-{n}","operator":"Exists"}}"#)).collect();
    let pod = |name: &str, tolerations: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"tolerations":[{tolerations}],
            "containers":[{{"name":"c","image":"i","resources":{{"requests":{{"cpu":"500m","memory":"1Gi"}}}}}}]}}}}"#
        )
    };
    let manifests = dir.path().join("dump.json");
    let pool = r#"{"apiVersion":"karpenter.sh/v1","kind":"NodePool","metadata":{"name":"default"},"spec":{"template":{"spec":{
        "nodeClassRef":{"group":"karpenter.k8s.aws","kind":"EC2NodeClass","name":"default"},"requirements":[]}}}}"#;
    let items = [pool.to_owned(), pod("monster", &tolerations.join(",")), pod("web", "")].join(",");
    let list = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#);
    std::fs::write(&manifests, list).unwrap();
    let journal = dir.path().join("journal");
    let told = summary(&journal, &["--trace", text(&manifests), "--faults", "none"]);
    assert_eq!(told["pods"]["created"], 2);
    assert!(told["launches"].as_u64() > Some(0) && told["pods"]["bound"].as_u64() > Some(0), "{told}");
    let refused = told["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1);
    let refused = refused[0].as_str().unwrap();
    assert!(refused.starts_with("Pod default/monster: spec.tolerations: too large to record"), "{refused}");
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

/// Runs the program, which must refuse in one line; gives the line.
fn refused(args: &[&str]) -> String {
    let output = purser(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    stderr
}

/// Checks that a journal with its archive is whole and right, and gives the retention that its records tell of.
fn verified(journal: &Path, archive: &Path) -> Vec<u64> {
    let mut options = VerifyOptions::new(Arc::new(Purser));
    let here = verify(journal, &options, &mut |_, _| {}).unwrap();
    assert_eq!(here.findings, []);
    options.archive = Some(archive.to_owned());
    let all = verify(journal, &options, &mut |_, _| {}).unwrap();
    assert_eq!((all.findings.as_slice(), all.first_seq, all.size), (&[][..], 0, here.size));
    let reader = Reader::open_with_archive(journal, Some(archive), Arc::new(Purser)).unwrap();
    let mut again = Reexecution::default();
    let mut retained = Vec::new();
    for logged in Events::read(&reader, Seq(0)) {
        let LoggedEvent { seq, time, commit, event, .. } = logged.unwrap();
        if let Event::Control(Control::RetentionApplied { first_kept, archived: true }) = event {
            retained.push(first_kept);
        }
        again.feed(&Logged { seq, time, commit, event }).unwrap();
    }
    assert_eq!(retained.last().copied().unwrap_or(0), here.first_seq, "the log says what was deleted");
    retained
}

#[test]
fn old_segments_are_archived_deleted_and_the_run_goes_on_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let (one, archive, twin) = (folder("one"), folder("archive"), folder("twin"));
    let keep = |archive: &Path| ["--keep", "1m", "--archive", text(archive)].map(str::to_owned);
    let run = |journal: &Path, archive: &Path, more: &[&str]| {
        let kept = keep(archive);
        let mut args: Vec<&str> = kept.iter().map(String::as_str).collect();
        args.extend(more);
        let mut told = summary(journal, &args);
        let copies = told["journal"].as_object_mut().unwrap().remove("archive").unwrap();
        assert_eq!((&copies["pending"], &copies["last_error"]), (&Value::Array(Vec::new()), &Value::Null));
        told
    };
    let told = run(&one, &archive, &[]);
    let first = told["journal"]["first_record"].as_u64().unwrap();
    let retained = verified(&one, &archive);
    assert!(retained.len() > 2 && first > 0, "{retained:?}");
    assert_eq!(run(&twin, &folder("twins-archive"), &[]), told, "the same input, the same journal");

    // An archive is of one journal.
    let before = files(&archive);
    let other = folder("other");
    let line = refused(&["simulate", "--journal", text(&other), "--archive", text(&archive)]);
    assert!(line.contains("there is the archive of a journal in it already"), "{line}");
    assert!(!other.exists() && files(&archive) == before);

    let (stopped, its_archive) = (folder("stopped"), folder("its-archive"));
    let part = ["simulate", "--until", "3m", "-o", "json", "--keep", "1m", "--journal", text(&stopped)];
    assert!(purser(&[&part[..], &["--archive", text(&its_archive)]].concat()).status.success());
    let before = files(&stopped);
    let line = refused(&["simulate", "--until", "6m", "--journal", text(&stopped), "--resume"]);
    assert!(line.contains("--archive DIR") && line.contains("are not here"), "{line}");
    let resume =
        ["simulate", "--until", "6m", "--journal", text(&stopped), "--resume", "--archive", text(&archive)];
    let line = refused(&[&resume[..], &["--seed", "2"]].concat());
    assert!(line.contains("origin"), "{line}");
    assert!(files(&stopped) == before, "nothing was written");
    let resumed = run(&stopped, &its_archive, &["--resume"]);
    assert_eq!(resumed["launches"], told["launches"]);
    assert!(verified(&stopped, &its_archive).len() > 2);
}

#[test]
fn all_that_is_kept_can_be_explained_without_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    for (name, more) in [("age", &["--keep", "90s"][..]), ("records", &["--keep", "600"])] {
        let journal = dir.path().join(name);
        summary(&journal, more);
        let reader = Reader::open(&journal, Arc::new(Purser)).unwrap();
        let first = reader.first_seq();
        assert!(first > 0 && first < reader.size(), "{name}: {first}");
        let kept = reader.latest_snapshot(&snapshot::tag(), first).unwrap();
        let kept = kept.unwrap_or_else(|| panic!("{name}: nothing stands in for the records before {first}"));
        assert_eq!(kept.size, first);
        // It is the State that those records led to: from it every decision is taken again whose batch is kept.
        let mut state = snapshot::read(&kept.bytes).unwrap();
        let mut events = Events::read(&reader, Seq(first)).map(Result::unwrap).peekable();
        while let Some(logged) = events.next_if(|logged| matches!(logged.event, Event::Decision(_))) {
            state.apply(logged.time, &logged.event);
        }
        let mut again = Reexecution::from_state(state);
        for LoggedEvent { seq, time, commit, event, .. } in events {
            again.feed(&Logged { seq, time, commit, event }).unwrap();
        }
        assert!(again.decisions > 10, "{name}: {}", again.decisions);
        assert_eq!(again.state().size, reader.size());
        // The two newest, and this one.
        let snapshots = std::fs::read_dir(journal.join("snapshots")).unwrap().count();
        assert!(snapshots <= 3, "{name}: {snapshots}");
    }
}

#[test]
fn a_segment_of_another_log_is_set_aside_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, other) = (dir.path().join("journal"), dir.path().join("other"));
    for (folder, seed) in [(&journal, "1"), (&other, "2")] {
        let run = ["simulate", "--until", "1m", "-o", "json", "--seed", seed, "--journal", text(folder)];
        assert!(purser(&run).status.success());
    }
    let segment = |number: u64| format!("segments/{number:020}.seg");
    std::fs::copy(other.join(segment(0)), journal.join(segment(77_777))).unwrap();
    let output =
        purser(&["simulate", "--until", "2m", "-o", "json", "--journal", text(&journal), "--resume"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.lines().count() == 1, "{stderr}");
    let said = "segments of another log were set aside: damaged-1/00000000000000077777.seg";
    assert!(stderr.contains(&format!("the journal was put in order: {said}")), "{stderr}");
    let report = verify(&journal, &VerifyOptions::new(Arc::new(Purser)), &mut |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    let reader = Reader::open(&journal, Arc::new(Purser)).unwrap();
    let recovered = Events::read(&reader, Seq(0)).find_map(|logged| match logged.unwrap().event {
        Event::Control(Control::JournalRecovered { kept, acknowledged, detail }) => {
            Some((kept == acknowledged, detail.to_string()))
        }
        _ => None,
    });
    assert_eq!(recovered, Some((true, said.to_owned())));
}

#[test]
fn in_real_time_old_segments_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, archive) = (dir.path().join("j"), dir.path().join("a"));
    summary(&journal, &["--pace", "120", "--keep", "400", "--archive", text(&archive)]);
    assert!(!verified(&journal, &archive).is_empty());
}

#[test]
fn a_journal_that_cannot_be_gone_on_with_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, other) = (dir.path().join("journal"), dir.path().join("other"));
    for (folder, seed) in [(&journal, "1"), (&other, "2")] {
        let run = ["simulate", "--until", "1m", "-o", "json", "--seed", seed, "--journal", text(folder)];
        assert!(purser(&run).status.success());
    }
    let resume = ["simulate", "--until", "2m", "--journal", text(&journal), "--resume"];
    let origin = Reader::open(&journal, Arc::new(Purser)).unwrap().identity().origin.clone();
    let options = |instance: &str| Options::new(&origin, instance, 1, Arc::new(Purser));
    let check = |parts: &[&str]| {
        let before = files(&journal);
        let line = refused(&resume);
        for part in parts {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
        assert!(files(&journal) == before, "nothing was written: {line}");
    };

    // Another process writes it.
    let (held, _) = Journal::open(&journal, options("somebody-else")).unwrap();
    let pid = format!("pid {}", std::process::id());
    check(&[text(&journal), "in use by", &pid, "somebody-else", "stop the other"]);
    drop(held);

    // The key of another journal.
    let secret = journal.join("secret");
    let good = std::fs::read(&secret).unwrap();
    std::fs::copy(other.join("secret"), &secret).unwrap();
    check(&[
        text(&secret),
        "holds the key purser.dev/simulation/",
        "belongs to the key",
        "give the right key",
    ]);
    std::fs::write(&secret, good).unwrap();

    // A newer version wrote its files.
    let identity = journal.join("identity.json");
    let good = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, good.replace("\"format\":1", "\"format\":2")).unwrap();
    check(&[text(&identity), "newer version", "format is 2", "up to 1", "use the newer version"]);
    std::fs::write(&identity, good).unwrap();

    // A newer version wrote its records, and was killed.
    let mut newer = options("newer");
    newer.vocabulary = Arc::new(Newer);
    let (mut writer, _) = Journal::open(&journal, newer).unwrap();
    let seq = writer.size();
    let draft = Draft { kind: 999, schema: 1, causes: Vec::new(), payload: vec![7] };
    writer.append(writer.last_time_us(), &[draft]).unwrap();
    drop(writer);
    check(&[text(&journal), &format!("record {seq}"), "kind 999", "use a newer program"]);
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
