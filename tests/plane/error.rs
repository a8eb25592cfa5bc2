//! What can go wrong with a control plane.

use std::path::PathBuf;
use std::time::Duration;

use crate::Component;

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// Neither programs nor what builds them.
    #[error(
        "the tests need a Kubernetes control plane, which Go builds, and there is no Go: install Go 1.26 or later \
         (https://go.dev/dl) so that `go` is on the PATH, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, \
         kube-controller-manager and kube-scheduler"
    )]
    NoGo,
    /// `KUBEBUILDER_ASSETS` names a folder that lacks a program.
    #[error("KUBEBUILDER_ASSETS is {folder}, which has no {}: add it, or unset KUBEBUILDER_ASSETS and have it built", .program.name())]
    NoProgram {
        /// The folder.
        folder: PathBuf,
        /// The program.
        program: Component,
    },
    /// There is no folder to keep what was built in.
    #[error(
        "neither XDG_CACHE_HOME nor HOME is set: set one, for the control plane is built once and kept there"
    )]
    NoCache,
    /// It could not be built.
    #[error("`go build` of the control plane failed: {0}")]
    Build(String),
    /// A program ended.
    #[error("{} ended at once; its log ends: {log}", .program.name())]
    Ended {
        /// The program.
        program: Component,
        /// The end of its log.
        log: String,
    },
    /// It did not answer.
    #[error("{what} did not come within {} s; the API server's log ends: {log}", .waited.as_secs())]
    TooLate {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        waited: Duration,
        /// The end of a log.
        log: String,
    },
    /// A file or a process.
    #[error("{what}")]
    Io {
        /// What was done.
        what: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Keys and certificates.
    #[error("keys could not be made")]
    Keys(#[from] rcgen::Error),
    /// What was asked of the API server, or how.
    #[error("{0}")]
    Client(String),
}

impl PlaneError {
    pub(crate) fn client(error: impl std::fmt::Display) -> Self {
        Self::Client(error.to_string())
    }

    /// What was done, for an error of input or output.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what: format!("{what}: {source}"), source }
    }
}
