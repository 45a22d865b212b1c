//! The poll functions of the pipes of a child, for the traits of `futures-io`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::io::{AsyncRead, AsyncWrite, ToRead, ToWrite, leaves};

use super::pipe::{ChildStderr, ChildStdin, ChildStdout};

macro_rules! reads {
    ($($name:ident)*) => {$(
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let is_empty = buf.is_empty();
                leaves::poll_unless_empty(&self.0.0, ToRead, cx, is_empty, |mut pipe| {
                    pipe.read(buf)
                })
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let is_empty = bufs.iter().all(|buf| buf.is_empty());
                leaves::poll_unless_empty(&self.0.0, ToRead, cx, is_empty, |mut pipe| {
                    pipe.read_vectored(bufs)
                })
            }
        }

        ::io::other_traits!(read [] $name);
    )*};
}

reads!(ChildStdout ChildStderr);

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        leaves::poll_unless_empty(&self.0, ToWrite, cx, buf.is_empty(), |mut pipe| pipe.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = bufs.iter().all(|buf| buf.is_empty());
        leaves::poll_unless_empty(&self.0, ToWrite, cx, is_empty, |mut pipe| {
            pipe.write_vectored(bufs)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes the pipe: the child reads the end of its input.
    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

::io::other_traits!(write [] ChildStdin, true);
