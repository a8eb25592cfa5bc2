//! What is served: /metrics on one port, /healthz and /readyz on another.
//!
//! **Invariant:** whoever asks waits for the controller for a moment at most, and the controller for nobody.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use purser_cluster::Outbox;
use purser_engine::state::State;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::clock::{Stopwatch, WallClock};
use super::metrics::Metrics;
use crate::runtime::{Clock, Look, Message};

/// How long whoever asks waits for the controller.
const PATIENCE: Duration = Duration::from_secs(1);

/// A controller that has not answered for so long does not answer any more.
const STUCK: Duration = Duration::from_secs(60);

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is known of the cluster yet.
    Starting,
    /// Another replica leads, and this one waits.
    Waiting,
    /// It leads, and its controller runs.
    Leading,
    /// It ends.
    Ending,
}

/// What those who ask are told from.
pub(super) struct Desk {
    clock: WallClock,
    metrics: Arc<Metrics>,
    outbox: Outbox,
    inner: Mutex<Inner>,
}

struct Inner {
    stage: Stage,
    controller: Option<mpsc::Sender<Message>>,
    /// Since when the controller has not answered.
    silent: Option<Stopwatch>,
    stalled: bool,
}

impl Desk {
    pub(super) fn new(clock: WallClock, metrics: Arc<Metrics>, outbox: Outbox) -> Self {
        let inner = Inner { stage: Stage::Starting, controller: None, silent: None, stalled: false };
        Self { clock, metrics, outbox, inner: Mutex::new(inner) }
    }

    pub(super) fn stage(&self, stage: Stage) {
        self.inner().stage = stage;
    }

    pub(super) fn controller(&self, controller: mpsc::Sender<Message>) {
        let mut inner = self.inner();
        inner.controller = Some(controller);
        inner.stage = Stage::Leading;
    }

    /// Whether the journal has no space.
    pub(super) fn stalled(&self, stalled: bool) {
        self.inner().stalled = stalled;
    }

    /// Lets go of the controller, so that it is not kept waiting for questions.
    pub(super) fn ends(&self) {
        let mut inner = self.inner();
        inner.controller = None;
        inner.stage = Stage::Ending;
    }

    async fn scrape(&self) -> String {
        let (metrics, clock) = (Arc::clone(&self.metrics), self.clock.clone());
        // Without an answer the gauges are those of the last time.
        self.ask(move |state| metrics.look(state, clock.now())).await;
        let (sent, dropped) = self.outbox.counts();
        self.metrics.told(sent, dropped);
        self.metrics.text()
    }

    async fn health(&self) -> Result<(), String> {
        if self.inner().controller.as_ref().is_some_and(mpsc::Sender::is_closed) {
            return Err("the controller has ended".to_owned());
        }
        self.ask(|_| ()).await;
        match self.inner().silent.map(|since| since.elapsed()) {
            Some(silent) if silent >= STUCK => {
                Err(format!("the controller has not answered for {} s", silent.as_secs()))
            }
            _ => Ok(()),
        }
    }

    fn readiness(&self) -> Result<(), String> {
        let inner = self.inner();
        match inner.stage {
            Stage::Waiting => Ok(()),
            Stage::Leading if inner.stalled => Err("the journal has no space".to_owned()),
            Stage::Leading => Ok(()),
            Stage::Starting => Err("the cluster is not listed yet".to_owned()),
            Stage::Ending => Err("it is ending".to_owned()),
        }
    }

    /// Has the controller look, and remembers whether it did.
    async fn ask(&self, look: impl FnOnce(&State) + Send + 'static) {
        let Some(controller) = self.inner().controller.clone() else { return };
        let (done, answer) = oneshot::channel();
        let look = Look::new(move |state| {
            look(state);
            let _ = done.send(());
        });
        let asked = async {
            controller.send(Message::Look(look)).await.ok()?;
            answer.await.ok()
        };
        let answered = matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Some(())));
        let mut inner = self.inner();
        match answered {
            true => inner.silent = None,
            false => inner.silent = inner.silent.or_else(|| Some(Stopwatch::start())),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a port, unless it is 0; `flag` is what set it.
pub(super) async fn listen(port: u16, flag: &str) -> anyhow::Result<Option<TcpListener>> {
    if port == 0 {
        return Ok(None);
    }
    // Where there is no IPv6, there is IPv4.
    let listener = match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await,
    };
    let listener = listener
        .with_context(|| format!("{flag} {port}: the port cannot be opened: give another, or 0 for none"))?;
    Ok(Some(listener))
}

/// Answers for as long as it is awaited.
pub(super) async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection could not be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&desk)));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET".to_owned()));
    }
    let said = |said: Result<(), String>| match said {
        Ok(()) => text(StatusCode::OK, "ok".to_owned()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
    };
    Ok(match request.uri().path() {
        "/metrics" => text(StatusCode::OK, desk.scrape().await),
        "/healthz" => said(desk.health().await),
        "/readyz" => said(desk.readiness()),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz".to_owned()),
    })
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(prometheus::TEXT_FORMAT);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}
