//! The beginning of a connection.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll, ready};

use ::io::{AsyncRead, AsyncWrite};
use kernel::CancelPoint;
use rustls::{Connection, ProtocolVersion};

use crate::tls::TlsStream;

/// A leaf that gives the stream when both sides have agreed.
///
/// # Cancellation
///
/// The stream is dropped.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: TlsStream<S>,
    site: &'static Location<'static>,
) -> io::Result<TlsStream<S>> {
    let mut point = CancelPoint::at("TLS_HANDSHAKE", site);
    poll_fn(|cx| {
        let polled = ready!(point.poll(cx, |cx| poll_handshake(&mut stream, cx)));
        Poll::Ready(polled.unwrap_or_else(|cancelled| Err(cancelled.into())))
    })
    .await?;
    Ok(stream)
}

fn poll_handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut TlsStream<S>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while stream.session().is_handshaking() {
        let sent = stream.poll_send(cx)?;
        if stream.session().wants_read() {
            if ready!(stream.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        } else {
            ready!(sent);
            // All is sent, and nothing more is to be read: the peer has said goodbye.
            if stream.session().is_handshaking() && !stream.session().wants_read() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
    let sent = stream.poll_send(cx);
    let session = stream.session();
    let is_server = matches!(session, Connection::Server(_));
    if is_server && session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        // What is left are tickets to resume the session. The client reads them with what comes
        // later, or has left.
        return Poll::Ready(Ok(()));
    }
    sent
}
