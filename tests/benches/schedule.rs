//! What scheduling costs: Karpenter's own mix of pods, shapes that schedulers are known to find hard, and recorded scenarios.
//!
//! `cargo bench -p purser-tests --bench schedule` runs all; a word or several after `--` only the cases whose name contains one of them. Scenarios
//! are read from the corpus where it is there.
//!
//! Each case runs in a process of its own, so that its peak of memory is its own too. Time is that of the processor, so that other work on the
//! machine does not count; the least of several runs.
//!
//! **Invariant:** a case gives the same plan each time; if it does not, the bench stops.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench measures time, prints, and may stop at any surprise"
)]

#[path = "schedule/problems.rs"]
mod problems;

use std::path::PathBuf;
use std::process::Command;

use problems::Made;
use purser_api::scenario::{Scenario, Written, read_scenario};
use purser_engine::schedule::{Problem, solve};

/// Where the argument of a process says that it is to run one case.
const ONE: &str = "--case=";

/// A case: its name, and Karpenter's time in milliseconds and its peak in MB, where they were measured.
struct Case {
    name: &'static str,
    peer: Option<(f64, f64)>,
    of: Of,
}

enum Of {
    Made(fn() -> Made),
    File(&'static str),
}

fn cases() -> Vec<Case> {
    let made = |name, peer, make| Case { name, peer, of: Of::Made(make) };
    let file = |name, peer| Case { name, peer, of: Of::File(name) };
    vec![
        made("mix, 1,000 pods", Some((826.1, 95.0)), || problems::diverse(1_000, 400)),
        made("mix, 2,000 pods", Some((1_733.3, 132.0)), || problems::diverse(2_000, 400)),
        made("mix, 5,000 pods", Some((5_617.2, 248.0)), || problems::diverse(5_000, 400)),
        made("mix, 10,000 pods", Some((16_293.9, 431.0)), || problems::diverse(10_000, 400)),
        made("mix, 20,000 pods", None, || problems::diverse(20_000, 400)),
        made("mix, 100,000 pods, no limits", None, || problems::unlimited(problems::diverse(100_000, 400))),
        made("mix, 100,000 pods", None, || problems::diverse(100_000, 400)),
        made("mix, 1,000 pods, 1,000 types", None, || problems::diverse(1_000, 1_000)),
        made("mix, 10,000 pods, 1,000 types", None, || problems::diverse(10_000, 1_000)),
        made("preferences, 1,000 pods", Some((3_775.2, 132.0)), || problems::preferring(1_000)),
        made("anti-affinity, 1,000 pods", Some((1_623.0, 124.0)), || problems::apart(1_000)),
        made("anti-affinity, 20,000 pods", None, || problems::apart(20_000)),
        made("mix, 40,000 pods, 3,000 nodes", None, || problems::on_hosts(40_000, 3_000)),
        made("5,000 pods, 200 spreads", None, || problems::spreads(5_000, 200)),
        made("mix, 5,000 pods, 300 pools", None, || problems::many_pools(5_000, 300)),
        made("2,170 sizes that fit nowhere", None, || problems::starved(2_170, 300, 1_060, 20)),
        file("diverse-1000-400", Some((826.1, 95.0))),
        file("diverse-5000-400", Some((5_617.2, 248.0))),
        file("starvation-2170", Some((21_700.0, 565.0))),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(number) = arguments.iter().find_map(|argument| argument.strip_prefix(ONE)) {
        return run(&cases()[number.parse::<usize>().unwrap()]);
    }
    println!(
        "{:<32}{:>9}{:>11}{:>11}{:>10}{:>7}{:>7}{:>11}{:>12}{:>9}{:>9}",
        "",
        "solve ms",
        "with input",
        "pods/s",
        "peak MB",
        "nodes",
        "left",
        "USD/h",
        "work",
        "faster",
        "smaller"
    );
    // Cargo adds flags of its own.
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (number, case) in cases().iter().enumerate() {
        if wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str())) {
            let mut one = Command::new(std::env::current_exe().unwrap());
            assert!(one.arg(format!("{ONE}{number}")).status().unwrap().success(), "{}", case.name);
        }
    }
}

fn run(case: &Case) {
    match case.of {
        Of::Made(make) => {
            let made = make();
            measure(case, None, |measured| measured(&made.problem()));
        }
        Of::File(name) => {
            let Some(scenario) = scenario(name) else { return };
            let (_, input) = least(|| purser::solve::with_problem(&scenario, |problem| problem.pods.len()));
            measure(case, Some(input), |measured| {
                purser::solve::with_problem(&scenario, |problem| measured(problem))
            });
        }
    }
}

/// Prints the row of a case; `input` is what it costs to make the problem, in milliseconds.
fn measure(case: &Case, input: Option<f64>, with: impl Fn(&mut dyn FnMut(&Problem<'_>))) {
    with(&mut |problem| {
        // Where it is not allowed the peak is that of the whole process: more, never less.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        drop(solve(problem));
        let peak = peak();
        let (plan, time) = least(|| solve(problem));
        let left: usize = plan.unplaced.iter().map(|unplaced| unplaced.pods.len()).sum();
        let price: i64 = plan
            .launches
            .iter()
            .map(|launch| launch.types.iter().map(|one| one.price.0).min().unwrap())
            .sum();
        let times = |of: f64| format!("{of:.0} x");
        println!(
            "{:<32}{time:>9.1}{:>11}{:>11.0}{peak:>10.0}{:>7}{left:>7}{:>11.2}{:>12}{:>9}{:>9}",
            case.name,
            input.map_or_else(String::new, |input| format!("{:.1}", input + time)),
            problem.pods.len() as f64 / time * 1e3,
            plan.launches.len(),
            price as f64 / 1e9,
            plan.work,
            case.peer.map_or_else(String::new, |(peer, _)| times(peer / time)),
            case.peer.map_or_else(String::new, |(_, peer)| times(peer / peak)),
        );
    });
}

/// Runs something a few times: what it gives, and the least time that it took, in milliseconds.
fn least<T: PartialEq>(run: impl Fn() -> T) -> (T, f64) {
    let (mut best, mut sum, mut runs) = (f64::MAX, 0.0, 0);
    let mut result: Option<T> = None;
    while runs < 2 || (sum < 1_000.0 && runs < 20) {
        let start = processor();
        let new = run();
        let time = processor() - start;
        (best, sum, runs) = (best.min(time), sum + time, runs + 1);
        assert!(result.as_ref().is_none_or(|before| *before == new), "another result");
        result = Some(new);
    }
    (result.unwrap(), best)
}

/// The time that this thread was on a processor, in milliseconds.
fn processor() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The most memory that the process had, in MB.
fn peak() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// A recorded scenario, if it is there and can be unpacked.
fn scenario(name: &str) -> Option<Scenario> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../shared/corpus/bench"].iter().collect();
    let path = folder.join(format!("{name}.json.gz"));
    if !path.is_file() {
        println!("{name:<32}skipped: there is no such file in the corpus");
        return None;
    }
    let Ok(unpacked) = Command::new("gzip").arg("-dc").arg(&path).output() else {
        println!("{name:<32}skipped: gzip cannot be run");
        return None;
    };
    let text = String::from_utf8(unpacked.stdout).unwrap();
    let written = Written::find(&text).unwrap();
    Some(read_scenario(name, &written, &|_| unreachable!("its types are in it")).unwrap().0)
}
