//! `replay why`: the story of a pod or of a node, with the reasons.
//!
//! What a decision looked at is not in the log. `walk` folds the log batch by batch, and where a batch holds a decision that the
//! story is about, the decision is taken again on the State of that moment with a tracer on.
//!
//! **Invariant:** all that is told is a record, State as of a record, or a note of the decision itself; nothing is guessed.

mod looked;
mod machine;
mod pod;
mod removal;

use anyhow::{Error, Result, anyhow, bail};
use purser_engine::model::{PodKey, Time};
use purser_engine::state::State;
use serde::Serialize;

use crate::cli::{About, WhyArgs};
use crate::index::Index;
use crate::output::{Format, Out};
use crate::source::{Item, Log, Ref};
use crate::subjects::{self, Subject};
use crate::{Outcome, fold, text};

/// Tells a story.
///
/// # Errors
/// If the log cannot be read, or has nothing of that name.
pub fn run(log: &Log, arguments: &WhyArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let size = log.size_at(arguments.at)?;
    if size == 0 {
        bail!("{}: the log has no records", log.dir.display());
    }
    let index = Index::build(log, size)?;
    if let Err(unknown) = find(&index, arguments.what, &arguments.name) {
        return Err(first_seen(log, size, arguments)?.unwrap_or(unknown));
    }
    let telling = Telling {
        log,
        index: &index,
        size,
        at: arguments.at.moment(log.end()?),
        few: if arguments.all { usize::MAX } else { 3 },
    };
    match arguments.what {
        About::Pod => {
            let story = pod::tell(&telling, &arguments.name)?;
            match out.format {
                Format::Table => story.write(&telling, out)?,
                Format::Json | Format::Jsonl => out.document(&story)?,
            }
        }
        About::Node | About::Nodeclaim => {
            let what = if arguments.what == About::Node { "node" } else { "nodeclaim" };
            let machines = index.machines(what, &arguments.name)?;
            let Some((machine, earlier)) = machines.split_last() else {
                bail!("{what} {:?}", arguments.name)
            };
            let story = machine::tell(&telling, machine, earlier)?;
            match out.format {
                Format::Table => story.write(&telling, out)?,
                Format::Json | Format::Jsonl => out.document(&story)?,
            }
        }
    }
    Ok(Outcome::Fine)
}

/// Whether there is what a story is asked of.
fn find(index: &Index, what: About, name: &str) -> Result<()> {
    match what {
        About::Pod => index.pod(name).map(|_| ()),
        About::Node => index.machines("node", name).map(|_| ()),
        About::Nodeclaim => index.machines("nodeclaim", name).map(|_| ()),
    }
}

/// What is said of a name that comes later in the log than the story is to end; nothing of one that never comes.
fn first_seen(log: &Log, size: u64, arguments: &WhyArgs) -> Result<Option<Error>> {
    let WhyArgs { what, name, .. } = arguments;
    if size == log.size() || find(&Index::build(log, log.size())?, *what, name).is_err() {
        return Ok(None);
    }
    let pod = PodKey::parse(name);
    for item in log.items(size) {
        let item = item?;
        let named = subjects::of(item.event()).iter().any(|subject| match (subject, what) {
            (Subject::Pod(of), About::Pod) => **of == pod,
            (Subject::Claim(of), About::Node | About::Nodeclaim) => of.as_str() == name,
            (Subject::Node(of), About::Node) => of.as_str() == name,
            (Subject::Instance(of), About::Node) => of.as_str() == name,
            _ => false,
        });
        if named {
            let (seq, time) = (item.seq(), text::exact_time(item.logged.time));
            let what = match what {
                About::Pod => "pod",
                About::Node => "node",
                About::Nodeclaim => "nodeclaim",
            };
            let late = "later than --at says";
            return Ok(Some(anyhow!("{what} {name:?} is first seen at record {seq}, {time}: {late}")));
        }
    }
    Ok(None)
}

/// What a story is told from.
struct Telling<'a> {
    log: &'a Log,
    index: &'a Index,
    /// The number of records up to the end of the story.
    size: u64,
    /// The moment at which it ends, if one was given: it may be later than the last record.
    at: Option<Time>,
    /// How many names are told of many.
    few: usize,
}

impl Telling<'_> {
    /// The end of the story.
    fn now(&self, state: &State) -> Time {
        self.at.map_or(state.now, |at| at.max(state.now))
    }

    /// That no controller is at work at the end of the story, and since when, if that is so.
    fn idle(&self, state: &State) -> Option<String> {
        let since = self.index.stopped().map(|at| format!(" since {}", text::exact_time(at)));
        state.stopped.then(|| {
            let since = since.unwrap_or_default();
            format!("no controller is at work{since}: nothing is decided until one starts")
        })
    }
}

/// Goes along with the fold.
trait Visitor {
    /// Sees a batch before it is folded in: for decisions, State is the one that they were taken on.
    fn before(&mut self, state: &State, batch: &[Item]) -> Result<()>;

    /// Sees a batch after it was folded in.
    fn after(&mut self, state: &State, batch: &[Item]) -> Result<()>;
}

/// Folds the log, showing the visitor each batch from the one with record `from` on. Gives back State at the end.
fn walk(telling: &Telling<'_>, from: u64, visitor: &mut impl Visitor) -> Result<State> {
    let mut state = fold::begin(telling.log, from)?;
    let mut batch = Vec::new();
    for item in telling.log.items(state.size) {
        let item = item?;
        if item.seq() >= telling.size {
            break;
        }
        let commit = item.record.commit;
        batch.push(item);
        if commit {
            fold_batch(&mut state, &batch, from, visitor)?;
            batch.clear();
        }
    }
    // The story may end in the middle of a batch.
    fold_batch(&mut state, &batch, from, visitor)?;
    Ok(state)
}

fn fold_batch(state: &mut State, batch: &[Item], from: u64, visitor: &mut impl Visitor) -> Result<()> {
    let wanted = batch.last().is_some_and(|last| last.seq() >= from);
    if wanted {
        visitor.before(state, batch)?;
    }
    for item in batch {
        fold::apply(state, item)?;
    }
    if wanted { visitor.after(state, batch) } else { Ok(()) }
}

/// A step of a story.
#[derive(Debug, Clone, Serialize)]
struct Step {
    #[serde(flatten)]
    record: Ref,
    /// How long after the step before.
    after_us: i64,
}

/// Steps in order.
#[derive(Debug, Default)]
struct Timeline {
    steps: Vec<(Time, Ref)>,
}

impl Timeline {
    fn push(&mut self, item: &Item) {
        self.steps.push((item.logged.time, item.to_ref()));
    }

    /// In the order of the log, also what was pushed late.
    fn finish(mut self) -> Vec<Step> {
        self.steps.sort_by_key(|(_, record)| record.seq);
        let mut last = None;
        let step = |(time, record)| {
            let after_us = last.replace(time).map_or(0, |last| Time::since(time, last).0);
            Step { record, after_us }
        };
        self.steps.into_iter().map(step).collect()
    }
}

/// Shows steps, before which there were so many others.
fn write_timeline(steps: &[Step], before: usize, out: &mut Out<'_>) -> Result<()> {
    out.line("\ntimeline")?;
    if before > 0 {
        out.line(&format!("  {before} earlier steps (--all shows them)"))?;
    }
    let rows = steps.iter().map(|step| {
        let after = match step.after_us {
            0 => String::new(),
            us => format!("+{}", text::span(purser_engine::model::Span(us))),
        };
        vec![format!("  {}", step.record.seq), step.record.time.clone(), after, step.record.says.clone()]
    });
    Ok(out.table(&["  SEQ", "TIME", "AFTER", "SAYS"], rows)?)
}
