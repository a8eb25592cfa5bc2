//! That what was altered is found and named.

use std::path::Path;

use purser_engine::event::{Decision, Event};
use purser_engine::model::PodKey;
use purser_events::journal::{Draft, Journal, RetentionPolicy};
use purser_events::wire;
use purser_replay::Outcome;
use purser_replay::source::Log;
use serde_json::Value;

use crate::world::*;

/// A journal with the same records, changed by `change`: whoever has the key can write one, and only re-execution finds it out.
fn forge(from: &Path, to: &Path, mut change: impl FnMut(u64, &mut Event) -> bool) {
    let log = Log::open(Some(from), None).unwrap();
    let mut journal = Journal::create(to, options(), T0.0).unwrap();
    let mut batch = Vec::new();
    for item in log.items(0) {
        let item = item.unwrap();
        let mut event = item.logged.event.clone();
        if change(item.seq(), &mut event) {
            let encoded = wire::encode(&event).unwrap();
            batch.push(Draft {
                kind: encoded.kind,
                schema: encoded.schema,
                causes: item.record.causes.clone(),
                payload: encoded.payload,
            });
        }
        if item.record.commit && !batch.is_empty() {
            journal.append(item.record.time_us, &std::mem::take(&mut batch)).unwrap();
        }
    }
    journal.close().unwrap();
}

#[test]
fn an_altered_decision_is_found_and_the_place_is_named() {
    let Story { world, .. } = story();
    let to = world.dir.path().join("forged");
    let (launch, _) = decisions(&world.journal())[0].clone();
    forge(&world.journal(), &to, |seq, event| {
        if let Event::Decision(Decision::Launch { options, .. }) = event
            && seq == launch
        {
            options[0].instance_type = "m7i.large".into();
        }
        true
    });
    let (outcome, out, err) = run(&to, &["verify"]);
    assert_eq!((outcome, &*err), (Outcome::Found, ""), "{out}");
    assert!(out.contains(&format!("decision {launch} of 2026-07-20T09:00:02.400000Z differs")), "{out}");
    assert!(out.contains("options[0].instance_type: expected \"m7g.large\", got \"m7i.large\""), "{out}");
    assert!(out.contains("NOT VERIFIED") && !out.contains("integrity:"), "{out}");
    let (_, out, _) = run(&to, &["verify", "--all", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["passed"], false);
    assert_eq!(report["integrity"], Value::Array(Vec::new()));
    assert_eq!(report["decisions"]["differing"][0]["seq"], launch);
    assert_eq!(report["decisions"]["differing"][0]["difference"]["path"], "options[0].instance_type");
    // Taken again from after the forgery on, nothing differs.
    let (outcome, out, _) = run(&to, &["verify", "--from", &(launch + 1).to_string()]);
    assert_eq!(outcome, Outcome::Fine, "{out}");
}

#[test]
fn a_record_that_refers_to_nothing_is_an_error_and_no_panic() {
    let Story { world, .. } = story();
    let to = world.dir.path().join("forged");
    forge(&world.journal(), &to, |_, event| {
        if let Event::Fact(purser_engine::event::Fact::PodObserved { spec, pod, .. }) = event
            && *pod == PodKey::new("default", "web-1")
        {
            spec.0 = 77;
        }
        true
    });
    let (outcome, out, _) = run(&to, &["verify"]);
    assert_eq!(outcome, Outcome::Found);
    assert!(out.contains("it refers to pod spec 77"), "{out}");
    let (outcome, _, err) = run(&to, &["state"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(err.contains("it refers to pod spec 77") && err.lines().count() == 1, "{err}");
}

#[test]
fn a_sound_journal_is_verified_against_its_keys_and_checkpoints() {
    let Story { mut world, .. } = story();
    let checkpoint = world.controller().journal().journal().checkpoint();
    let vkey = world.controller().journal().journal().verifier_key().to_string();
    let size = world.state().size;
    let dir = world.close();
    let journal = dir.path().join("j");
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    let (checkpoint, vkey) = (file("checkpoint", &checkpoint), file("vkey", &vkey));
    let out = table(&journal, &["verify", "--checkpoint", &checkpoint, "--vkey", &vkey]);
    assert!(
        out.starts_with(&format!("verified: {size} records, ")) && out.contains("all equal; root "),
        "{out}"
    );
    let report = json(&journal, &["verify", "--from", "20"]);
    assert_eq!(report["passed"], true);
    assert!(report["decisions"]["from"].as_u64().unwrap() >= 20);
    // Another log's key.
    let other = "example/prod+00000000+AAAA";
    let (outcome, _, err) = run(&journal, &["verify", "--vkey", &file("other", other)]);
    assert_eq!((outcome, err.lines().count()), (Outcome::Failed, 1), "{err}");
    // A flipped byte in a segment.
    let segments = std::fs::read_dir(journal.join("segments")).unwrap();
    let segment = segments.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (outcome, out, _) = run(&journal, &["verify"]);
    assert_eq!(outcome, Outcome::Found);
    assert!(out.contains("integrity: segments/"), "{out}");
}

/// The smallest number that a file in a folder is named by.
fn oldest(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter_map(|file| file.file_stem()?.to_str()?.parse().ok()).min().unwrap()
}

#[test]
fn what_retention_took_is_stood_in_for_by_a_snapshot_or_the_archive() {
    let Story { mut world, .. } = story();
    let (journal, archive) = (world.journal(), world.dir.path().join("archive"));
    let log = world.controller().journal_mut().journal_mut().unwrap();
    log.seal().unwrap();
    for folder in ["segments", "checkpoints"] {
        std::fs::create_dir_all(archive.join(folder)).unwrap();
    }
    let segment = "segments/00000000000000000000.seg";
    // Named by the number of records before them.
    let (first, snapshot) = (oldest(&journal.join("checkpoints")), oldest(&journal.join("snapshots")));
    let checkpoint = format!("checkpoints/{first:020}");
    for file in ["identity.json", "vkey", segment, &checkpoint] {
        std::fs::copy(journal.join(file), archive.join(file)).unwrap();
    }
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(1), keep_segments: 1 };
    assert_eq!(log.retain(&policy, T0.0).unwrap().first_seq, first);
    let dir = world.close();

    let out = table(&journal, &["verify"]);
    assert!(
        out.contains(&format!(
            "note: decisions before record {snapshot} were not taken again: retention took the first {first}"
        )),
        "{out}"
    );
    assert!(out.contains(&format!("verified, decisions from record {snapshot} on: ")), "{out}");
    assert_eq!(json(&journal, &["state"])["totals"]["nodes"], 1);
    let (outcome, _, err) = run(&journal, &["show", "12"]);
    assert_eq!(outcome, Outcome::Failed);
    assert!(
        err.contains(&format!("retention took it, the first here is {first}; name the archive")),
        "{err}"
    );

    let archived = ["--archive", archive.to_str().unwrap(), "verify"];
    let out = table(&journal, &archived);
    assert!(out.starts_with("verified: ") && out.contains("13 decisions"), "{out}");
    assert_eq!(json(&journal, &["--archive", archived[1], "show", "12"])["kind"], "launch");

    // An archive that has only what the journal has too, and one that has nothing.
    let poor = dir.path().join("poor");
    std::fs::create_dir_all(poor.join("segments")).unwrap();
    let poor = poor.to_str().unwrap();
    let (outcome, _, err) = run(&journal, &["--archive", poor, "verify"]);
    assert_eq!(
        (outcome, err.contains("there is no archive in this folder")),
        (Outcome::Failed, true),
        "{err}"
    );
    let later = format!("segments/{first:020}.seg");
    std::fs::copy(journal.join(&later), Path::new(poor).join(&later)).unwrap();
    let (outcome, out, _) = run(&journal, &["--archive", poor, "verify"]);
    assert_eq!(outcome, Outcome::Found, "{out}");
    let last = first - 1;
    assert!(
        out.contains(&format!("the records 0 to {last} are neither in the journal nor in the archive")),
        "{out}"
    );
    let lacks =
        format!("retention took the first {first} records, the archive lacks the records 0 to {last}");
    assert!(out.contains(&lacks) && out.contains("NOT VERIFIED"), "{out}");
    let (_, _, err) = run(&journal, &["--archive", poor, "show", "12"]);
    assert!(err.contains("neither in the journal nor in the archive"), "{err}");

    std::fs::remove_dir_all(journal.join("snapshots")).unwrap();
    let (outcome, out, _) = run(&journal, &["verify"]);
    assert_eq!(outcome, Outcome::Found, "{out}");
    assert!(out.contains(&format!("only integrity was checked, from record {first} on")), "{out}");
    let (outcome, _, err) = run(&journal, &["why", "pod", "joiner"]);
    assert_eq!(
        (outcome, err.contains("name the archive with --archive DIR")),
        (Outcome::Failed, true),
        "{err}"
    );
    drop(dir);
}

#[test]
fn what_is_of_another_log_is_refused_and_named() {
    let Story { world, .. } = story();
    let dir = world.close();
    let (journal, other) = (dir.path().join("j"), dir.path().join("other"));
    let mut options = options();
    options.identity = purser_events::journal::IdentitySource::Derived { seed: [6; 32] };
    let mut foreign = Journal::create(&other, options, T0.0).unwrap();
    let event = Event::Control(purser_engine::event::Control::Heartbeat);
    let wire::Encoded { kind, schema, payload } = wire::encode(&event).unwrap();
    foreign.append(T0.0, &[Draft { kind, schema, causes: Vec::new(), payload }]).unwrap();
    foreign.close().unwrap();
    let id = |dir: &Path| Log::open(Some(dir), None).unwrap().reader().identity().log;
    let of = format!("is of log {}, the journal is {}", id(&other), id(&journal));
    let archive = ["--archive", other.to_str().unwrap()];
    for command in
        [&["list"][..], &["show", "1"], &["state"], &["tail"], &["inspect"], &["why", "pod", "big"]]
    {
        let (outcome, out, err) = run(&journal, &[&archive[..], command].concat());
        assert_eq!((outcome, &*out, err.lines().count()), (Outcome::Failed, "", 1), "{err}");
        assert!(err.contains(&format!("archive {of}")), "{err}");
    }
    let verify = |arguments: &[&str], what: &str| {
        let (outcome, out, err) = run(&journal, arguments);
        assert_eq!((outcome, &*err), (Outcome::Found, ""), "{out}");
        let named =
            out.lines().any(|line| line.starts_with("integrity: ") && line.contains(&format!("{what} {of}")));
        assert!(named && out.contains("decisions not re-executed"), "{out}");
    };
    verify(&[&archive[..], &["verify"]].concat(), "archive");
    // One in the place of the journal's own.
    let segment = "segments/00000000000000000000.seg";
    std::fs::copy(other.join(segment), journal.join(segment)).unwrap();
    let (outcome, _, err) = run(&journal, &["list"]);
    assert_eq!((outcome, err.contains(&format!("segment {of}"))), (Outcome::Failed, true), "{err}");
    verify(&["verify"], "it");
}

#[test]
fn a_snapshot_at_the_very_end_leaves_nothing_to_take_again_and_that_is_said() {
    let Story { mut world, .. } = story();
    let journal = world.journal();
    let bytes = purser_engine::snapshot::write(world.state());
    let log = world.controller().journal_mut().journal_mut().unwrap();
    log.put_snapshot(&purser_engine::snapshot::tag(), &bytes).unwrap();
    log.seal().unwrap();
    let policy = RetentionPolicy { max_age_us: None, max_records: Some(1), keep_segments: 1 };
    let first = log.retain(&policy, T0.0).unwrap().first_seq;
    let dir = world.close();
    let snapshot = oldest(&journal.join("snapshots"));
    // Asked for more than there is: both numbers are said.
    let out = table(&journal, &["verify", "--from", "10"]);
    let both = format!(
        "note: decisions before record {snapshot} were not taken again: asked was from record 10 on, but retention took the \
         first {first} records"
    );
    assert!(out.contains(&both), "{out}");
    let out = table(&journal, &["verify", "--from", &snapshot.to_string()]);
    assert!(out.contains(&format!("before record {snapshot} were not taken again, as asked")), "{out}");

    std::fs::remove_file(journal.join(format!("snapshots/{snapshot:020}.snap"))).unwrap();
    let (outcome, out, _) = run(&journal, &["verify"]);
    assert_eq!(outcome, Outcome::Found, "{out}");
    assert!(out.contains(&format!("only integrity was checked, from record {first} on")), "{out}");
    assert!(out.contains("decisions not re-executed") && !out.contains("all equal"), "{out}");
    drop(dir);
}

#[test]
fn an_altered_identity_is_named_by_its_field() {
    let Story { world, .. } = story();
    let dir = world.close();
    let journal = dir.path().join("j");
    let file = journal.join("identity.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let body = good.rsplit_once(",\"checksum\"").unwrap().0;
    let begun = format!("\"created_us\":{}", T0.0);
    for (field, before, after) in [
        ("log", "\"log\":\"", "\"log\":\"00000000"),
        ("origin", "example/prod", "example/test"),
        ("created_us", &*begun, "\"created_us\":5"),
        ("predecessor", "\"predecessor\":null", "\"predecessor\":\"a checkpoint\""),
        ("format", "\"format\":1", "\"format\":0"),
    ] {
        let mut body = body.replacen(before, after, 1);
        if field == "log" {
            // As long as it was.
            let at = body.find(after).unwrap() + after.len();
            body.replace_range(at..at + 8, "");
        }
        let checksum = purser_events::journal::Hash::of(body.as_bytes());
        std::fs::write(&file, format!("{body},\"checksum\":\"{checksum}\"}}\n")).unwrap();
        let (outcome, out, err) = run(&journal, &["verify"]);
        assert_eq!((outcome, &*err), (Outcome::Found, ""), "{field}: {out}");
        let named = |line: &&str| line.starts_with("integrity: identity.json: ");
        let found: Vec<&str> = out.lines().filter(|line| line.starts_with("integrity: ")).collect();
        assert!(found.iter().all(named) && found[0].contains(&format!("its {field}")), "{field}: {out}");
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(run(&journal, &["verify"]).0, Outcome::Fine);
}

#[test]
fn without_the_secret_all_else_is_verified_and_that_is_said() {
    let Story { world, .. } = story();
    let dir = world.close();
    let journal = dir.path().join("j");
    std::fs::remove_file(journal.join("secret")).unwrap();
    let (outcome, out, err) = run(&journal, &["verify"]);
    assert_eq!((outcome, &*err), (Outcome::Found, ""), "{out}");
    assert!(out.contains("integrity: secret: ") && out.contains("--without-secret"), "{out}");
    assert!(out.contains("13 decisions re-executed") && out.contains("all equal"), "{out}");
    let out = table(&journal, &["verify", "--without-secret"]);
    assert!(out.contains("note: records were not compared with their leaf hashes"), "{out}");
    assert!(out.contains("verified without the secret: ") && out.contains("13 decisions"), "{out}");
    let report = json(&journal, &["verify", "--without-secret"]);
    assert_eq!((&report["passed"], &report["leaves_compared"]), (&true.into(), &false.into()));
    // What is wrong is found all the same.
    std::fs::remove_file(journal.join("anchor")).unwrap();
    assert_eq!(run(&journal, &["verify", "--without-secret"]).0, Outcome::Found);
}
