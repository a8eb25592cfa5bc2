//! A real Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
//!
//! Start with [`Plane::start`]. Each plane has ports, keys and data of its own, so tests run side by side. The programs
//! are those in the folder that `KUBEBUILDER_ASSETS` names, or are built once with Go (`controlplane/`) and kept in the
//! user's cache folder. There are no kubelets: nodes and their pods are what a test makes of them.
//!
//! **Invariant:** nothing outlives the process that started it, however it ended: neither programs nor files.

mod binaries;
mod error;
mod guard;
mod pki;
mod plane;

pub use binaries::{Binaries, Component};
pub use error::PlaneError;
pub use plane::{Plane, Snapshot};
