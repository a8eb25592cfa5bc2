//! An API server that is reached through a server which fails at random: refusals, answers that are late or lost, watches that break.
//!
//! **Invariant:** what is passed on is passed on unchanged; a request that is refused here never reaches the API server, and one
//! whose answer is lost has reached it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::churn::Chance;
use super::*;

type Outgoing = StreamBody<std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Cut>> + Send>>>;

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// A server that fails, in front of an API server.
pub(super) struct Faults {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    client: Client,
    chance: Mutex<Chance>,
    strikes: AtomicBool,
    struck: AtomicUsize,
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Faults {
    /// Stands in front of the API server of a client.
    pub(super) async fn before(client: Client, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let chance = Mutex::new(Chance(seed));
        let inner =
            Arc::new(Inner { client, chance, strikes: AtomicBool::new(false), struck: AtomicUsize::new(0) });
        let shared = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&shared);
                let service = service_fn(move |request| Arc::clone(&inner).answer(request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // One that is cut ends with an error.
                tokio::spawn(async move { drop(serving.await) });
            }
        });
        Self { port, inner, task }
    }

    /// The path of a kubeconfig with this server, in a folder.
    pub(super) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig-of-faults");
        let server = format!("http://127.0.0.1:{}", self.port);
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]});
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Whether it fails from now on.
    pub(super) fn strike(&self, strikes: bool) {
        self.inner.strikes.store(strikes, Ordering::SeqCst);
    }

    /// How often it has failed.
    pub(super) fn struck(&self) -> usize {
        self.inner.struck.load(Ordering::SeqCst)
    }
}

/// What is done to a request.
enum Fault {
    Refused(u16),
    Late(Duration),
    /// Done, and nobody hears of it.
    Lost,
    /// A watch that breaks after a while.
    Broken(Duration),
    /// A watch whose past is gone after a while.
    Expired(Duration),
}

impl Inner {
    fn draw(&self, request: &Request<Incoming>) -> Option<Fault> {
        if !self.strikes.load(Ordering::SeqCst) {
            return None;
        }
        let mut chance = self.chance.lock().unwrap();
        let dice = chance.below(100);
        let pause = Duration::from_millis(50 + chance.below(3_000));
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
        let fault = match (request.method(), dice) {
            (&Method::GET, 0..40) if is_watch => Fault::Broken(pause),
            (&Method::GET, 40..60) if is_watch => Fault::Expired(pause),
            (&Method::GET, 60..64) => Fault::Refused(410),
            (&Method::GET, 64..68) => Fault::Refused(429),
            (&Method::GET, 68..72) => Fault::Refused(500),
            (&Method::GET, 72..76) => Fault::Late(pause),
            (&Method::GET, 76..80) => Fault::Lost,
            (&Method::PUT | &Method::PATCH, 0..6) => Fault::Refused(409),
            (&Method::POST | &Method::PUT | &Method::PATCH | &Method::DELETE, 6..32) => match dice {
                6..12 => Fault::Refused(429),
                12..16 => Fault::Refused(500),
                16..18 => Fault::Refused(503),
                18..25 => Fault::Late(pause),
                _ => Fault::Lost,
            },
            _ => return None,
        };
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Outgoing>, Cut> {
        let fault = self.draw(&request);
        match &fault {
            Some(Fault::Refused(code)) => return Ok(refusal(*code)),
            Some(Fault::Late(pause)) => tokio::time::sleep(*pause).await,
            _ => {}
        }
        let answer = self.pass_on(request).await?;
        let (parts, body) = answer.into_parts();
        let frames = TryStreamExt::map_err(BodyStream::new(body), |_| Cut);
        let frames: Outgoing = StreamBody::new(match fault {
            Some(Fault::Lost) => return Err(Cut),
            Some(Fault::Broken(pause)) => {
                let cut = stream::once(async { Err(Cut) });
                Box::pin(frames.take_until(tokio::time::sleep(pause)).chain(cut))
            }
            Some(Fault::Expired(pause)) => {
                let line = format!("{}\n", json!({"type": "ERROR", "object": status(410)}));
                let gone = stream::once(async { Ok(Frame::data(Bytes::from(line))) });
                Box::pin(frames.take_until(tokio::time::sleep(pause)).chain(gone))
            }
            _ => Box::pin(frames),
        });
        let mut answer = Response::new(frames);
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = parts.headers;
        for own in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
            answer.headers_mut().remove(own);
        }
        Ok(answer)
    }

    async fn pass_on(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (mut parts, body) = request.into_parts();
        for own in [HOST, AUTHORIZATION, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH] {
            parts.headers.remove(own);
        }
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        self.client.send(Request::from_parts(parts, Body::from(body))).await.map_err(|_| Cut)
    }
}

fn status(code: u16) -> Value {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{code} of the churn"), "reason": reason, "code": code})
}

fn refusal(code: u16) -> Response<Outgoing> {
    let text = Bytes::from(status(code).to_string());
    let body = stream::once(async { Ok::<_, Infallible>(Frame::data(text)) }).map_err(|_| Cut);
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    if code == 429 {
        answer = answer.header("retry-after", "1");
    }
    answer.body(StreamBody::new(Box::pin(body) as _)).unwrap()
}
