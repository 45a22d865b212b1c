//! The poll functions of a connection and of its halves, for the traits of `futures-io`, and those
//! of a UDP socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::io::{AsyncRead, AsyncWrite, Direction, Registration, ToRead, ToWrite, leaves};

use crate::halves::{ReadHalf, WriteHalf};
use crate::origin::either;
use crate::owned::{OwnedReadHalf, OwnedWriteHalf};
use crate::stream::TcpStream;
use crate::udp::{Received, UdpSocket, receive};
#[cfg(all(unix, feature = "unix-sockets"))]
use crate::unix::UnixStream;
use crate::wire::{self, Stream, Wire};

fn poll_read_by<W: Wire>(
    on: &Registration<W>,
    cx: &mut Context<'_>,
    room: usize,
    mut read: impl FnMut(&W) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    leaves::poll_unless_empty(on, ToRead, cx, room == 0, |socket| {
        let n = read(socket)?;
        if W::SHORT_READ_DRAINS && n > 0 && n < room {
            on.drained(Direction::Read);
        }
        Ok(n)
    })
}

fn poll_write_by<W: Wire>(
    on: &Registration<W>,
    cx: &mut Context<'_>,
    is_empty: bool,
    mut write: impl FnMut(&W) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    leaves::poll_unless_empty(on, ToWrite, cx, is_empty, |socket| write(socket))
}

/// The functions of `AsyncRead`, for a type that leads to a stream.
macro_rules! reads {
    ([$($of:tt)*] $type:ty, $stream:ident => $to:expr) => {
        impl<$($of)*> AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                poll_read_by($to.registration(), cx, buf.len(), |socket| socket.read(buf))
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                let room = bufs.iter().map(|buf| buf.len()).sum();
                poll_read_by($to.registration(), cx, room, |socket| socket.read_vectored(bufs))
            }
        }

        ::io::other_traits!(
            read_by [$($of)*] $type, $stream => $to.registration(), poll_read_by, Wire::read
        );
    };
}

/// The functions of `AsyncWrite`, for a type that leads to a stream.
macro_rules! writes {
    ([$($of:tt)*] $type:ty, $stream:ident => $to:expr) => {
        impl<$($of)*> AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                poll_write_by($to.registration(), cx, buf.is_empty(), |socket| socket.write(buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $stream = &*self;
                let is_empty = bufs.iter().all(|buf| buf.is_empty());
                let write = |socket: &_| Wire::write_vectored(socket, bufs);
                poll_write_by($to.registration(), cx, is_empty, write)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Shuts the writing direction down.
            fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $stream = &*self;
                Poll::Ready(wire::shutdown($to.registration(), Shutdown::Write))
            }
        }

        ::io::other_traits!(write [$($of)*] $type, true);
    };
}

reads!([] TcpStream, stream => stream);
writes!([] TcpStream, stream => stream);
#[cfg(all(unix, feature = "unix-sockets"))]
reads!([] UnixStream, stream => stream);
#[cfg(all(unix, feature = "unix-sockets"))]
writes!([] UnixStream, stream => stream);
reads!([S: Stream] ReadHalf<'_, S>, half => half.0);
reads!([S: Stream] OwnedReadHalf<S>, half => half.0);
writes!([S: Stream] OwnedWriteHalf<S>, half => half.stream);
writes!([S: Stream] WriteHalf<'_, S>, half => half.0);

impl UdpSocket {
    /// [`recv_from`](UdpSocket::recv_from) for a poll function of another crate's trait, with the
    /// rules of [`Registration::poll_io`](kernel::io::Registration::poll_io): it is no leaf and
    /// never returns a cancellation, and of several polls the last one is woken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from), but for a cancellation.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(Received, SocketAddr)>> {
        self.registration.poll_io(ToRead, cx, |socket| {
            receive(buf, |buf| either!(socket, socket => socket.recv_from(buf)))
        })
    }

    /// [`send_to`](UdpSocket::send_to) for a poll function, with the rules and the panic of
    /// [`poll_recv_from`](UdpSocket::poll_recv_from).
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to), but for a cancellation.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        self.registration.poll_io(ToWrite, cx, |socket| {
            either!(socket, socket => socket.send_to(datagram, to)).map(drop)
        })
    }
}
