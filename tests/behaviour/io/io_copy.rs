//! Copies from one stream to another.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use curium::io::{AsyncRead, AsyncWrite, BufWriter, ReadExt, WriteExt, copy, duplex};
use curium::kernel::testing;
use curium::kernel::{cancelled, spawn};

/// I3: a copy carries everything up to the end, in whatever pieces it comes. While there is nothing
/// to read, what is in the buffer of the writer goes out, and at the end the rest.
#[test]
fn a_copy_carries_everything_and_flushes() {
    testing::run(async || {
        let ((mut source, mut from), (to, mut sink)) = (duplex(7), duplex(5));
        let copier = spawn(async move {
            let mut to = BufWriter::with_capacity(1 << 10, to);
            let copied = copy(&mut from, &mut to).await?;
            Ok::<_, io::Error>((copied, to))
        });
        source.write_all(b"first ").await?;
        let mut first = [0; 6];
        sink.read_exact(&mut first).await?;
        assert_eq!(&first, b"first ");
        assert_eq!(copier.state().to_string(), "COPY");
        let reader = spawn(async move {
            let mut rest = vec![0; 300];
            sink.read_exact(&mut rest).await?;
            Ok::<_, io::Error>(rest)
        });
        source.write_all(&[7; 300]).await?;
        source.close().await?;
        let (copied, to) = copier.await?;
        assert_eq!((copied, to.buffer()), (306, &b""[..]));
        assert!(reader.await?.iter().all(|byte| *byte == 7));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3, C1: a copy that is cancelled says how many bytes it has written, and has those that it has
/// read after them. So it can go on.
#[test]
fn a_cancelled_copy_goes_on() {
    testing::run(async || {
        let (to, mut sink) = duplex(4);
        let copier = spawn(async move {
            let (mut from, mut to) = (&b"0123456789"[..], to);
            let error = copy(&mut from, &mut to).await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert_eq!((error.copied, &*error.unwritten, from.len()), (8, &b"89"[..], 0));
            to.write_all(&error.unwritten).await?;
            Ok::<_, io::Error>(copy(&mut from, &mut to).await?)
        });
        testing::settle().await?;
        copier.request_cancel();
        // There is room again when the cancelled task runs, so it writes once more (C1).
        let mut all = Vec::new();
        sink.read_to_end(&mut all).await?;
        assert_eq!((&*all, copier.await?), (&b"0123456789"[..], 0));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: an error of either stream ends a copy, with what was read and not written.
#[test]
fn an_error_of_a_stream_ends_a_copy() {
    testing::run(async || {
        let (mut to, sink) = duplex(4);
        let copier = spawn(async move { copy(&mut &b"0123456789"[..], &mut to).await });
        testing::settle().await?;
        drop(sink);
        let error = copier.await.unwrap_err();
        assert_eq!((error.kind(), error.copied), (ErrorKind::BrokenPipe, 4));
        assert_eq!(error.unwritten, b"456789");
        let text = io::Error::from(error).to_string();
        assert!(text.starts_with("4 bytes were copied: "), "{text}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// Gives a byte, the end, and then more, as a terminal does.
struct Terminal(Vec<&'static [u8]>);

impl AsyncRead for Terminal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let next = self.0.remove(0);
        buf[..next.len()].copy_from_slice(next);
        Poll::Ready(Ok(next.len()))
    }
}

/// Its flush takes two polls.
#[derive(Default)]
struct Slow {
    written: Vec<u8>,
    flushing: bool,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.flushing, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// I3: a copy does not read again after the end, also if the flush has to wait.
#[test]
fn a_copy_reads_the_end_once() {
    testing::run(async || {
        let (mut from, mut to) = (Terminal(vec![b"a", b"", b"b"]), Slow::default());
        assert_eq!(copy(&mut from, &mut to).await.unwrap(), 1);
        assert_eq!((to.written, from.0), (b"a".to_vec(), vec![&b"b"[..]]));
    });
}
