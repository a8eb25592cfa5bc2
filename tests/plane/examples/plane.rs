//! A control plane to try things on, without a container runtime: `cargo run -p purser-plane --example plane`.
//!
//! It has the custom resources installed, says where its kubeconfig is, and runs until it is interrupted.
#![allow(clippy::print_stdout, reason = "that is how it says so")]

use std::error::Error;

use purser_plane::Plane;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut plane = Plane::start().await?;
    plane.install(purser_api::crd::definitions().into_iter().map(|definition| definition.object)).await?;
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
