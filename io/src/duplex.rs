//! A connection in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use kernel::io::poll_counted;

/// Two ends that are connected in memory. In each direction there is room for `capacity` bytes that
/// were not read yet.
///
/// It is for tests, and for code that wants a stream where there is no connection.
///
/// # Panics
///
/// If `capacity` is 0.
#[track_caller]
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    assert!(capacity > 0, "a connection needs room for at least one byte");
    let pipe = || Rc::new(RefCell::new(Pipe { capacity, ..Pipe::default() }));
    let (there, back) = (pipe(), pipe());
    let ours = DuplexStream { reads: back.clone(), writes: there.clone() };
    (ours, DuplexStream { reads: there, writes: back })
}

/// One end of a [`duplex`] connection.
///
/// When an end is closed or dropped, the other one reads what is left, and then the end of the
/// stream. When it is dropped, a write of the other one is an error of the kind
/// [`io::ErrorKind::BrokenPipe`].
pub struct DuplexStream {
    reads: Rc<RefCell<Pipe>>,
    writes: Rc<RefCell<Pipe>>,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// No more is written.
    ended: bool,
    /// No more is read.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Stores the waker of `cx`. Drops the last one when the borrow has ended, as it runs other code.
fn wait(pipe: &RefCell<Pipe>, cx: &Context<'_>, waker: impl Fn(&mut Pipe) -> &mut Option<Waker>) {
    let kept = waker(&mut pipe.borrow_mut()).take();
    let waiting = kept.filter(|kept| kept.will_wake(cx.waker()));
    let waiting = waiting.unwrap_or_else(|| cx.waker().clone());
    *waker(&mut pipe.borrow_mut()) = Some(waiting);
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncRead for DuplexStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_counted(cx, |cx| self.read(cx, buf))
    }
}

impl AsyncWrite for DuplexStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_counted(cx, |cx| self.write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl DuplexStream {
    fn read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.reads.borrow_mut();
        if pipe.bytes.is_empty() && !pipe.ended && !buf.is_empty() {
            drop(pipe);
            wait(&self.reads, cx, |pipe| &mut pipe.reader);
            return Poll::Pending;
        }
        let read = io::Read::read(&mut pipe.bytes, buf)?;
        let writer = if read > 0 { pipe.writer.take() } else { None };
        drop(pipe);
        wake(writer);
        Poll::Ready(Ok(read))
    }

    fn write(&self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.writes.borrow_mut();
        if pipe.unread || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.capacity - pipe.bytes.len();
        if room == 0 && !buf.is_empty() {
            drop(pipe);
            wait(&self.writes, cx, |pipe| &mut pipe.writer);
            return Poll::Pending;
        }
        let written = room.min(buf.len());
        pipe.bytes.extend(&buf[..written]);
        let reader = if written > 0 { pipe.reader.take() } else { None };
        drop(pipe);
        wake(reader);
        Poll::Ready(Ok(written))
    }

    /// Writes no more.
    fn end(&self) {
        let reader = {
            let mut pipe = self.writes.borrow_mut();
            pipe.ended = true;
            pipe.reader.take()
        };
        wake(reader);
    }
}

crate::other_traits!(read [] DuplexStream);
crate::other_traits!(write [] DuplexStream, false);

impl Drop for DuplexStream {
    fn drop(&mut self) {
        self.end();
        let (writer, reader) = {
            let mut pipe = self.reads.borrow_mut();
            pipe.unread = true;
            (pipe.writer.take(), pipe.reader.take())
        };
        // The waker of this end itself is dropped here, outside the borrow.
        drop(reader);
        wake(writer);
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuplexStream").finish_non_exhaustive()
    }
}
