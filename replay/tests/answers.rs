//! That answers have the right facts, in every form.

use purser_engine::event::Decision;
use purser_engine::model::{PodFacts, PodKey, PodSpec, Span, Time, Toleration, TolerationOperator, label};
use purser_engine::port::Observation;
use serde_json::Value;

use crate::world::*;

#[test]
fn every_command_answers_in_every_form() {
    let Story { world, first, second } = story();
    let journal = world.journal();
    let launch =
        decisions(&journal).iter().find(|(_, d)| matches!(d, Decision::Launch { .. })).unwrap().0.to_string();
    let commands: &[&[&str]] = &[
        &["list"],
        &["list", "--kind", "decision", "--nodeclaim", first.as_str()],
        &["list", "--limit", "0"],
        &["show", &launch],
        &["tail", "-n", "3"],
        &["state"],
        &["state", "--at", &launch, "--pods"],
        &["why", "pod", "default/big"],
        &["why", "pod", "huge", "--all"],
        &["why", "node", first.as_str()],
        &["why", "nodeclaim", second.as_str()],
        &["verify"],
        &["inspect"],
        &["reasons"],
    ];
    for command in commands {
        let empty = command.contains(&"0");
        assert_eq!(table(&journal, command).is_empty(), empty, "{command:?}");
        assert!(!json(&journal, command).is_null());
        let lines: Vec<&str> = command.iter().copied().chain(["-o", "jsonl"]).collect();
        for line in table(&journal, &lines).lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }
}

#[test]
fn a_list_is_of_what_was_asked_for() {
    let Story { world, first, .. } = story();
    let journal = world.journal();
    let seqs = |arguments: &[&str]| -> Vec<u64> {
        let list: Vec<&str> = ["list"].iter().chain(arguments).copied().collect();
        let items = json(&journal, &list);
        items.as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
    };
    let all = seqs(&[]);
    assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
    let (launch, _) = decisions(&journal)[0].clone();
    let of_launch = seqs(&["--decision", &launch.to_string()]);
    assert_eq!(of_launch[0], launch);
    assert!(of_launch.len() > 2, "register and initialize follow from the launch: {of_launch:?}");
    let id = json(&journal, &["show", &launch.to_string()])["id"].as_str().unwrap().to_owned();
    assert_eq!(seqs(&["--decision", &id]), of_launch);
    let node = format!("node-{first}");
    let of_node = seqs(&["--node", &node]);
    assert_eq!(of_node, seqs(&["--nodeclaim", first.as_str()]), "one machine under each of its names");
    assert_eq!(of_node, seqs(&["--instance", &format!("i-{first}")]));
    assert!(of_node.contains(&launch));
    let waits = seqs(&["--reason", "limit-reached"]);
    assert_eq!(waits.len(), 1);
    assert_eq!(seqs(&["--pod", "default/big", "--kind", "unsched*"]), waits);
    assert_eq!(seqs(&["--from", "3", "--to", "5"]), [3, 4, 5]);
    assert_eq!(seqs(&["--tail", "2"]), all[all.len() - 2..]);
    assert_eq!(seqs(&["--limit", "2"]), [0, 1]);
    assert_eq!(seqs(&["--since", "1s", "--kind", "decision"]), seqs(&["--kind", "decision", "--tail", "1"]));
    assert_eq!(seqs(&["--since", "2026-07-20", "--until", "2026-07-20"]), all);
    assert!(seqs(&["--until", "2026-07-19"]).is_empty());
    assert_eq!(
        seqs(&["--until", "2026-07-20T09:00:00Z"]).len(),
        seqs(&["--until", "2026-07-20T09:00:00.9Z"]).len()
    );
    assert!(!seqs(&["--nodepool", "default"]).is_empty());
}

#[test]
fn a_record_is_shown_with_the_lines_that_are_hashed() {
    let Story { world, .. } = story();
    let journal = world.journal();
    let pods = json(&journal, &["list", "--kind", "pod-observed", "--pod", "default/web-0"]);
    let seq = pods[0]["seq"].to_string();
    let shown = json(&journal, &["show", &seq]);
    assert_eq!(shown["references"][0]["what"], "pod spec");
    assert_eq!(shown["references"][0]["data"]["requests"]["cpu_millis"], 900);
    let raw = table(&journal, &["show", "--raw", &seq]);
    let mut lines = raw.lines();
    let envelope = lines.next().unwrap();
    assert_eq!(envelope, shown["envelope"]);
    assert_eq!(lines.next().unwrap(), shown["payload"]);
    let leaf = purser_events::journal::merkle::leaf_hash(envelope.as_bytes());
    assert_eq!(shown["leaf"], leaf.to_string());
    let (launch, _) = decisions(&journal)[0].clone();
    let shown = json(&journal, &["show", &launch.to_string()]);
    assert!(!shown["led_to_it"].as_array().unwrap().is_empty());
    assert!(!shown["followed_from_it"].as_array().unwrap().is_empty());
    assert_eq!(shown["data"]["options"][0]["instance_type"], "m7g.large");
}

#[test]
fn state_is_that_of_the_moment() {
    let Story { world, first, second } = story();
    let journal = world.journal();
    let end = json(&journal, &["state", "--pods"]);
    assert_eq!(end["totals"]["nodes"], 1);
    assert_eq!(end["nodes"][0]["claim"], second.as_str());
    assert_eq!(end["nodes"][0]["cpu_used_millis"], 7_500);
    assert_eq!(end["totals"]["price_microusd_per_hour"], 320_000);
    assert_eq!(end["waiting"][0]["name"], "default/huge");
    assert!(end["waiting"][0]["plan"].as_str().unwrap().contains("too-large"));
    assert_eq!(end["pods"].as_array().unwrap().len(), 3);
    assert_eq!(end["size"], world.state().size);
    let early = json(&journal, &["state", "--at", "2026-07-20T09:00:45Z"]);
    assert_eq!(early["nodes"][0]["claim"], first.as_str());
    assert_eq!(early["waiting"][0]["plan"].as_str().unwrap().split(' ').next(), Some("limit-reached"));
    assert_eq!(early["pools"][0]["limits"][0]["used"], 2_000);
    assert_eq!(early["pools"][0]["limits"][0]["limit"], 9_000);
    // Ages are those at the moment, not at the last record before it.
    assert_eq!(early["time"], "2026-07-20T09:00:45.000000Z");
    assert_eq!(early["waiting"][0]["age_us"], Span::secs(45).0);
    let ready = json(&journal, &["list", "--kind", "node-observed"])[0]["time"].as_str().unwrap().to_owned();
    let ready = Time(chrono::DateTime::parse_from_rfc3339(&ready).unwrap().timestamp_micros());
    assert_eq!(early["nodes"][0]["age_us"], (T0 + Span::secs(45)).since(ready).0);
    let text = table(&journal, &["state"]);
    assert!(text.contains("m7g.2xlarge") && text.contains("$0.32/h") && text.contains("7.5/8 94%"), "{text}");
}

#[test]
fn why_a_pod_waited_for_a_limit() {
    let Story { world, second, .. } = story();
    let journal = world.journal();
    let raised = json(&journal, &["list", "--kind", "node-pool-observed"]);
    let raised = raised[1]["seq"].clone();
    let story = json(&journal, &["why", "pod", "default/big"]);
    let [waits, launched] = &story["decisions"].as_array().unwrap()[..] else { panic!("{story:#}") };
    assert_eq!(waits["rule"]["id"], "limit-reached");
    let observed = &json(&journal, &["list", "--kind", "pod-observed", "--pod", "default/big"])[0];
    assert_eq!(waits["on"][0]["seq"], observed["seq"]);
    assert_eq!(waits["by"]["instance"], "purser-0");
    assert_eq!(waits["by"]["version"], "0.1.0");
    let miss = &waits["pools"][0];
    assert_eq!((&miss["nodepool"], &miss["limits_used"]), (&"default".into(), &"cpu 2 of 9".into()));
    let without = miss["without_limit"].as_str().unwrap();
    assert!(without.contains("m7g.2xlarge at $0.32/h") && without.contains("at least cpu 10"), "{without}");
    assert_eq!(waits["passed_over"][0]["reason"], "too-large");
    assert_eq!(launched["launch"]["nodeclaim"], second.as_str());
    assert_eq!(launched["launch"]["nodepool_record"], raised, "by the NodePool as it was raised");
    assert_eq!(launched["launch"]["ranked"].as_array().unwrap().len(), 1);
    assert_eq!(story["batching_us"], Span::secs(1).0);
    assert!(story["pending_us"].as_i64().unwrap() > Span::secs(60).0);
    let steps: Vec<&str> =
        story["timeline"].as_array().unwrap().iter().map(|step| step["says"].as_str().unwrap()).collect();
    let place = |what: &str| {
        steps.iter().position(|says| says.contains(what)).unwrap_or_else(|| panic!("{what}: {steps:?}"))
    };
    assert!(
        place("no place") < place("launch")
            && place("launch") < place("got i-")
            && place("got i-") < place("register")
    );
    assert!(place("register") < place("is set up") && place("is set up") < place("is bound"));
    let text = table(&journal, &["why", "pod", "big"]);
    assert!(text.contains("remedy Raise spec.limits") && text.contains("cpu 2 of 9"), "{text}");
}

#[test]
fn why_a_pod_joined_a_launch() {
    let Story { world, second, .. } = story();
    let journal = world.journal();
    let story = json(&journal, &["why", "pod", "default/joiner"]);
    let decided = &story["decisions"][0];
    assert!(decided["says"].as_str().unwrap().contains(&format!("on nodeclaim {second}")), "{decided:#}");
    assert_eq!(decided["passed_over"][0]["reason"], "too-large", "the first node is full");
    assert!(story["answer"].as_str().unwrap().contains("is bound on"), "{story:#}");
}

#[test]
fn why_a_pod_still_waits() {
    let Story { world, .. } = story();
    let story = json(&world.journal(), &["why", "pod", "huge"]);
    assert!(story["answer"].as_str().unwrap().contains("too-large"));
    assert_eq!(story["now"]["pools"][0]["rule"]["id"], "too-large");
    assert!(story["bound"].is_null());
    assert_eq!(story["pending_us"], Span::secs(2).0, "up to the last record");
    let later = json(&world.journal(), &["why", "pod", "huge", "--at", "2026-07-20T10:00:00Z"]);
    assert!(later["pending_us"].as_i64().unwrap() > Span::mins(50).0, "up to the moment asked for");
}

#[test]
fn a_pod_that_went_before_it_ran_waited_until_then() {
    let mut world = story().world;
    world.see([Observation::NoPod(PodKey::new("default", "huge"))]);
    world.pass(60_000);
    world.see([pending("huge", 200)]);
    let gone = json(&world.journal(), &["list", "--pod", "default/huge", "--kind", "pod-deleted"]);
    let at = gone[0]["seq"].to_string();
    let before = json(&world.journal(), &["why", "pod", "huge", "--at", &at]);
    assert_eq!(before["answer"], "it is gone, and never ran; it had waited 5s");
}

#[test]
fn why_a_node_was_removed() {
    let Story { world, first, .. } = story();
    let journal = world.journal();
    for name in [first.to_string(), format!("node-{first}"), format!("i-{first}")] {
        let story = json(&journal, &["why", "node", &name]);
        let removal = &story["removals"][0];
        assert_eq!(removal["reason"], "empty", "{story:#}");
        let facts = removal["grounds"]["facts"].to_string();
        assert!(facts.contains("for 30s, since"), "{facts}");
        assert!(facts.contains("is gone"), "the last pod that left is named: {facts}");
        let set_by = &removal["grounds"]["set_by"];
        assert_eq!(set_by[0]["field"], "spec.disruption.consolidateAfter");
        assert_eq!(set_by[0]["value"], "30s");
        let first_pool = &json(&journal, &["list", "--kind", "node-pool-observed"])[0]["seq"];
        assert_eq!(&set_by[0]["record"], first_pool, "the raise of the limit did not change this rule");
        let budget = &removal["grounds"]["budget"];
        assert_eq!(
            (&budget["nodes"], &budget["allowed"], &budget["used"]),
            (&2.into(), &1.into(), &0.into())
        );
        assert_eq!(story["pods_bound"], 2);
        assert_eq!(story["pods"], serde_json::json!(["default/web-0", "default/web-1"]));
        let bound = |step: &&Value| step["says"].as_str().unwrap().contains(" is bound ");
        let bound: Vec<&Value> = story["timeline"].as_array().unwrap().iter().filter(bound).collect();
        assert_eq!(bound.len(), 2, "the first and the last: {bound:?}");
        assert!(
            bound[1]["seq"].as_u64() > bound[0]["seq"].as_u64() && bound[1]["after_us"] == 0,
            "{bound:?}"
        );
        assert_eq!(story["got"]["rank"], 1);
        assert_eq!(story["launched"]["launch"]["ranked"].as_array().unwrap().len(), 3);
        assert!(story["cost_microusd"].as_i64().unwrap() > 0);
        assert!(story["still_there"].is_null());
        assert!(story["answer"].as_str().unwrap().starts_with("it was removed (empty)"));
    }
}

#[test]
fn why_a_node_is_still_there() {
    let Story { world, first, second } = story();
    let journal = world.journal();
    let story = json(&journal, &["why", "nodeclaim", second.as_str()]);
    let facts = story["still_there"]["facts"].to_string();
    assert!(facts.contains("in use: 2 pods other than daemon pods: default/big, default/joiner"), "{facts}");
    // Ten seconds after the last pod left the first node.
    let gone = json(&journal, &["list", "--kind", "pod-deleted"]);
    let gone = chrono::DateTime::parse_from_rfc3339(gone[0]["time"].as_str().unwrap()).unwrap();
    let at = Time(gone.timestamp_micros()) + Span::secs(10);
    let story = json(&journal, &["why", "node", first.as_str(), "--at", &at.to_string()]);
    let facts = story["still_there"]["facts"].to_string();
    assert!(facts.contains("it may be removed at") && facts.contains("in 20s"), "{facts}");
    assert_eq!(story["still_there"]["set_by"][0]["value"], "30s");
    assert!(story["removals"].as_array().unwrap().is_empty());
}

#[test]
fn inspection_has_the_totals_at_the_top() {
    let Story { world, .. } = story();
    let size = world.state().size;
    let dir = world.close();
    let found = json(&dir.path().join("j"), &["inspect"]);
    assert_eq!(found["records"], size);
    assert!(found["bytes"].as_u64().unwrap() > 0);
    assert_eq!(found["root"].as_str().unwrap().len(), 64);
    assert_eq!(found["segments"].as_array().unwrap().len(), 2);
}

#[test]
fn an_object_that_was_too_large_says_so_and_how_to_mend_it() {
    let mut world = story().world;
    let toleration = |n| Toleration {
        key: Some(format!("example.com/team-{n}").into()),
        operator: TolerationOperator::Exists,
        value: "".into(),
        effect: None,
    };
    let mut monster = pod("monster", 100);
    std::sync::Arc::make_mut(&mut monster.spec).tolerations = (0..5_000).map(toleration).collect();
    world.see([Observation::Pod(monster)]);
    let out = table(&world.journal(), &["why", "pod", "default/monster"]);
    assert!(
        out.starts_with(
            "pod default/monster: it is held back, as it was refused: spec.tolerations: too large to record: "
        ),
        "{out}"
    );
    assert!(out.contains("use fewer or shorter entries; until then nothing is launched for it"), "{out}");
    let out = table(&world.journal(), &["list", "--kind", "pod-spec-defined", "--tail", "1"]);
    assert!(out.contains("; refused: spec.tolerations: too large to record"), "{out}");
}

#[test]
fn of_a_pod_that_is_expected_in_vain_again_and_again_the_last_is_told_and_the_rest_counted() {
    let mut world = World::new(vec![
        instance_type("m7g.large", 2, 80_000),
        has_pool(pool("default", 9_000)),
        pending("shy", 900),
    ]);
    world.pass(5_000);
    let claim = world.last_claim();
    world.ready(&claim, "m7g.large", 80_000);
    // The scheduler does not send it there, whatever is expected.
    for _ in 0..80 {
        world.pass(60_000);
    }
    let journal = world.journal();
    let story = json(&journal, &["why", "pod", "shy"]);
    let in_vain = story["expected_in_vain"].as_u64().unwrap();
    let decisions = story["decisions"].as_array().unwrap().len();
    assert!(in_vain > 5 && decisions > 8, "{in_vain} of {decisions}: {story:#}");
    let told = |out: &str| out.lines().filter(|line| line.starts_with("    by     ")).count();
    let out = table(&journal, &["why", "pod", "shy"]);
    assert!(out.contains(&format!("expected somewhere {in_vain} times without coming there")), "{out}");
    assert!(out.contains(&format!("{} earlier ones (--all tells of each)", decisions - 5)), "{out}");
    assert!(out.contains("earlier steps (--all shows them)"), "{out}");
    assert_eq!(told(&out), 5, "{out}");
    let out = table(&journal, &["why", "pod", "shy", "--all"]);
    assert_eq!((told(&out), out.contains("earlier")), (decisions, false), "{out}");
}

#[test]
fn a_zone_in_which_nothing_is_offered_is_named() {
    let elsewhere = |name: &str, zone: &str| {
        let PodFacts { spec, .. } = pod(name, 900);
        let node_selector = [(label::ZONE.into(), zone.into())].into();
        Observation::Pod(PodFacts {
            spec: std::sync::Arc::new(PodSpec { node_selector, ..(*spec).clone() }),
            ..pod(name, 900)
        })
    };
    let mut world = World::new(vec![instance_type("m7g.large", 2, 80_000), has_pool(pool("default", 9_000))]);
    world.pass(1_000);
    world.see([elsewhere("lost", "z9"), elsewhere("fine", "z1")]);
    world.pass(5_000);
    let out = table(&world.journal(), &["why", "pod", "lost"]);
    assert!(out.contains("no-capacity"), "{out}");
    let said = "never: topology.kubernetes.io/zone z9: no instance type of the pool is offered there, only in z1, z2";
    assert!(out.contains(said), "{out}");
    let out = table(&world.journal(), &["why", "pod", "fine"]);
    assert!(!out.contains("never:"), "{out}");
}
