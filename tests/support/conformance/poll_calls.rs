//! Calls of poll functions, without a leaf around them.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use curium::io::{AsyncRead, AsyncWrite};
use curium::kernel::{sleep, yield_now};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{Reader, Writer};
use crate::support::time::MS;

/// After so many bytes the pattern begins again: a prime number.
const PERIOD: usize = 65_521;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..2 * PERIOD).map(|at| at % PERIOD).map(|at| (at * 31 + at / 251) as u8).collect()
});

/// The bytes at this position of everything that is sent, at most 60,000.
pub(super) fn bytes(at: usize, len: usize) -> &'static [u8] {
    &PATTERN[at % PERIOD..][..len.min(60_000)]
}

pub(super) fn poll_read<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    Pin::new(reader).poll_read(cx, buf)
}

pub(super) fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
    writer: &mut W,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    Pin::new(writer).poll_write(cx, buf)
}

pub(super) async fn read(reader: &mut Reader, buf: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| poll_read(reader, cx, buf)).await
}

pub(super) async fn write(writer: &mut Writer, buf: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| poll_write(writer, cx, buf)).await
}

pub(super) async fn flush(writer: &mut Writer) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *writer).poll_flush(cx)).await
}

pub(super) async fn close(writer: &mut Writer) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut *writer).poll_close(cx)).await
}

/// Writes everything, and flushes it.
pub(super) async fn send(writer: &mut Writer, mut buf: &[u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let written = write(writer, buf).await?;
        assert!(written > 0, "a write of some bytes gives 0");
        buf = &buf[written..];
    }
    flush(writer).await
}

/// Reads until so many bytes, which begin at that position, have come.
pub(super) async fn expect(reader: &mut Reader, mut at: usize, count: usize) -> io::Result<()> {
    let (end, mut size) = (at + count, 1);
    let mut buf = [0; 5000];
    while at < end {
        size = size * 7 % 4999 + 1;
        let room = size.min(end - at);
        let read = read(reader, &mut buf[..room]).await?;
        assert!(read > 0, "the stream ends {} bytes too early", end - at);
        assert!(read <= room, "more was read than there is room for");
        assert!(buf[..read] == *bytes(at, read), "other bytes come than were sent");
        at += read;
    }
    Ok(())
}

/// Checks that the stream has ended, and stays so.
pub(super) async fn expect_end(reader: &mut Reader) -> io::Result<()> {
    for _ in 0..3 {
        let mut buf = [0; 16];
        assert_eq!(read(reader, &mut buf).await?, 0, "there is more than was sent");
    }
    Ok(())
}

/// Writes from that position on until there is no room. Gives the number of bytes. A write may
/// also have to wait because the budget of a poll is spent.
pub(super) async fn fill(writer: &mut Writer, at: usize) -> io::Result<usize> {
    let mut full = 0;
    loop {
        // The next poll of the task has a full budget.
        yield_now().await?;
        let before = full;
        let filled = poll_fn(|cx| {
            while let Poll::Ready(written) = poll_write(writer, cx, bytes(at + full, 16_000)) {
                match written {
                    Ok(written) => full += written,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        });
        filled.await?;
        if full == before {
            return Ok(full);
        }
    }
}

/// Polls once, with the waker of the task.
pub(super) async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

/// A waker that says whether it was woken.
#[derive(Default)]
pub(super) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    pub(super) fn waker() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Woken::default());
        (woken.clone(), woken.into())
    }

    pub(super) fn is_woken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets time pass until it is woken, and calls `meanwhile` in between.
    pub(super) async fn comes(
        &self,
        mut meanwhile: impl AsyncFnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            meanwhile().await?;
            if self.is_woken() {
                return Ok(());
            }
            sleep(MS).await?;
        }
    }
}

/// Waits for all of them, each with a waker of its own.
pub(super) async fn each_woken_alone<'a>(
    futures: impl IntoIterator<Item = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>>,
) -> io::Result<()> {
    let mut all = FuturesUnordered::from_iter(futures);
    while let Some(ended) = all.next().await {
        ended?;
    }
    Ok(())
}
