//! Streams used through the traits of tokio and of hyper.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use curium::io::{AsyncRead, AsyncWrite};
use hyper::rt as hyper;
use tokio::io as tokio;

/// A stream of tokio's traits, as one of `futures-io`.
pub(crate) struct ThroughTokio<S>(pub(crate) S);

/// A stream of hyper's traits, as one of `futures-io`.
pub(crate) struct ThroughHyper<S>(pub(crate) S);

impl<S: tokio::AsyncRead + Unpin> AsyncRead for ThroughTokio<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = tokio::ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }
}

impl<S: hyper::Read + Unpin> AsyncRead for ThroughHyper<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut room = hyper::ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, room.unfilled()))?;
        Poll::Ready(Ok(room.filled().len()))
    }
}

macro_rules! writes {
    ($name:ident, $trait:path) => {
        impl<S: $trait + Unpin> AsyncWrite for $name<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}

writes!(ThroughTokio, tokio::AsyncWrite);
writes!(ThroughHyper, hyper::Write);
