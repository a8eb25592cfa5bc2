//! `purser solve`: where the pods of one scheduling problem go.
//!
//! The problem is folded into State as if a log had told it, and decided once: what decides here is what decides in a cluster.
//!
//! **Invariant:** every pod that waits is in the result exactly once: placed, not placed and why, or not the autoscaler's business.

mod bound;
mod eligible;
mod explain;
mod input;
mod outcome;
mod table;
mod world;

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use purser_api::scenario::Scenario;
use purser_engine::decide::{Memo, Notes, decide};
use purser_engine::event::Decision;
use purser_engine::model::{PodKey, Span};
use purser_engine::settings::Settings;
use purser_engine::state::State;

pub use outcome::{ExistingNode, Expression, NewNodeClaim, PodReason, Solution};

use crate::cli::{OutputFormat, SolveOptions};
use crate::output;
use eligible::Ignoring;

/// A problem that cannot be decided at all.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// There are more zones and ways to buy than a launch has room for.
    #[error(
        "instanceTypes: {places} pairs of zone and capacity type are more than the {MOST_PLACES} of one launch: leave some out"
    )]
    TooManyPlaces {
        /// How many there are.
        places: usize,
    },
}

/// The places of a launch are bits of a number of 32.
const MOST_PLACES: usize = 32;

/// A problem as it was decided.
pub struct Solved {
    /// What came of it.
    pub solution: Solution,
    state: State,
    notes: Notes,
    decisions: Vec<Decision>,
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
    let mut solved = solve(&scenario)?;
    if options.bound {
        solved.solution.lower_bound_per_hour = Some(lower_bound(&scenario, &solved.solution));
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

/// Decides once where the pods of a problem go.
///
/// # Errors
/// If the problem is beyond what a launch can say.
pub fn solve(scenario: &Scenario) -> Result<Solved, SolveError> {
    let places = world::places(scenario);
    if places > MOST_PLACES {
        return Err(SolveError::TooManyPlaces { places });
    }
    let settings = Settings {
        // No more pods will come, so there is nothing to wait for.
        batch_idle: Span::ZERO,
        batch_max: Span::ZERO,
        max_instance_types: scenario.settings.max_instance_types,
        ..Settings::default()
    };
    let (waiting, ignored) = eligible::pods(scenario);
    let state = world::fold(scenario, settings, &waiting);
    let mut notes = Notes::default();
    let evaluation = decide(&state, scenario.now, &mut Memo::default(), &mut notes);
    let solution = outcome::solution(&state, &evaluation.decisions, &notes, &waiting, &ignored);
    Ok(Solved { solution, state, notes, decisions: evaluation.decisions, ignored })
}

/// What any valid result costs at least that places the same pods, in dollars per hour.
pub fn lower_bound(scenario: &Scenario, solution: &Solution) -> f64 {
    outcome::usd(bound::lower_bound(scenario, solution))
}

/// Where the catalogues of a problem in this file may be.
fn catalogue_files(scenario: &std::path::Path, name: &str) -> [PathBuf; 2] {
    let folder = scenario.parent().map(PathBuf::from).unwrap_or_default();
    let file = PathBuf::from("catalogues").join(format!("{name}.json"));
    [folder.join(&file), folder.join("..").join(file)]
}
