//! The sockets, with the traits of hickory.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use curium::net::{TcpStream, UdpSocket};
use futures::io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket};

use crate::time::KernelTime;

/// A socket of [`GroupProvider`](crate::GroupProvider) for questions over UDP.
#[derive(Debug)]
pub struct DnsSocket(
    /// hickory demands `Sync`. The lock is never contended in one kernel.
    Mutex<UdpSocket>,
);

impl DnsSocket {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        DnsSocket(Mutex::new(socket))
    }
}

impl DnsUdpSocket for DnsSocket {
    type Time = KernelTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.poll_recv_from(cx, buf).map_ok(|(received, from)| (received.len, from))
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.poll_send_to(cx, buf, target).map_ok(|()| buf.len())
    }
}

/// A connection of [`GroupProvider`](crate::GroupProvider) for questions over TCP.
#[derive(Debug)]
pub struct DnsStream(
    /// hickory demands `Sync`. It is used through `&mut` alone, and so never locked.
    Mutex<TcpStream>,
);

impl DnsStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        DnsStream(Mutex::new(stream))
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl DnsTcpStream for DnsStream {
    type Time = KernelTime;
}

impl AsyncRead for DnsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_read(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_read_vectored(cx, bufs)
    }
}

impl AsyncWrite for DnsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}
