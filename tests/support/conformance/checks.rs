//! What holds for one direction: a writer, and a reader of what it writes.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use curium::io::{AsyncRead, AsyncWrite, ReadExt, WriteExt};
use curium::kernel::testing::{self, Injection};
use curium::kernel::{TaskCancelled, ignore_after, sleep, spawn, yield_now};

use super::poll_calls::{
    Woken, bytes, close, each_woken_alone, expect, expect_end, fill, flush, poll_once, poll_read,
    poll_write, read, send, write,
};
use super::{Check, Kind, Reader, Writer};
use crate::support::time::MS;

pub(super) const CHECKS: &[Check] = &[
    ("bytes arrive in order", bytes_arrive_in_order),
    ("the end comes after the last byte and stays", the_end_stays),
    ("empty buffers wait for nothing", empty_buffers_wait_for_nothing),
    ("several buffers are read and written in order", several_buffers),
    ("the last poll for reading is woken", the_last_reader_is_woken),
    ("the last poll for writing is woken", the_last_writer_is_woken),
    ("a poll returns no cancellation", a_poll_returns_no_cancellation),
    ("polls and leaves mix", polls_and_leaves_mix),
    ("a write after the close is an error", a_write_after_the_close_is_an_error),
    ("a writer without a reader gets an error", a_writer_without_a_reader_gets_an_error),
    ("a stream that is always ready lets others run", others_run),
    ("cancelled reads lose nothing", cancelled_reads_lose_nothing),
];

/// Ends the direction of a writer.
async fn end(kind: &Kind, mut writer: Writer) -> io::Result<Option<Writer>> {
    close(&mut writer).await?;
    Ok(kind.closes.then_some(writer))
}

fn bytes_arrive_in_order(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        // Both have to wait: the reader has read nothing until there is no room.
        let full = fill(&mut writer, 0).await?;
        let all = full + 100_000;
        let writes = async {
            let (mut at, mut size) = (full, 1);
            while at < all {
                size = size * 7 % 4999 + 1;
                at += write(&mut writer, bytes(at, size.min(all - at))).await?;
            }
            end(&kind, writer).await.map(drop)
        };
        let reads = async {
            expect(&mut reader, 0, all).await?;
            expect_end(&mut reader).await
        };
        each_woken_alone([Box::pin(writes) as Pin<Box<dyn Future<Output = _>>>, Box::pin(reads)])
            .await
    });
}

fn the_end_stays(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        assert_eq!(write(&mut writer, bytes(0, 5)).await?, 5);
        let writer = end(&kind, writer).await?;
        expect(&mut reader, 0, 5).await?;
        expect_end(&mut reader).await?;
        drop(writer);
        expect_end(&mut reader).await
    });
}

fn empty_buffers_wait_for_nothing(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let read_nothing = poll_once(|cx| poll_read(&mut reader, cx, &mut [])).await;
        assert!(matches!(read_nothing, Poll::Ready(Ok(0))), "{read_nothing:?}");
        let full = fill(&mut writer, 0).await?;
        let written = poll_once(|cx| poll_write(&mut writer, cx, &[])).await;
        assert!(matches!(written, Poll::Ready(Ok(0))), "{written:?}");
        // It was not the end of the stream.
        let flushes = async { flush(&mut writer).await };
        let reads = async { expect(&mut reader, 0, full).await };
        each_woken_alone([Box::pin(flushes) as Pin<Box<dyn Future<Output = _>>>, Box::pin(reads)])
            .await
    });
}

fn several_buffers(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let mut sent = 0;
        while sent < 40 {
            let pieces = [0, 3, 0, 10, 27].map(|len| len.min(40 - sent));
            let (mut at, mut bufs) = (sent, Vec::new());
            for len in pieces {
                let len = len.min(40 - at);
                bufs.push(IoSlice::new(bytes(at, len)));
                at += len;
            }
            let written = poll_fn(|cx| Pin::new(&mut writer).poll_write_vectored(cx, &bufs));
            let written = written.await?;
            assert!(written > 0, "a write of some bytes gives 0");
            sent += written;
        }
        flush(&mut writer).await?;
        let mut got = Vec::new();
        while got.len() < 40 {
            let (mut a, mut b, mut c) = ([0; 2], [0; 7], [0; 31]);
            let mut bufs = [&mut [][..], &mut a, &mut [], &mut b, &mut c].map(IoSliceMut::new);
            let read = poll_fn(|cx| Pin::new(&mut reader).poll_read_vectored(cx, &mut bufs));
            let read = read.await?;
            assert!(read > 0, "the stream ends too early");
            got.extend_from_slice(&[&a[..], &b, &c].concat()[..read]);
        }
        assert!(got == bytes(0, 40), "other bytes come than were sent");
        let nothing = poll_once(|cx| poll_read(&mut reader, cx, &mut [0])).await;
        assert!(nothing.is_pending(), "there is more than was sent");
        Ok(())
    });
}

fn the_last_reader_is_woken(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let wakers = [Woken::waker(), Woken::waker()];
        for (_, waker) in &wakers {
            let polled = poll_read(&mut reader, &mut Context::from_waker(waker), &mut [0; 8]);
            assert!(polled.is_pending(), "there is nothing to read");
        }
        send(&mut writer, bytes(0, 5)).await?;
        wakers[1].0.comes(async || Ok(())).await?;
        expect(&mut reader, 0, 5).await
    });
}

fn the_last_writer_is_woken(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let wakers = [Woken::waker(), Woken::waker()];
        let mut full = 0;
        loop {
            full += fill(&mut writer, full).await?;
            let polls = wakers.each_ref().map(|(_, waker)| {
                let cx = &mut Context::from_waker(waker);
                poll_write(&mut writer, cx, bytes(full, 1))
            });
            if polls.iter().all(Poll::is_pending) {
                break;
            }
            // Another process has made room.
            for written in polls {
                full += if let Poll::Ready(written) = written { written? } else { 0 };
            }
        }
        wakers[1].0.comes(async || drain(&mut reader).await).await
    });
}

/// Reads until there is nothing more.
pub(super) async fn drain(reader: &mut Reader) -> io::Result<()> {
    let mut buf = vec![0; 60_000];
    let mut quiet = 0;
    while quiet < 2 {
        let mut found = false;
        let drained = poll_once(|cx| {
            while let Poll::Ready(read) = poll_read(reader, cx, &mut buf) {
                found |= read? > 0;
            }
            Poll::Ready(Ok::<(), io::Error>(()))
        });
        let Poll::Ready(drained) = drained.await else { continue };
        drained?;
        quiet = if found { 0 } else { quiet + 1 };
        yield_now().await?;
    }
    Ok(())
}

fn a_poll_returns_no_cancellation(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let task = spawn(async move {
            let read = poll_once(|cx| poll_read(&mut reader, cx, &mut [0; 8])).await;
            assert!(read.is_pending(), "a poll of a cancelled task gives {read:?}");
            let written = poll_once(|cx| poll_write(&mut writer, cx, b"x")).await;
            assert!(matches!(written, Poll::Ready(Ok(1))), "{written:?}");
            loop {
                let full = poll_once(|cx| poll_write(&mut writer, cx, bytes(0, 16_000))).await;
                match full {
                    Poll::Ready(written) => drop(written.expect("no cancellation")),
                    Poll::Pending => break,
                }
            }
            Ok::<_, TaskCancelled>(())
        });
        task.request_cancel();
        Ok(task.await?)
    });
}

fn polls_and_leaves_mix(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        for at in 0..3 {
            let polled = poll_once(|cx| poll_read(&mut reader, cx, &mut [0; 8])).await;
            assert!(polled.is_pending(), "there is nothing to read");
            let mut buf = [0; 8];
            assert!(ignore_after(MS, reader.read(&mut buf)).await?.is_none());
            let polled = poll_once(|cx| poll_read(&mut reader, cx, &mut [0; 8])).await;
            assert!(polled.is_pending(), "there is nothing to read");
            writer.write_all(bytes(at, 1)).await?;
            writer.flush().await?;
            let read = if at == 1 {
                read(&mut reader, &mut buf).await?
            } else {
                reader.read(&mut buf).await?
            };
            assert_eq!(&buf[..read], bytes(at, 1));
        }
        Ok(())
    });
}

fn a_write_after_the_close_is_an_error(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, reader) = kind.connect().await;
        close(&mut writer).await?;
        if kind.closes {
            // With a buffer, it is the flush that fails.
            let sent = send(&mut writer, b"x").await;
            assert!(sent.is_err(), "a closed stream takes bytes");
        }
        drop(reader);
        Ok(())
    });
}

fn a_writer_without_a_reader_gets_an_error(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, reader) = kind.connect().await;
        drop(reader);
        for _ in 0..50 {
            if let Err(error) = send(&mut writer, bytes(0, 60_000)).await {
                let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(gone.contains(&error.kind()), "{error:?}");
                return Ok(());
            }
            sleep(MS).await?;
        }
        panic!("a stream without a reader takes bytes for ever");
    });
}

fn others_run(kind: &Kind) {
    kind.run(async |kind| {
        let (mut writer, mut reader) = kind.connect().await;
        let count = fill(&mut writer, 0).await?.min(1000);
        let (turns, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counts, ends) = (turns.clone(), done.clone());
        let other = spawn(async move {
            while !ends.get() {
                counts.set(counts.get() + 1);
                yield_now().await?;
            }
            Ok::<_, TaskCancelled>(())
        });
        for at in 0..count {
            let mut byte = [0];
            assert_eq!(reader.read(&mut byte).await?, 1);
            assert_eq!(byte, bytes(at, 1));
        }
        done.set(true);
        assert!(turns.get() >= count / 128, "other tasks had {} turns", turns.get());
        Ok(other.await?)
    });
}

/// What the reader of a sweep has got, and the reader.
struct Reads {
    reader: RefCell<Reader>,
    got: RefCell<Vec<u8>>,
}

const SWEPT: usize = 12;

fn cancelled_reads_lose_nothing(kind: &Kind) {
    if !kind.is_swept {
        return;
    }
    let swept = testing::sweep().run(
        async || {
            let (mut writer, reader) = kind.connect().await;
            let (reader, got) = (RefCell::new(reader), RefCell::default());
            let state = Rc::new(Reads { reader, got });
            let reads = state.clone();
            spawn(async move {
                for at in (0..SWEPT).step_by(3) {
                    // The subject is parked when the bytes come.
                    while reads.got.borrow().len() < at {
                        yield_now().await?;
                    }
                    for _ in 0..3 {
                        yield_now().await?;
                    }
                    send(&mut writer, bytes(at, 3)).await.expect("there is room");
                }
                Ok::<_, TaskCancelled>(())
            });
            state
        },
        |state: Rc<Rc<Reads>>| async move { swept_reads(&state).await },
        async |state, run| {
            let shuts_down = run.injected.iter().any(|one| one.injection == Injection::ShutDown);
            if !shuts_down {
                let rest = ignore_after(1000 * MS, swept_reads(state)).await.expect("no cancel");
                let complete = rest.is_some() && state.got.borrow().len() == SWEPT;
                assert!(complete, "a byte is lost");
            }
            let got = state.got.borrow();
            assert!(*got == bytes(0, got.len()), "other bytes come than were sent");
        },
    );
    assert!(swept.suspensions >= 4, "only {} suspensions", swept.suspensions);
}

#[expect(clippy::await_holding_refcell_ref, reason = "only the subject and then the check borrow")]
async fn swept_reads(state: &Reads) -> io::Result<()> {
    let mut reader = state.reader.borrow_mut();
    while state.got.borrow().len() < SWEPT {
        let mut buf = [0; 2];
        let read = reader.read(&mut buf).await?;
        if read == 0 {
            break; // at a shutdown, the writer is cancelled
        }
        state.got.borrow_mut().extend_from_slice(&buf[..read]);
    }
    Ok(())
}
