//! The traits of `futures-io`. A poll is no cancellation point: the leaves of `io` over these
//! traits are.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::io::{AsyncRead, AsyncSeek, AsyncWrite};
use kernel::io::poll_counted;

use super::File;

impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let file = self.get_mut();
        poll_counted(cx, |cx| {
            let polled = file.poll_read_into(cx, buf);
            if polled.is_ready() || !file.needs_read() {
                return polled;
            }
            file.start_read(buf.len());
            file.poll_read_into(cx, buf)
        })
    }
}

impl AsyncWrite for File {
    /// Ready when the bytes were given to a thread, which writes them in any case.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let file = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(file.poll_written(cx))?;
        Poll::Ready(file.start_write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(cx)
    }

    /// The same as a flush. The descriptor is closed when the file is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_written(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        poll_counted(cx, |cx| self.get_mut().poll_seek_to(cx, to))
    }
}

::io::other_traits!(read [] File);
::io::other_traits!(write [] File, false);
