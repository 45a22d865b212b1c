//! What the client with a pool of hyper-util needs.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use curium::kernel::{GroupRef, TaskCancelled};
use curium::net::TcpStream;
use hyper::Uri;
use hyper::body::Body;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::executor::GroupExecutor;
use crate::local::{Local, local};
use crate::timer::KernelTimer;

/// A client of HTTP/1 with a pool of connections: hyper-util's, whose tasks belong to `group`.
///
/// Connections are daemons of the group: those that are idle do not keep it open, and all of them
/// end with it. hyper-util closes an idle one after 90 seconds. For other settings build the client
/// with [`Connector`], [`GroupExecutor`] and [`KernelTimer`].
///
/// A request is a future of another crate: put [`cancellable`](curium::cancellable) around it, and
/// around each wait for the body of the answer. The connection of a request that is dropped is
/// closed.
///
/// ```
/// use curium::cancellable;
/// use curium::net::TcpListener;
/// use curium::prelude::*;
/// use http_body_util::{BodyExt, Empty};
/// use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
///
/// # async fn hello(_: Request<Incoming>) -> std::io::Result<Response<String>> {
/// #     Ok(Response::new("hello".to_owned()))
/// # }
/// async fn get(uri: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
///     TaskGroup::scope(async |group| {
///         let client = curium_hyper::client::<Empty<Bytes>, _>(group);
///         let answer = cancellable(client.get(uri.parse()?)).await??;
///         let body = cancellable(answer.into_body().collect()).await??.to_bytes();
///         Ok(String::from_utf8_lossy(&body).into_owned())
///     })
///     .await
/// }
/// # curium::run(async || {
/// #     let listener = TcpListener::bind("127.0.0.1:0").await?;
/// #     let uri = format!("http://{}/", listener.local_addr()?);
/// #     let server = spawn(curium_hyper::serve(listener, service_fn(hello)));
/// #     assert_eq!(get(&uri).await?, "hello");
/// #     server.cancel().await?;
/// #     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap();
/// ```
pub fn client<B, E>(group: GroupRef<E>) -> Client<Connector<E>, B>
where
    B: Body + Send,
    B::Data: Send,
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    let mut builder = Client::builder(GroupExecutor::new(group));
    builder.timer(KernelTimer).pool_timer(KernelTimer).build(Connector::new(group))
}

/// Connects over TCP, for the client of hyper-util. Connecting is a daemon of a group: it is
/// cancelled with the group, and if the client no longer needs it.
///
/// It knows no TLS: an address with `https` is an error.
pub struct Connector<E>(GroupRef<E>);

impl<E> Connector<E> {
    /// A connector whose daemons are of `group`.
    pub fn new(group: GroupRef<E>) -> Self {
        Connector(group)
    }
}

impl<E> Clone for Connector<E> {
    fn clone(&self) -> Self {
        Connector(self.0)
    }
}

impl<E> fmt::Debug for Connector<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

async fn connect(uri: Uri) -> io::Result<TcpStream> {
    let refuse = |text| Err(io::Error::new(ErrorKind::InvalidInput, format!("{uri}: {text}")));
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return refuse("the connector knows http only");
    }
    let Some(host) = uri.host() else { return refuse("there is no host") };
    // An IPv6 address is in brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl<E> Service<Uri> for Connector<E>
where
    E: From<TaskCancelled> + fmt::Debug + 'static,
{
    type Response = ClientStream;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        Connecting(local(self.0, connect(uri)))
    }
}

/// The future of [`Connector`].
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Connecting(Local<io::Result<TcpStream>>);

impl Future for Connecting {
    type Output = io::Result<ClientStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(cx);
        polled.map(|ended| Ok(ClientStream(ended.map_err(io::Error::other)??)))
    }
}

/// A connection of [`Connector`].
#[derive(Debug)]
pub struct ClientStream(TcpStream);

impl Connection for ClientStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Read::poll_read(Pin::new(&mut self.0), cx, buf)
    }
}

impl Write for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write(Pin::new(&mut self.0), cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write_vectored(Pin::new(&mut self.0), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}
