//! How does a TCP connection become a request, whatever the other end does?
//!
//! Our own accept loop: it ignores the peers' errors, pauses on ours, and never stops before it is told to. What is slow, silent or too large
//! is cut off by deadlines and limits before anybody is known.

use super::Remote;
use crate::shutdown::Tasks;
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;
use tracing::{debug, warn};

/// A request's head has to arrive within this, and an idle HTTP connection ends after it: enough for a phone on a bad network.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// The largest request head. A token of the largest size in the URL fits next to what browsers send.
const MAX_HEAD: usize = 16 * 1024;

/// TCP connections that are not (or not yet) WebSockets. When they are all taken, new ones wait in the kernel's queue until one ends,
/// which the deadlines see to.
const MAX_HTTP_CONNECTIONS: usize = 1024;

/// An HTTP connection that takes longer than this for all its requests is asked to end after the one in progress …
const HTTP_LIFETIME: Duration = Duration::from_secs(120);

/// … and has this long to do so: who reads an answer more slowly than that is not waiting for it.
const HTTP_LAST_WORDS: Duration = Duration::from_secs(60);

/// Out of file descriptors or memory: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes sent but not acknowledged for this long mean that the other end has gone. Milliseconds would do; people walk through tunnels.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Accepts until stopping begins. The listener is closed on return, so that nobody is kept waiting in its queue.
pub(crate) async fn accept_loop(listener: TcpListener, router: Router, tasks: Tasks) {
    let stopping = tasks.stopping();
    let free = Arc::new(Semaphore::new(MAX_HTTP_CONNECTIONS));
    let mut troubled = false;
    loop {
        // Cancel safety: an accepted socket is never held across the wait, and a permit goes back when it is dropped.
        let next = tokio::select! {
            () = stopping.cancelled() => return,
            next = accept(&listener, &free) => next,
        };
        match next {
            Ok((stream, remote, permit)) => {
                troubled = false;
                let router = router.clone();
                let stop = tasks.stopping();
                tasks.spawn(async move {
                    prepare(&stream);
                    serve(stream, remote, router, stop, permit).await;
                });
            }
            Err(error) if is_the_peers(&error) => {
                debug!(%error, "a connection ended before it began")
            }
            Err(error) => {
                if !std::mem::replace(&mut troubled, true) {
                    warn!(%error, "cannot accept connections now; trying again every {ACCEPT_PAUSE:?}");
                }
                crate::metrics::refusal("accept_failed");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Remote, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, remote) = listener.accept().await?;
    Ok((stream, Remote(remote), permit))
}

/// Errors of one incoming connection, which say nothing about the next.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Small frames leave at once, and a peer that has vanished is noticed.
fn prepare(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)));
    if let Err(error) = set {
        debug!(%error, "socket options could not be set");
    }
}

async fn serve(
    stream: TcpStream,
    remote: Remote,
    router: Router,
    stop: tokio_util::sync::CancellationToken,
    permit: OwnedSemaphorePermit,
) {
    let service =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(remote);
            router.clone().oneshot(request)
        });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // Cancel safety: the connection is polled again after either of the other two.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(HTTP_LIFETIME) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(HTTP_LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, remote = %remote.0, "an HTTP connection failed");
    }
    drop(permit);
}
