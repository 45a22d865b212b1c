//! Servers, and one connection of them.

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use curium::kernel::{TaskCancelled, TaskGroup, WaitPolicy, cancellable_inside, shield};
use curium::net::{Serve, TcpListener, TcpStream, stopping_and_test};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::server::conn::auto;

use crate::executor::GroupExecutor;
use crate::first_bytes::FirstBytes;
use crate::quiet::is_of_client;
use crate::timer::{ConnectionTimer, KernelTimer};

/// The error of a service, of a body, and of a connection.
pub(crate) type Anything = Box<dyn Error + Send + Sync>;

/// The settings of a connection: hyper-util's, with the executor of its group.
pub type Builder = auto::Builder<GroupExecutor<Anything>>;

/// Serves HTTP/1 and HTTP/2, whichever the client begins with, until it is cancelled.
///
/// The [`Serve`] that it returns has settings: a limit of connections, the time for requests that
/// are in flight when it stops ([`drain`](Serve::drain)), and that for handlers once they are
/// cancelled ([`grace`](Serve::grace)).
///
/// The service is cloned for each connection. Neither it nor its futures need be `Send`, so
/// handlers use everything of Curium. Each connection is a task; so is each request over HTTP/2, as
/// a daemon of a group that ends with its connection. When the client of a request is gone, hyper
/// drops the future of the handler; what must clean up then is put into [`local`](crate::local()).
///
/// An upgrade takes the stream out of the server, which then no longer waits for it; see
/// [`upgraded`](crate::upgraded()).
///
/// A client has 30 seconds to show which protocol it speaks, and over HTTP/1 as long for the head
/// of each request, so that is also the longest pause between two requests. `header_read_timeout`
/// changes the latter; see [`serve_with`].
///
/// # Errors
///
/// Those of [`Serve`]. An error of a service or of a body ends its connection and is reported; over
/// HTTP/2 it ends its stream, which hyper does not report. That a client hangs up, is too slow or
/// breaks the protocol is not reported. A panic ends the connection, or the stream, and is
/// reported.
///
/// # Cancellation
///
/// The listener is closed. Connections without a request end, and those with one when it is
/// answered, which is the last on it: HTTP/1 says so in its header, HTTP/2 by a `GOAWAY`. When the
/// time to [`drain`](Serve::drain) is over, which is at once unless it is set, the handlers are
/// cancelled: code of Curium in them gets the error and cleans up. A handler that answers all the
/// same is heard over HTTP/1 only.
#[track_caller]
pub fn serve<S, B>(listener: TcpListener, service: S) -> Serve
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    S::Error: Into<Anything>,
    B: Body + 'static,
    B::Error: Into<Anything>,
{
    serve_with(listener, service, |_| ())
}

/// [`serve`] with settings of hyper, such as the greatest number of streams of a connection.
///
/// ```
/// # use curium::net::{Serve, TcpListener};
/// # use hyper::{Request, Response, body::Incoming, service::service_fn};
/// # fn server(listener: TcpListener) -> Serve {
/// # async fn hello(_: Request<Incoming>) -> std::io::Result<Response<String>> {
/// #     Ok(Response::new(String::new()))
/// # }
/// curium_hyper::serve_with(listener, service_fn(hello), |builder| {
///     builder.http1().header_read_timeout(std::time::Duration::from_secs(5));
///     builder.http2().max_concurrent_streams(16);
/// })
/// # }
/// ```
///
/// # Errors
///
/// Those of [`serve`].
///
/// # Cancellation
///
/// As [`serve`].
#[track_caller]
pub fn serve_with<S, B>(
    listener: TcpListener,
    service: S,
    set: impl Fn(&mut Builder) + 'static,
) -> Serve
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
    S::Future: 'static,
    S::Error: Into<Anything>,
    B: Body + 'static,
    B::Error: Into<Anything>,
{
    listener.serve(async move |stream: TcpStream, _peer| {
        // The answer is one write, and waits for no other.
        let _ = stream.set_nodelay(true);
        serve_connection(stream, service.clone(), &set).await
    })
}

/// Serves one connection, over any stream: one of TLS, a Unix socket. `set` changes the settings
/// of hyper; `|_| ()` leaves them.
///
/// In the handler of a server it also ends gracefully, as described at [`serve`], when that server
/// stops.
///
/// # Errors
///
/// An error of the service or of a body, or the cancellation. `Ok` if the client has caused the
/// end, in whatever way.
///
/// # Cancellation
///
/// Code of Curium in the handlers gets the error and cleans up. A connection that waits without
/// such code is dropped.
pub async fn serve_connection<I, S, B>(
    stream: I,
    service: S,
    set: impl Fn(&mut Builder),
) -> Result<(), Anything>
where
    I: Read + Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<Anything>,
    B: Body + 'static,
    B::Error: Into<Anything>,
{
    // The streams of HTTP/2 are its daemons. It is no `scope`, because each poll would then go
    // through that, and a connection of HTTP/1 spawns nothing.
    let group = TaskGroup::with(WaitPolicy::None);
    let mut builder = auto::Builder::new(GroupExecutor::new(group.by_ref()));
    builder.http1().timer(ConnectionTimer::new());
    builder.http2().timer(KernelTimer);
    set(&mut builder);
    let serving = builder.serve_connection_with_upgrades(FirstBytes::new(stream), service);
    let mut connection = pin!(serving);
    let ended = until_it_stops(|cx, stops| {
        if stops {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    let ended = ended.await;
    // Before the connection is dropped, because over HTTP/2 a stream drops its handler when the
    // connection is gone, and the handlers clean up first.
    let left = group.join().await;
    match ended? {
        Err(error) if !is_of_client(&*error) => Err(error),
        _ => left,
    }
}

/// Polls a connection to its end. `poll` is told once that the server stops.
async fn until_it_stops<T>(
    mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<T>,
) -> Result<T, TaskCancelled> {
    let stops = Cell::new(false);
    let mut served = pin!(cancellable_inside(poll_fn(|cx| poll(cx, stops.take()))));
    let (stopping, is_stopping) = stopping_and_test();
    // In a shield, because the cancellation is for the handlers. And outside `served`, which would
    // take it for code that cleans up.
    let mut stopping = pin!(shield(stopping));
    // Not set before the first poll, and once the server stops.
    let mut woken: Option<Waker> = None;
    let mut ended = false;
    poll_fn(|cx| {
        // Polled again only if another task is to be woken, or to end. A poll for each request
        // would cost too much.
        let waits = woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker()));
        if !ended && (!waits || is_stopping()) {
            ended = stopping.as_mut().poll(cx).is_ready();
            stops.set(ended);
            woken = Some(cx.waker().clone());
        }
        served.as_mut().poll(cx)
    })
    .await
}
