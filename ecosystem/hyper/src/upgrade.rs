//! Upgrades: the stream of a connection that speaks another protocol from now on.

use curium::kernel::cancellable;
use curium::net::TcpStream;
use hyper::body::Bytes;
use hyper::rt::{Read, Write};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::server::conn::auto::upgrade;

use crate::first_bytes::FirstBytes;

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Waits until the answer with the status 101 is sent, and gives the stream of the connection: for
/// a server that [`serve`](crate::serve()) runs, over HTTP/1.
///
/// The handler calls [`hyper::upgrade::on`] and spawns the rest of the conversation, in a group
/// around the server, because it begins when the handler has ended:
///
/// ```
/// use std::io;
/// use curium::kernel::GroupRef;
/// use curium_hyper::upgraded;
/// use hyper::{Request, Response, StatusCode, body::Incoming, header::UPGRADE};
///
/// fn shout(group: GroupRef<io::Error>, mut request: Request<Incoming>) -> Response<String> {
///     let upgrade = hyper::upgrade::on(&mut request);
///     group.spawn_daemon(async move {
///         let (stream, early) = upgraded(upgrade).await.map_err(io::Error::other)?;
///         stream.write_all(&early.to_ascii_uppercase()).await.map_err(io::Error::from)
///     });
///     let mut answer = Response::new(String::new());
///     *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
///     answer.headers_mut().insert(UPGRADE, "shout".parse().expect("a name"));
///     answer
/// }
/// ```
///
/// Beside the stream it gives the bytes that the client has sent early.
///
/// # Errors
///
/// The answer was another one, the client is gone, or it is no connection over HTTP/1 and TCP. The
/// cancellation.
///
/// # Cancellation
///
/// The stream is dropped.
pub async fn upgraded(upgrade: OnUpgrade) -> Result<(TcpStream, Bytes), Anything> {
    let upgraded = cancellable(upgrade).await??;
    parts(upgraded).map_err(|_| "the connection is none of HTTP/1 over TCP".into())
}

/// The stream of a connection over any kind of stream.
fn parts<I>(upgraded: Upgraded) -> Result<(I, Bytes), Upgraded>
where
    I: Read + Write + Unpin + 'static,
{
    let parts = upgrade::downcast::<FirstBytes<I>>(upgraded)?;
    Ok((parts.io.io, parts.read_buf))
}
