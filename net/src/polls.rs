//! The poll functions of a connection and of its halves, for the traits of `futures-io`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::io::{AsyncRead, AsyncWrite, Direction, ToRead, ToWrite};

use crate::halves::{ReadHalf, WriteHalf};
use crate::stream::TcpStream;

impl TcpStream {
    fn poll_read_by(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        mut read: impl FnMut(&mio::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        self.registration.poll_io(ToRead, cx, |socket| {
            let n = read(socket)?;
            // As in `TcpStream::read`: a short read has drained the socket.
            if n > 0 && n < room {
                self.registration.drained(Direction::Read);
            }
            Ok(n)
        })
    }

    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut write: impl FnMut(&mio::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        self.registration.poll_io(ToWrite, cx, |socket| write(socket))
    }
}

/// The functions of `AsyncRead`, for a type that leads to a stream.
macro_rules! reads {
    ($type:ty, $stream:ident => $to:expr) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                $to.poll_read_by(cx, buf.len(), |mut socket| socket.read(buf))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                let room = bufs.iter().map(|buf| buf.len()).sum();
                $to.poll_read_by(cx, room, |mut socket| socket.read_vectored(bufs))
            }
        }
    };
}

/// The functions of `AsyncWrite`, for a type that leads to a stream.
macro_rules! writes {
    ($type:ty, $stream:ident => $to:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                $to.poll_write_by(cx, buf.len(), |mut socket| socket.write(buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                let len = bufs.iter().map(|buf| buf.len()).sum();
                $to.poll_write_by(cx, len, |mut socket| socket.write_vectored(bufs))
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Shuts the writing direction down.
            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = &*self;
                Poll::Ready($to.shutdown(Shutdown::Write))
            }
        }
    };
}

reads!(TcpStream, stream => stream);
writes!(TcpStream, stream => stream);
reads!(ReadHalf<'_>, half => half.0);
writes!(WriteHalf<'_>, half => half.0);
