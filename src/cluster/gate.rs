//! What every request to the API server passes: the gate that only the leader's writes go through, and the client-side rate limit.
//!
//! The gate is in the client, not in those who use it, so that no way to write goes around it.
//!
//! **Invariant:** once a gate is closed, or its time is over, no write that has not gone out yet goes out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kube::client::Body;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use crate::error::ClusterError;
use crate::shared::Shared;

/// Whether writes may go out, and until when.
#[derive(Debug, Clone)]
pub struct Gate(Shared<Opening>);

#[derive(Debug, Clone, Copy)]
enum Opening {
    /// Nobody else may act.
    Always,
    /// Nobody else acts before this.
    Until(Instant),
    Closed,
}

impl Gate {
    /// Open for good: there is no election.
    pub fn always() -> Self {
        Self(Shared::new(Opening::Always))
    }

    /// Closed until it is opened.
    pub fn closed() -> Self {
        Self(Shared::new(Opening::Closed))
    }

    /// Opens it until a moment.
    pub(crate) fn open_until(&self, until: Instant) {
        *self.0.lock() = Opening::Until(until);
    }

    /// Closes it.
    pub fn close(&self) {
        *self.0.lock() = Opening::Closed;
    }

    /// Whether writes may go out now.
    pub fn is_open(&self) -> bool {
        match *self.0.lock() {
            Opening::Always => true,
            Opening::Until(until) => Instant::now() < until,
            Opening::Closed => false,
        }
    }
}

/// A write that was held back.
#[derive(Debug, thiserror::Error)]
#[error("the lease is not held, and only its holder writes")]
pub struct NotLeader;

/// How many requests a second go out, and how many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// In the long run; none or less for no limit.
    pub qps: f64,
    /// At once.
    pub burst: f64,
}

impl Rate {
    /// As many as there are.
    pub const UNLIMITED: Self = Self { qps: 0.0, burst: 0.0 };
}

impl Default for Rate {
    /// Karpenter's.
    fn default() -> Self {
        Self { qps: 200.0, burst: 300.0 }
    }
}

/// Requests that may go out, as a bucket that fills with time.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst.max(1.0), at: now }
    }

    /// Takes one, and says how long to wait for it.
    fn take(&mut self, now: Instant) -> Duration {
        if self.rate.qps <= 0.0 {
            return Duration::ZERO;
        }
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + since * self.rate.qps).min(self.rate.burst.max(1.0)) - 1.0;
        match self.left < 0.0 {
            true => Duration::from_secs_f64(-self.left / self.rate.qps),
            false => Duration::ZERO,
        }
    }
}

/// A client whose writes pass a gate, and which keeps to a rate.
///
/// # Errors
/// If the configuration is not one that a client can be made of.
pub fn client(config: Config, gate: &Gate, rate: Rate) -> Result<Client, ClusterError> {
    let builder = ClientBuilder::try_from(config).map_err(ClusterError::api("making a client"))?;
    let bucket = Shared::new(Bucket::new(rate, Instant::now()));
    Ok(builder.with_layer(&Passing { gate: gate.clone(), bucket }).build())
}

#[derive(Clone)]
struct Passing {
    gate: Gate,
    bucket: Shared<Bucket>,
}

impl<S> Layer<S> for Passing {
    type Service = Passed<S>;

    fn layer(&self, inner: S) -> Passed<S> {
        Passed { by: self.clone(), inner }
    }
}

struct Passed<S> {
    by: Passing,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Passed<S>
where
    S: Service<http::Request<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let pause = self.by.bucket.lock().take(Instant::now());
        let gate = (!is_read(request.method())).then(|| self.by.gate.clone());
        // Nothing is sent before it is awaited.
        let sent = self.inner.call(request);
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if gate.is_some_and(|gate| !gate.is_open()) {
                return Err(NotLeader.into());
            }
            sent.await.map_err(Into::into)
        })
    }
}

fn is_read(method: &http::Method) -> bool {
    matches!(*method, http::Method::GET | http::Method::HEAD | http::Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_burst_and_then_keeps_to_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { qps: 10.0, burst: 3.0 }, start);
        let waits: Vec<u128> = (0..5).map(|_| bucket.take(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert_eq!(bucket.take(start + Duration::from_secs(60)), Duration::ZERO);
        let mut none = Bucket::new(Rate { qps: 0.0, burst: 0.0 }, start);
        assert!((0..100).all(|_| none.take(start).is_zero()));
    }

    #[test]
    fn a_gate_is_open_for_its_time_only() {
        let gate = Gate::closed();
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + Duration::from_secs(60));
        assert!(gate.is_open() && gate.clone().is_open());
        gate.open_until(Instant::now());
        assert!(!gate.is_open());
        gate.open_until(Instant::now() + Duration::from_secs(60));
        gate.close();
        assert!(!gate.is_open());
        assert!(Gate::always().is_open());
    }
}
