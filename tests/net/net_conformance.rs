//! The suite for streams of every kind, over connections.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use curium::io::{AsyncRead, AsyncWrite};
use curium::net::TcpStream;
#[cfg(unix)]
use curium::net::UnixStream;

use crate::conformance::{
    Kind, ThroughHyper, ThroughTokio, both_ways, conform, one_way, plain_both_ways,
};
use crate::support::connections;

/// I1, I2, N1, N7: a connection over TCP passes the suite.
#[test]
fn a_tcp_connection_conforms() {
    conform(both_ways(connections::ours));
}

/// I1, I2, N1, N7: so does one over a Unix socket.
#[cfg(unix)]
#[test]
fn a_unix_connection_conforms() {
    conform(both_ways(async || UnixStream::pair()));
}

/// I1, I2, V3: so does one over the simulated network.
#[test]
fn a_simulated_connection_conforms() {
    conform(both_ways(connections::ours).into_iter().map(Kind::simulated));
}

/// A connection that is used through its halves only.
macro_rules! halves {
    ($name:ident, $half:expr) => {
        struct $name(TcpStream);

        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut $half(self.0.split().0)).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut $half(self.0.split().0)).poll_read_vectored(cx, bufs)
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut $half(self.0.split().1)).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut $half(self.0.split().1)).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut $half(self.0.split().1)).poll_flush(cx)
            }

            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut $half(self.0.split().1)).poll_close(cx)
            }
        }
    };
}

halves!(Halves, std::convert::identity);
halves!(HalvesThroughTokio, ThroughTokio);
halves!(HalvesThroughHyper, ThroughHyper);

/// I1, I2: so do the halves of a connection.
#[test]
fn the_halves_of_a_connection_conform() {
    conform([
        plain_both_ways(async || connections::ours().await.map(|(a, b)| (Halves(a), Halves(b)))),
        plain_both_ways(async || {
            let (a, b) = connections::ours().await?;
            Ok((HalvesThroughTokio(a), HalvesThroughTokio(b)))
        }),
        plain_both_ways(async || {
            let (a, b) = connections::ours().await?;
            Ok((HalvesThroughHyper(a), HalvesThroughHyper(b)))
        }),
    ]);
}

/// I1, I2, N11: so do the halves that own it.
#[test]
fn the_owned_halves_of_a_connection_conform() {
    conform(one_way(async || {
        let (a, b) = connections::ours().await?;
        Ok((a.into_split().1, b.into_split().0))
    }));
}
