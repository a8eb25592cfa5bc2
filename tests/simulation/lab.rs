//! What the suites share: small scenarios, journals in memory-backed folders, and the world as it is at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use purser_engine::controller::Start;
use purser_engine::event::Seq;
use purser_engine::model::{OwnerKind, PodSpec, Resources, Span, Time};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_engine::settings::Settings;
use purser_engine::state::State;
use purser_events::journal::{Faults as JournalFaults, IdentitySource, Journal, Options, Reader};
use purser_events::wire::{EventLog, Events, Purser};
use purser_sim::driver::{Beginning, Simulation};
use purser_sim::scenario::{Run, Workload, WorkloadKind};
use purser_sim::{Faults, Scenario, World, trace};

pub(crate) fn temp_dir() -> tempfile::TempDir {
    // Thousands of small journals: on a disk they would wait for it.
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }.unwrap()
}

pub(crate) fn options(seed: u64, faults: Option<Arc<dyn JournalFaults>>) -> Options {
    let mut options = Options::new("purser.test/simulation", "simulator", 1, Arc::new(Purser));
    let mut identity = [0; 32];
    identity[..8].copy_from_slice(&seed.to_le_bytes());
    options.identity = IdentitySource::Derived { seed: identity };
    options.sync = false;
    options.min_free_bytes = 0;
    options.faults = faults;
    options
}

pub(crate) fn start(term: u64) -> Start {
    Start {
        version: "0.0.0-test".into(),
        instance: "simulator".into(),
        term,
        origin: "purser.test/simulation".into(),
        predecessor: None,
        recovered: None,
        elected: None,
        settings: Settings::default(),
    }
}

/// A service that scales, some batch runs and one pool: half an hour in which every kind of decision is taken.
pub(crate) fn small_scenario() -> Scenario {
    let begin = Time(1_784_505_600_000_000);
    let minute = |n: i64| begin + Span::mins(n);
    let mut scenario = Scenario::new("small", begin);
    let wanted = ["m5.large", "m5.xlarge", "m7i.large", "c5.xlarge"];
    scenario.types =
        trace::default_types().into_iter().filter(|t| wanted.contains(&t.name.as_str())).collect();
    let mut pool = trace::default_pool();
    pool.disruption.consolidate_after = Some(Span::secs(30));
    pool.template.expire_after = Some(Span::mins(20));
    scenario.pools = vec![Arc::new(pool)];
    scenario.end = Some(minute(45));
    let spec = |cpu: i64, mib: i64| {
        let requests: Resources = [("cpu", cpu), ("memory", mib << 20), ("pods", 1)].into_iter().collect();
        Arc::new(PodSpec {
            requests,
            owner: OwnerKind::Controller,
            termination_grace: Some(Span::secs(10)),
            ..PodSpec::default()
        })
    };
    let service = Workload {
        namespace: "default".into(),
        name: "web".into(),
        spec: spec(700, 900),
        kind: WorkloadKind::Service {
            replicas: vec![(begin, 3), (minute(8), 6), (minute(15), 2)],
            rollouts: Vec::new(),
            ordinals: false,
        },
    };
    let run =
        |n: i64| Run { name: format!("job-{n}").into(), at: minute(3 * n), duration: Some(Span::mins(4)) };
    let batch = Workload {
        namespace: "default".into(),
        name: "job".into(),
        spec: spec(1_500, 2_000),
        kind: WorkloadKind::Batch {
            runs: (0..5).map(run).collect(),
            parallelism: None,
            linger: Span::secs(5),
        },
    };
    scenario.workloads = vec![service, batch];
    scenario
}

/// A run of a scenario in a new journal.
pub(crate) fn begin(
    scenario: Scenario,
    seed: u64,
    faults: Faults,
    dir: &Path,
    disk: Option<Arc<dyn JournalFaults>>,
) -> Result<Simulation<EventLog>, String> {
    let now = scenario.start;
    let world = World::new(scenario, seed, faults);
    let journal = Journal::create(dir, options(seed, disk), now.0).map_err(|error| error.to_string())?;
    let beginning = Beginning::new(world, EventLog::new(journal), State::default(), now, start(1))
        .map_err(|error| error.to_string())?;
    Ok(Simulation::new(beginning))
}

/// Folds a journal from its first record, taking every decision again.
pub(crate) fn reexecute(dir: &Path) -> State {
    let reader = Reader::open(dir, Arc::new(Purser)).unwrap();
    let mut again = Reexecution::default();
    for record in Events::read(&reader, Seq(0)) {
        let record = record.unwrap();
        let logged =
            Logged { seq: record.seq, time: record.time, commit: record.commit, event: record.event };
        again.feed(&logged).unwrap_or_else(|divergence| panic!("{divergence:#?}"));
    }
    again.into_state()
}

/// What there is at the end, times and places in the log aside.
pub(crate) fn outcome(state: &State) -> BTreeMap<String, String> {
    let mut outcome = BTreeMap::new();
    for claim in state.claims.values() {
        let instance = claim
            .instance
            .as_ref()
            .map(|i| format!("{} {} {} {}", i.id, i.instance_type, i.zone, i.capacity_type));
        outcome.insert(
            format!("claim {}", claim.name),
            format!("{:?} {instance:?} on {:?}", claim.phase(), claim.node),
        );
    }
    for (name, node) in &state.nodes {
        outcome.insert(format!("node {name}"), format!("{:?} {:?}", node.facts.labels, node.facts.taints));
    }
    for (key, pod) in &state.pods {
        outcome.insert(format!("pod {key}"), format!("{:?} on {:?}", pod.phase, pod.node));
    }
    outcome
}
