//! `purser simulate`: the real controller on a simulated cluster and cloud.
//!
//! **Invariant:** all input is read and checked before anything is written.

mod input;
mod paced;
mod run;
mod summary;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::{OutputFormat, SimulateOptions};
use crate::output;

/// Below this folder go journals that were given no place of their own.
const DEFAULT_FOLDER: &str = "purser-journal";

/// Runs a simulation and shows what it came to.
///
/// # Errors
/// If the input is not right, the journal cannot be written, or an invariant does not hold.
pub fn run(options: &SimulateOptions) -> anyhow::Result<()> {
    let input = input::Input::read(options)?;
    input.warnings.iter().for_each(|warning| warn(&format!("warning: {warning}")));
    let folder = match &options.journal {
        Some(dir) => dir.clone(),
        None => free_folder(&input.name)?,
    };
    if !options.resume && options.journal.is_some() && is_in_use(&folder)? {
        bail!(
            "--journal {}: the folder is not empty; choose another, or add --resume to go on with its journal",
            folder.display()
        );
    }
    let started = Clock::start();
    let finished = match options.pace {
        Some(pace) => paced::run(&input, &folder, options.resume, pace)?,
        None => run::run(&input, &folder, options.resume)?,
    };
    let summary = summary::Summary::new(&input, &finished, started.seconds());
    match options.output {
        OutputFormat::Json => output::print_json(&summary)?,
        OutputFormat::Table => {
            output::print(summary.for_people())?;
            output::print(next_commands(&folder))?;
        }
    }
    Ok(())
}

/// The wall clock, for what the user is told about the run itself.
struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "wall time, shown to the user and used for nothing else")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

fn is_in_use(folder: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("--journal {}: cannot be read", folder.display())),
    }
}

/// The first folder of a name that is not taken.
fn free_folder(name: &str) -> anyhow::Result<PathBuf> {
    for number in 1u32.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let folder = Path::new(DEFAULT_FOLDER).join(format!("{name}{suffix}"));
        if !is_in_use(&folder)? {
            return Ok(folder);
        }
    }
    unreachable!("there are fewer folders than numbers")
}

fn next_commands(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "The journal is in {folder}. Ask it:\n\
         \x20   replay list --journal {folder} --kind launch\n\
         \x20   replay why pod NAMESPACE/NAME --journal {folder}\n\
         \x20   replay state --at end --journal {folder}\n\
         \x20   replay verify --journal {folder}\n\
         (`cargo run --release -p purser-replay -- ...` where replay is not installed.)"
    )
}

/// Tells the user something on the way, where stderr is a terminal.
fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // Should stderr be gone, there is nobody left to tell.
        let _ = writeln!(stderr, "{text}");
    }
}

/// Tells the user something that should not be missed.
fn warn(text: &str) {
    // Should stderr be gone, there is nobody left to tell.
    let _ = writeln!(std::io::stderr().lock(), "purser: {text}");
}
