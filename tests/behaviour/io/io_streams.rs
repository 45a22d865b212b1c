//! The leaves over streams, of Curium and of others.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use curium::io::{AsyncRead, AsyncWrite, ReadExt, WriteExt, duplex};
use curium::kernel::testing;
use curium::kernel::{TaskError, cancelled, ignore_after, spawn, timeout_after, yield_now};

use crate::support::time::SECOND;

/// A stream of another crate that is always ready, reads ones and takes every byte.
struct Ready;

/// A stream of another crate that is never ready and wakes no task.
struct Silent;

impl AsyncRead for Ready {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        buf.fill(1);
        Poll::Ready(Ok(buf.len()))
    }
}

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// I2, C2: every call on a stream of another crate is cancelled where it waits, and shows what it
/// waits for.
#[test]
fn a_call_on_a_stream_of_another_crate_is_cancelled() {
    testing::run(async || {
        let calls = [
            ("READ", spawn(async { Silent.read(&mut [0]).await.map(drop) })),
            ("READ", spawn(async { Ok(Silent.read_exact(&mut [0]).await?) })),
            ("READ", spawn(async { Silent.read_to_end(&mut Vec::new()).await.map(drop) })),
            ("WRITE", spawn(async { Silent.write(b"x").await.map(drop) })),
            ("WRITE", spawn(async { Ok(Silent.write_all(b"x").await?) })),
            ("FLUSH", spawn(async { Silent.flush().await })),
            ("CLOSE", spawn(async { Silent.close().await })),
        ];
        testing::settle().await?;
        for (kind, call) in calls {
            assert_eq!(call.state().to_string(), kind);
            assert!(call.parked_at().unwrap().file().ends_with("io_streams.rs"));
            call.cancel().await?;
            let Err(TaskError::Cancelled(error)) = call.join().await? else { panic!("{kind}") };
            assert!(cancelled(&error).is_some(), "{error}");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2, K2: calls on a stream that is always ready count against the budget, and a cancellation
/// comes when that is spent.
#[test]
fn a_stream_that_is_always_ready_holds_up_no_task() {
    testing::run(async || {
        let reads = Rc::new(Cell::new(0));
        let counted = reads.clone();
        let reader = spawn(async move {
            let ended = loop {
                match Ready.read(&mut [0]).await {
                    Ok(read) => counted.set(counted.get() + read),
                    Err(error) => break error,
                }
            };
            Err::<(), io::Error>(ended)
        });
        yield_now().await?;
        assert_eq!(reads.get(), 128);
        reader.cancel().await?;
        assert!(matches!(reader.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I2: a read_exact that ends early says how much it has read, whatever ended it.
#[test]
fn a_read_exact_that_ends_early_says_how_much_it_read() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(64);
        theirs.write_all(b"abc").await?;
        let mut buf = [0; 8];
        let reader = spawn(async move {
            let ended = ours.read_exact(&mut buf).await.unwrap_err();
            assert!(cancelled(&ended).is_some());
            assert_eq!((ended.read, ended.len, &buf[..3]), (3, 8, &b"abc"[..]));
            Ok::<_, io::Error>((ours, ended))
        });
        testing::settle().await?;
        reader.cancel().await?;
        let (mut ours, _) = reader.await?;
        theirs.write_all(b"de").await?;
        theirs.close().await?;
        let ended = ours.read_exact(&mut buf).await.unwrap_err();
        assert_eq!((ended.kind(), ended.read), (ErrorKind::UnexpectedEof, 2));
        assert_eq!(
            io::Error::from(ended).to_string(),
            "2 of 8 bytes were read: the stream has ended"
        );
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a cancelled read_to_end keeps what it has read, and goes on.
#[test]
fn a_read_to_end_goes_on_after_a_cancel() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(64);
        let mut all = b"before ".to_vec();
        theirs.write_all(b"one ").await?;
        assert!(ignore_after(SECOND, ours.read_to_end(&mut all)).await?.is_none());
        assert_eq!(all, b"before one ");
        theirs.write_all(b"two").await?;
        drop(theirs);
        assert_eq!(ours.read_to_end(&mut all).await?, 3);
        assert_eq!(all, b"before one two");
        let mut text = String::new();
        let mut bytes = "grün".as_bytes();
        assert_eq!(bytes.read_to_string(&mut text).await?, 5);
        assert_eq!(text, "grün");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a read_to_string keeps the characters that came before what is not UTF-8, or before a
/// cancellation.
#[test]
fn a_read_to_string_keeps_whole_characters() {
    testing::run(async || {
        let mut text = String::from("<");
        let wrong = (&b"a\xff b"[..]).read_to_string(&mut text).await.unwrap_err();
        assert_eq!((wrong.kind(), &*text), (ErrorKind::InvalidData, "<a"));
        let (mut ours, mut theirs) = duplex(64);
        theirs.write_all(&"grü".as_bytes()[..3]).await?;
        assert!(ignore_after(SECOND, ours.read_to_string(&mut text)).await?.is_none());
        assert_eq!(text, "<agr");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a write_all that is cancelled says how much it has written, and the peer gets that.
#[test]
fn a_cancelled_write_all_says_how_much_it_wrote() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        let writer = spawn(async move {
            let ended = ours.write_all(b"0123456789").await.unwrap_err();
            assert!(cancelled(&ended).is_some());
            assert_eq!((ended.written, ended.len), (7, 10));
            ours.close().await
        });
        testing::settle().await?;
        let mut buf = [0; 3];
        theirs.read_exact(&mut buf).await?;
        testing::settle().await?;
        writer.cancel().await?;
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await?;
        assert_eq!([&buf, &*rest].concat(), b"0123456");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2, C1: what is there is read although a cancellation is pending, which the next call that waits
/// returns.
#[test]
fn what_is_there_is_read_before_a_cancellation() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        theirs.write_all(b"x").await?;
        let reader = spawn(async move {
            let first = ours.read(&mut [0; 2]).await?;
            let second = ours.read(&mut [0; 2]).await;
            assert!(cancelled(&second.unwrap_err()).is_some());
            theirs.write_all(b"yz").await?;
            Ok::<_, io::Error>(first + ours.read(&mut [0; 2]).await?)
        });
        reader.request_cancel();
        assert_eq!(reader.await?, 3);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2, T2: a timeout round a call returns its own error, and the call is not dropped before it has
/// returned.
#[test]
fn a_timeout_round_a_call_keeps_the_stream() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        let mut buf = [0; 2];
        let late = timeout_after(SECOND, ours.read(&mut buf)).await;
        assert!(late.is_err());
        theirs.write_all(b"ab").await?;
        ours.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"ab");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
