//! The command line.
//!
//! **Invariant:** whatever is wrong with the arguments is said in one line that names the argument and the remedy.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;
use crate::when::{Moment, Point};

/// Reads a Purser journal: what happened, why, and whether it was right.
#[derive(Debug, Parser)]
#[command(name = "replay", version, max_term_width = 110)]
pub struct Cli {
    /// The journal, or an archive of it [default: ./purser-journal, if that is one].
    #[arg(long, global = true, env = "PURSER_JOURNAL", value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// A folder with archived segments, for records that the journal no longer has.
    #[arg(long, global = true, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// How to answer: for people, as one JSON document, or as one JSON line an item.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List records, one line each, newest last.
    List(Box<ListArgs>),
    /// Show everything of one record.
    Show(ShowArgs),
    /// Show the last records, and follow a journal that is being written.
    Tail(TailArgs),
    /// Show the cluster as the log knew it at a moment.
    State(StateArgs),
    /// Tell the story of a node, a pod or a NodeClaim, with the reasons.
    Why(WhyArgs),
    /// Check that no record was changed, and take every decision again.
    Verify(VerifyArgs),
    /// Describe every structure on disk.
    Inspect,
    /// List the reasons that decisions give, with meaning and remedy.
    Reasons,
}

/// Which records to list. What is given must hold together.
#[derive(Debug, Args, Default)]
pub struct ListArgs {
    /// A kind (launch), a pattern (pod-*), or a class (observation, decision, control). Repeatable.
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// A node by its name; records of its NodeClaim and instance are listed too.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// A pod, as namespace/name.
    #[arg(long, value_name = "NS/NAME")]
    pub pod: Option<String>,
    /// A NodeClaim; records of its node and instance are listed too.
    #[arg(long, value_name = "NAME")]
    pub nodeclaim: Option<String>,
    /// A NodePool; records of its NodeClaims, nodes and instances are listed too.
    #[arg(long, value_name = "NAME")]
    pub nodepool: Option<String>,
    /// An instance by its id; records of its NodeClaim and node are listed too.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// A reason by its id; see `replay reasons`.
    #[arg(long, value_name = "ID")]
    pub reason: Option<String>,
    /// From this moment on: RFC 3339, a date, or 2h, 30m, 3d before the end of the log.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Up to this moment; a date means the whole day.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// From this record on.
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
    /// Up to this record.
    #[arg(long, value_name = "SEQ")]
    pub to: Option<u64>,
    /// A record and all that followed from it.
    #[arg(long, value_name = "SEQ|UUID")]
    pub decision: Option<String>,
    /// At most so many, the first ones.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// At most so many, the last ones.
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    pub tail: Option<usize>,
}

/// Which record to show.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its number or its id.
    #[arg(value_name = "SEQ|UUID")]
    pub record: String,
    /// Print the envelope line and the payload line exactly as they were hashed.
    #[arg(long)]
    pub raw: bool,
}

/// How much of the end to show.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// How many records.
    #[arg(short = 'n', long = "lines", default_value_t = 10, value_name = "N")]
    pub lines: u64,
    /// Go on with what is appended, until interrupted.
    #[arg(short, long)]
    pub follow: bool,
}

/// When to look.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// A time, the number of the last record to take in, or `end`.
    #[arg(long, default_value = "end", value_name = "TIME|SEQ|end")]
    pub at: Point,
    /// List every pod.
    #[arg(long)]
    pub pods: bool,
}

/// What a story can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum About {
    /// A node, by its name, its NodeClaim or its instance.
    Node,
    /// A pod, as namespace/name.
    Pod,
    /// A NodeClaim.
    Nodeclaim,
}

/// Whose story to tell.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// What it is.
    pub what: About,
    /// Its name.
    pub name: String,
    /// The end of the story: a time, the number of a record, or `end`.
    #[arg(long, default_value = "end", value_name = "TIME|SEQ|end")]
    pub at: Point,
    /// Name every node, pod and type instead of the first few.
    #[arg(long)]
    pub all: bool,
}

/// What to verify against.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Go on after the first decision that differs, and list all.
    #[arg(long)]
    pub all: bool,
    /// A checkpoint that was kept elsewhere: the log must be a continuation of it. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// The verifier key as it is known from elsewhere.
    #[arg(long, value_name = "FILE")]
    pub vkey: Option<PathBuf>,
    /// Check what takes only the public key, as somebody who may not read the file secret: signatures, roots, decisions, but not
    /// whether each record is the one that was hashed.
    #[arg(long)]
    pub without_secret: bool,
    /// Take only the decisions from this record on again.
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
}

/// What is wrong with the arguments, in one line.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
    let message = said.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    format!("{message} (see replay --help)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_said_in_one_line() {
        for (arguments, expected) in [
            (vec!["replay", "show"], "<SEQ|UUID>"),
            (vec!["replay", "list", "--sicne", "2h"], "--sicne"),
            (vec!["replay", "list", "--since", "yesterday"], "\"yesterday\" is no time"),
            (vec!["replay", "frobnicate"], "frobnicate"),
        ] {
            let line = one_line(&Cli::try_parse_from(arguments).unwrap_err());
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}
