//! An API server that is reached through a server which fails at random: refusals, answers that are late or lost, watches that break. Or one
//! whose clock is off.
//!
//! **Invariant:** what is passed on is passed on unchanged, but for the times that the API server's clock makes; a request that is refused here never reaches the API server, and one
//! whose answer is lost has reached it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::churn::Chance;
use super::*;

type Frames = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Cut>> + Send>>;
type Outgoing = StreamBody<Frames>;

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// A server in front of an API server, which fails or has another clock.
pub(super) struct Faults {
    port: u16,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    client: Client,
    /// By how much the API server's clock seems to be ahead.
    skew: SignedDuration,
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
    /// Stands in front of the API server of a client, whose clock seems to be ahead by so much.
    pub(super) async fn before(client: Client, seed: u64, skew: SignedDuration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let chance = Mutex::new(Chance(seed));
        let inner = Arc::new(Inner {
            client,
            skew,
            chance,
            strikes: AtomicBool::new(false),
            struck: AtomicUsize::new(0),
        });
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
        let frames = shifted(frames, self.skew);
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
        let body = shift(&body, -self.skew);
        self.client.send(Request::from_parts(parts, Body::from(body))).await.map_err(|_| Cut)
    }
}

/// The same, line by line, with the times of another clock.
fn shifted(
    frames: impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send + 'static,
    by: SignedDuration,
) -> Frames {
    if by.is_zero() {
        return Box::pin(frames);
    }
    let frames = frames.map(Some).chain(stream::once(async { None }));
    Box::pin(frames.scan(Vec::new(), move |rest: &mut Vec<u8>, frame| {
        let lines = match frame {
            Some(Ok(frame)) => {
                rest.extend(frame.into_data().unwrap_or_default());
                let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                Ok(rest.drain(..end).collect())
            }
            Some(Err(cut)) => Err(cut),
            None => Ok(std::mem::take(rest)),
        };
        std::future::ready(Some(lines.map(|lines: Vec<u8>| Frame::data(shift(&lines, by).into()))))
    }))
}

/// JSON with the times that the API server's clock makes, moved by so much.
fn shift(json: &[u8], by: SignedDuration) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let mut moved = String::with_capacity(text.len());
    let mut rest = &*text;
    const TIMES: [&str; 2] = [r#""creationTimestamp":""#, r#""deletionTimestamp":""#];
    while let Some(at) = TIMES.iter().filter_map(|key| Some(rest.find(key)? + key.len())).min() {
        let (before, after) = rest.split_at(at);
        let (time, after) = after.split_at(after.find('"').unwrap_or_default());
        let time: Timestamp = time.parse().unwrap_or_else(|_| panic!("{time} is no time"));
        moved.push_str(before);
        moved.push_str(&(time + by).to_string());
        rest = after;
    }
    moved.push_str(rest);
    moved.into_bytes()
}

#[test]
fn the_times_of_a_clock_are_moved_and_nothing_else() {
    let json = br#"{"creationTimestamp":"2026-01-01T00:00:00Z","startTime":"2026-01-01T00:00:00Z","deletionTimestamp":"2026-01-01T00:00:30Z"}"#;
    let ahead = shift(json, SignedDuration::from_mins(10));
    let text = String::from_utf8(ahead.clone()).unwrap();
    assert_eq!(
        text,
        r#"{"creationTimestamp":"2026-01-01T00:10:00Z","startTime":"2026-01-01T00:00:00Z","deletionTimestamp":"2026-01-01T00:10:30Z"}"#
    );
    assert_eq!(shift(&ahead, SignedDuration::from_mins(-10)), json);
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
