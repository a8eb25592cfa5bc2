//! `purser solve`: where the pods of one scheduling problem go.
//!
//! The scenario becomes the scheduler's problem and is solved once: what schedules here is what schedules in a cluster.
//!
//! **Invariant:** every pod that waits is in the result exactly once: placed, not placed and why, or not the autoscaler's business.

mod bound;
mod devices;
mod eligible;
mod expendable;
mod explain;
mod input;
mod outcome;
mod table;
mod world;

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use purser_api::scenario::Scenario;
use purser_engine::model::PodKey;
use purser_engine::schedule::{self, Looked, Plan, Prepared, Problem};

pub use devices::{DeviceAllocation, GivenDevice};
pub use outcome::{ExistingNode, Expression, NewNodeClaim, PodReason, Solution};

use crate::cli::{OutputFormat, SolveOptions};
use crate::output;
use eligible::Ignoring;
use world::World;

/// A problem as it was decided.
pub struct Solved {
    /// What came of it.
    pub solution: Solution,
    world: World,
    plan: Plan,
    /// What was looked at and did not do, if that was asked.
    looked: Vec<Looked>,
    ignored: Ignoring,
}

/// Solves the problem that the options name, and shows what came of it.
///
/// # Errors
/// If the problem cannot be read or stdout cannot be written.
pub fn run(options: &SolveOptions) -> anyhow::Result<()> {
    let (scenario, warnings) = input::read(options)?;
    let mut stderr = std::io::stderr().lock();
    for warning in warnings {
        writeln!(stderr, "purser: warning: {warning}")?;
    }
    let mut solved = match options.explain {
        Some(_) => {
            solve_by(&scenario, |problem| schedule::solve_explained(problem, &mut Prepared::default()))
        }
        None => solve(&scenario),
    };
    for warning in &solved.world.warnings {
        writeln!(stderr, "purser: warning: {warning}")?;
    }
    if options.bound {
        solved.solution.lower_bound_per_hour = Some(lower_bound(&solved));
    }
    if let Some(pod) = &options.explain {
        let key = PodKey::parse(pod);
        let Some(lines) = explain::explain(&solved, &key) else {
            bail!("--explain {pod}: no such pod waits; the result lists those that do");
        };
        output::print(lines.join("\n"))?;
        return Ok(());
    }
    match options.output {
        OutputFormat::Json => output::print_json(&solved.solution),
        OutputFormat::Table => table::print(&solved.solution),
    }
}

/// Finds out where the pods of a problem go.
pub fn solve(scenario: &Scenario) -> Solved {
    solve_by(scenario, |problem| (schedule::solve(problem), Vec::new()))
}

fn solve_by(scenario: &Scenario, scheduler: impl FnOnce(&Problem<'_>) -> (Plan, Vec<Looked>)) -> Solved {
    let (waiting, ignored) = eligible::pods(scenario);
    let world = World::new(scenario, &waiting);
    let (mut plan, looked) = scheduler(&world.problem());
    expendable::add(&world, &mut plan);
    let mut solution = outcome::solution(&world, &plan, &ignored);
    solution.device_allocations = devices::allocations(scenario, &world, &plan);
    Solved { solution, world, plan, looked, ignored }
}

/// Makes the scheduler's problem of a scenario, for those who measure what comes of it.
pub fn with_problem<T>(scenario: &Scenario, use_it: impl FnOnce(&Problem<'_>) -> T) -> T {
    let (waiting, _) = eligible::pods(scenario);
    let world = World::new(scenario, &waiting);
    use_it(&world.problem())
}

/// What any valid result costs at least that places the same pods, in dollars per hour.
pub fn lower_bound(solved: &Solved) -> f64 {
    outcome::usd(bound::lower_bound(&solved.world, &solved.solution))
}

/// Where the catalogues of a problem in this file may be.
fn catalogue_files(scenario: &std::path::Path, name: &str) -> [PathBuf; 2] {
    let folder = scenario.parent().map(PathBuf::from).unwrap_or_default();
    let file = PathBuf::from("catalogues").join(format!("{name}.json"));
    [folder.join(&file), folder.join("..").join(file)]
}
