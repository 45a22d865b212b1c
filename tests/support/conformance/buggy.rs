//! Streams with planted bugs, each of which the suite must find.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};

use curium::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use curium::kernel::CancelPoint;

/// What a stream does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// What was read for a poll that is not made again is lost.
    LosesWhatWasCancelled,
    /// A poll that has to wait arranges for no wake.
    ForgetsToWake,
    /// The first poll is woken, and later ones are not.
    WakesTheFirstPoll,
    /// One waker for both directions: that of the last poll.
    WakesOneDirection,
    /// When there is nothing to read, that is the end.
    EndsTooEarly,
    /// The end comes once.
    EndsOnce,
    /// A close closes nothing.
    IgnoresTheClose,
    /// A close ends the other direction as well.
    ClosesBoth,
    /// The last bytes are in a buffer, which a close forgets.
    DropsTheTail,
    /// What had to wait is written again by the next poll.
    WritesTwice,
    /// A vectored write writes the first buffer, and counts all.
    CountsAllBuffers,
    /// A read or write of no bytes waits.
    WaitsForNothing,
    /// A poll of a cancelled task returns the cancellation.
    ReturnsTheCancellation,
    /// What is written after the close, or when there is no reader, is thrown away.
    TakesBytesForEver,
}

/// One end of a connection in memory that has a bug.
pub(crate) struct Buggy {
    stream: DuplexStream,
    bug: Bug,
    /// What the bug keeps: bytes that were read, or that are to be written.
    kept: Vec<u8>,
    /// The waker of the first poll of each direction, or of the poll that has kept bytes.
    wakers: [Option<Waker>; 2],
    last: Arc<Last>,
    /// The end was read, a write was begun, or the stream was closed.
    happened: bool,
}

/// Wakes the last poll of both directions.
#[derive(Default)]
struct Last(Mutex<Option<Waker>>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        let last = self.0.lock().unwrap().take();
        last.into_iter().for_each(Waker::wake);
    }
}

/// Two ends that have the bug.
pub(crate) fn buggy(bug: Bug) -> (Buggy, Buggy) {
    let of = |stream| Buggy {
        stream,
        bug,
        kept: Vec::new(),
        wakers: [None, None],
        last: Arc::default(),
        happened: false,
    };
    let (a, b) = duplex(1000);
    (of(a), of(b))
}

impl Buggy {
    /// Polls the stream with the waker that the bug uses.
    fn poll<T>(
        &mut self,
        direction: usize,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = match self.bug {
            Bug::ForgetsToWake => Waker::noop().clone(),
            Bug::WakesTheFirstPoll => {
                self.wakers[direction].get_or_insert_with(|| cx.waker().clone()).clone()
            }
            Bug::WakesOneDirection => {
                *self.last.0.lock().unwrap() = Some(cx.waker().clone());
                self.last.clone().into()
            }
            _ => cx.waker().clone(),
        };
        let polled = poll(Pin::new(&mut self.stream), &mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.wakers[direction] = None;
        }
        polled
    }

    /// Reads into what is kept, and gives it to the next poll, if that is of the same task.
    fn poll_kept(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let same = self.wakers[0].take().is_some_and(|waker| waker.will_wake(cx.waker()));
        if same && !self.kept.is_empty() {
            let read = self.kept.len();
            buf[..read].copy_from_slice(&self.kept);
            self.kept.clear();
            return Poll::Ready(Ok(read));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.kept = buf[..read].to_vec();
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        self.wakers[0] = Some(cx.waker().clone());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is kept.
    fn poll_tail(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.kept))?;
            self.kept.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Buggy {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.bug {
            Bug::WaitsForNothing if buf.is_empty() => return Poll::Pending,
            Bug::LosesWhatWasCancelled if !buf.is_empty() => return this.poll_kept(cx, buf),
            Bug::ClosesBoth if this.happened => return Poll::Ready(Ok(0)),
            Bug::EndsOnce if this.happened && !buf.is_empty() => return Poll::Pending,
            Bug::ReturnsTheCancellation => {
                let read = |cx: &mut Context<'_>| Pin::new(&mut this.stream).poll_read(cx, buf);
                let polled = CancelPoint::new("BUG").poll(cx, read);
                return polled.map(|read| read.unwrap_or_else(|error| Err(error.into())));
            }
            _ => {}
        }
        let polled = this.poll(0, cx, |stream, cx| stream.poll_read(cx, buf));
        match this.bug {
            Bug::EndsTooEarly if polled.is_pending() => return Poll::Ready(Ok(0)),
            Bug::EndsOnce => {
                this.happened = !buf.is_empty() && matches!(polled, Poll::Ready(Ok(0)));
            }
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for Buggy {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.bug {
            Bug::WaitsForNothing if buf.is_empty() => return Poll::Pending,
            Bug::DropsTheTail => {
                ready!(this.poll_tail(cx))?;
                this.kept.extend_from_slice(&buf[..buf.len().min(3)]);
                return Poll::Ready(Ok(this.kept.len()));
            }
            Bug::WritesTwice if !this.happened && buf.len() > 1 => {
                ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..1]))?;
                this.happened = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let polled = this.poll(1, cx, |stream, cx| stream.poll_write(cx, buf));
        match (this.bug, polled) {
            (Bug::TakesBytesForEver, Poll::Ready(Err(_))) => Poll::Ready(Ok(buf.len())),
            (Bug::WritesTwice, polled) => {
                this.happened = polled.is_pending();
                polled
            }
            (_, polled) => polled,
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        let counts_all = self.bug == Bug::CountsAllBuffers;
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        let polled = self.poll_write(cx, first);
        polled.map_ok(|written| if counts_all { all } else { written })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.bug == Bug::DropsTheTail { this.poll_tail(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.bug {
            Bug::IgnoresTheClose => return Poll::Ready(Ok(())),
            Bug::ClosesBoth => this.happened = true,
            _ => {}
        }
        Pin::new(&mut this.stream).poll_close(cx)
    }
}
