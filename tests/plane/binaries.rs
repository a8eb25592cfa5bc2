//! Where the programs are, and how they are built where there are none.
//!
//! **Invariant:** a folder in the cache is complete: it appears by a rename, and its name says what it was built from. One
//! process builds at a time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::PlaneError;

const GO_MOD: &str = include_str!("controlplane/go.mod");

/// What is built. It stands here as text, so that a change of it is a change of the program that builds it.
const SOURCES: [(&str, &str); 3] = [
    ("go.mod", GO_MOD),
    ("go.sum", include_str!("controlplane/go.sum")),
    ("main.go", include_str!("controlplane/main.go")),
];

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// What everything is stored in.
    Etcd,
    /// What everybody talks to.
    ApiServer,
    /// What makes pods of Deployments, and so on.
    ControllerManager,
    /// What binds pods to nodes.
    Scheduler,
}

impl Component {
    /// All, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// The name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// The folder with the programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds the programs, or builds them, which takes some minutes the first time.
    ///
    /// # Errors
    /// If there are none and they cannot be built.
    pub fn find() -> Result<Self, PlaneError> {
        if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
            return Self::named(PathBuf::from(folder));
        }
        let cache = cache_folder()?;
        let folder = cache.join(format!("controlplane-{}", digest()));
        if !folder.exists() {
            build(&cache, &folder)?;
        }
        Ok(Self { folder })
    }

    fn named(folder: PathBuf) -> Result<Self, PlaneError> {
        match Component::ALL.into_iter().find(|program| !folder.join(program.name()).exists()) {
            Some(program) => Err(PlaneError::NoProgram { folder, program }),
            None => Ok(Self { folder }),
        }
    }

    /// The path of a program.
    pub fn path(&self, program: Component) -> PathBuf {
        self.folder.join(program.name())
    }
}

fn cache_folder() -> Result<PathBuf, PlaneError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(base.ok_or(PlaneError::NoCache)?.join("purser-tests"))
}

fn digest() -> String {
    let mut hash = Sha256::new();
    for (_, text) in SOURCES {
        hash.update(text);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn build(cache: &Path, folder: &Path) -> Result<(), PlaneError> {
    fs::create_dir_all(cache).map_err(PlaneError::io(format!("making {}", cache.display())))?;
    let lock = cache.join("lock");
    let lock = File::create(&lock).map_err(PlaneError::io(format!("making {}", lock.display())))?;
    lock.lock().map_err(PlaneError::io("waiting for whoever builds the control plane"))?;
    if folder.exists() {
        return Ok(());
    }
    say("building the Kubernetes control plane for the tests; this takes some minutes, once");
    let work = tempfile::tempdir_in(cache).map_err(PlaneError::io("making a folder to build in"))?;
    let built = work.path().join("bin");
    for (name, text) in SOURCES {
        fs::write(work.path().join(name), text).map_err(PlaneError::io(format!("writing {name}")))?;
    }
    go_build(work.path(), &built.join("controlplane"))?;
    for program in Component::ALL {
        let link = built.join(program.name());
        std::os::unix::fs::symlink("controlplane", link).map_err(PlaneError::io("linking the programs"))?;
    }
    fs::rename(&built, folder).map_err(PlaneError::io("putting the programs in their place"))
}

fn go_build(sources: &Path, program: &Path) -> Result<(), PlaneError> {
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &linker_flags(), "-o"])
        .args([program.as_os_str(), OsStr::new(".")])
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PlaneError::NoGo,
            _ => PlaneError::io("starting go")(error),
        })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(PlaneError::Build(tail(&String::from_utf8_lossy(&output.stderr)))),
    }
}

/// Without these the API server takes itself for version 0.0.0.
fn linker_flags() -> String {
    let version =
        GO_MOD.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).unwrap_or("v0.0.0");
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    ["-s -w".to_owned(), set("gitVersion", version), set("gitMajor", major), set("gitMinor", minor)].concat()
}

/// The last lines of a text, on one line.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Tells whoever waits, past the test harness, which keeps to itself what tests print.
fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_go_mod() {
        let flags = linker_flags();
        assert!(flags.starts_with("-s -w -X k8s.io/component-base/version.gitVersion=v1."), "{flags}");
        assert!(flags.contains(".gitMajor=1 ") && !flags.contains(".gitMinor= "), "{flags}");
    }

    #[test]
    fn a_folder_that_lacks_a_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("etcd"), "").unwrap();
        let error = Binaries::named(folder.path().to_owned()).unwrap_err().to_string();
        assert!(error.contains("has no kube-apiserver"), "{error}");
    }
}
