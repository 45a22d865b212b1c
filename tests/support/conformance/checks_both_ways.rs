//! What holds for two ends that both read and write.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use curium::io::{AsyncRead, AsyncWrite};

use super::checks::drain;
use super::poll_calls::{
    Woken, bytes, close, each_woken_alone, expect, expect_end, fill, poll_read, poll_write, send,
};
use super::{BothWays, Check, Kind, Reader, Writer};

pub(super) const CHECKS: &[Check] = &[
    ("the end of one direction leaves the other", the_end_of_one_direction_leaves_the_other),
    ("both directions work at once", both_directions_work_at_once),
    ("each direction wakes its own poll", each_direction_wakes_its_own_poll),
];

/// An end that a writer and a reader share.
struct Shared(Rc<RefCell<BothWays>>);

/// The two directions of an end.
fn split(end: BothWays) -> (Writer, Reader) {
    let end = Rc::new(RefCell::new(end));
    (Box::new(Shared(end.clone())), Box::new(Shared(end)))
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_read(&mut *self.0.borrow_mut(), cx, buf)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll_write(&mut *self.0.borrow_mut(), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_close(cx)
    }
}

fn the_end_of_one_direction_leaves_the_other(kind: &Kind) {
    kind.run(async |kind| {
        let Some((a, b)) = kind.connect_both_ways().await.filter(|_| kind.closes) else {
            return Ok(());
        };
        let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = (split(a), split(b));
        send(&mut to_b, bytes(0, 5)).await?;
        close(&mut to_b).await?;
        expect(&mut from_a, 0, 5).await?;
        expect_end(&mut from_a).await?;
        send(&mut to_a, bytes(0, 7)).await?;
        expect(&mut from_b, 0, 7).await?;
        close(&mut to_a).await?;
        expect_end(&mut from_b).await
    });
}

fn both_directions_work_at_once(kind: &Kind) {
    const COUNT: usize = 30_000;

    kind.run(async |kind| {
        let Some((a, b)) = kind.connect_both_ways().await else { return Ok(()) };
        let ((mut to_b, from_b), (mut to_a, from_a)) = (split(a), split(b));
        // Both directions are full, so that every task has to wait.
        let filled = [fill(&mut to_b, 0).await?, fill(&mut to_a, 0).await?];
        let writes = |to: Writer, full: usize| async move {
            let mut to = to;
            send(&mut to, bytes(full, COUNT)).await
        };
        let reads = |from: Reader, full: usize| async move {
            let mut from = from;
            expect(&mut from, 0, full + COUNT).await
        };
        let all: [Pin<Box<dyn Future<Output = io::Result<()>>>>; 4] = [
            Box::pin(writes(to_b, filled[0])),
            Box::pin(writes(to_a, filled[1])),
            Box::pin(reads(from_a, filled[0])),
            Box::pin(reads(from_b, filled[1])),
        ];
        each_woken_alone(all).await
    });
}

fn each_direction_wakes_its_own_poll(kind: &Kind) {
    kind.run(async |kind| {
        for reads_first in [true, false] {
            let Some((a, b)) = kind.connect_both_ways().await else { return Ok(()) };
            let ((mut to_b, mut from_b), (mut to_a, mut from_a)) = (split(a), split(b));
            // Larger than any buffer.
            let piece = bytes(fill(&mut to_b, 0).await?, 16_000);
            let ((read, reads), (written, writes)) = (Woken::waker(), Woken::waker());
            for direction in [reads_first, !reads_first] {
                let is_pending = match direction {
                    true => poll_read(&mut from_b, &mut Context::from_waker(&reads), &mut [0; 8])
                        .is_pending(),
                    false => {
                        poll_write(&mut to_b, &mut Context::from_waker(&writes), piece).is_pending()
                    }
                };
                assert!(is_pending, "there is nothing to read, and no room");
            }
            send(&mut to_a, bytes(0, 5)).await?;
            read.comes(async || Ok(())).await?;
            written.comes(async || drain(&mut from_a).await).await?;
        }
        Ok(())
    });
}
