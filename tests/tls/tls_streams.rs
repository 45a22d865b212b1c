//! Reads, writes and ends of a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use curium::io::{AsyncRead, AsyncWrite, BufReader, DuplexStream, ReadExt, WriteExt, duplex};
use curium::kernel::{gather, ignore_after, sleep, spawn, testing};
use curium::net::UnixStream;
use curium::net::rustls::{AlertDescription, Error};

use crate::certificates::{client, connected_over, plainly_connected, server};

const MS: Duration = Duration::from_millis(1);

/// N13: bytes and lines go both ways, and each side reads the end after the other one has closed.
/// Until it closes itself, it may still write.
#[test]
fn each_direction_ends_on_its_own() {
    testing::run(async || {
        // Less room than a record takes.
        let (mut client, server) = plainly_connected(100).await?;
        let text = "a line\n".repeat(10_000);
        let server = spawn(async move {
            let mut server = BufReader::new(server);
            let (mut line, mut lines) = (String::new(), 0);
            while server.read_line(&mut line).await? > 0 {
                lines += 1;
                line.clear();
            }
            let below = server.get_mut().get_mut();
            assert_eq!(below.read(&mut [0; 8]).await?, 0, "the stream below has ended, too");
            server.write_all(format!("{lines} lines").as_bytes()).await?;
            server.close().await
        });
        client.write_all(text.as_bytes()).await?;
        client.close().await?;
        client.close().await?;
        assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert_eq!(answer, "10000 lines");
        assert_eq!(client.read(&mut [0; 8]).await?, 0, "the end stays the end");
        server.await
    })
    .unwrap();
}

/// N13: TLS over a Unix socket.
#[test]
fn a_unix_socket_carries_it_as_well() {
    curium::run(async || {
        let (ours, theirs) = UnixStream::pair()?;
        let (client, server) = (client(&[]), server(&[]));
        let (mut client, mut server) = connected_over(client, server, ours, theirs).await?;
        client.write_all(b"hello").await?;
        client.close().await?;
        let mut hello = String::new();
        server.read_to_string(&mut hello).await?;
        assert_eq!(hello, "hello");
        assert_eq!(server.get_ref().peer_cred()?.pid, std::process::id());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: a stream that ends without the alert that closes it may have been cut: that is an error,
/// after everything that has arrived.
#[test]
fn a_stream_that_was_cut_is_an_error() {
    testing::run(async || {
        let (mut client, mut server) = plainly_connected(64 * 1024).await?;
        server.write_all(b"half of the tr").await?;
        server.flush().await?;
        drop(server);
        let mut text = Vec::new();
        for _ in 0..2 {
            let error = client.read_to_end(&mut text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        assert_eq!(text, b"half of the tr");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: an empty read gives 0, and is not the end. An empty write sends nothing.
#[test]
fn empty_reads_and_writes_do_nothing() {
    testing::run(async || {
        let (mut client, mut server) = plainly_connected(64 * 1024).await?;
        assert_eq!(client.read(&mut []).await?, 0);
        assert_eq!(server.write(&[]).await?, 0);
        assert_eq!(ignore_after(MS, client.read(&mut [0; 8])).await?, None);
        server.write_all(b"hello").await?;
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await?;
        assert_eq!(&hello, b"hello");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: a write counts the plain text that was accepted. What the stream below has no room for is
/// sent by a flush, or by the next read: else each side could wait for the other one.
#[test]
fn what_was_written_is_sent_while_an_answer_is_read() {
    testing::run(async || {
        let (mut client, mut server) = plainly_connected(64).await?;
        let question = vec![7; 5000];
        assert_eq!(client.write(&question).await?, 5000);
        let server = spawn(async move {
            let mut asked = vec![0; 5000];
            server.read_exact(&mut asked).await?;
            server.write_all(&asked[..3]).await?;
            server.close().await
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await?;
        assert_eq!(answer, [7, 7, 7]);
        server.await
    })
    .unwrap();
}

/// N13, I2: a writer waits while 64 KiB are unsent. A cancelled write or flush goes on.
#[test]
fn a_writer_waits_for_room_and_goes_on_after_a_cancel() {
    testing::run(async || {
        let (mut client, mut server) = plainly_connected(64).await?;
        let text: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
        let mut written = 0;
        while let Some(more) = ignore_after(MS, client.write(&text[written..])).await? {
            written += more;
        }
        assert!((1..=70_000).contains(&written), "{written} bytes are in the buffers");
        assert_eq!(ignore_after(MS, client.flush()).await?, None);
        assert_eq!(ignore_after(MS, client.close()).await?, None);
        assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut got = Vec::new();
        let (_, read) = gather((client.close(), server.read_to_end(&mut got))).await?;
        assert_eq!(read, written);
        assert!(got == text[..written], "other bytes than were written");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13, I1: a reader that sends what was written does not take the wake-up of a writer in another
/// task, which waits for room.
#[test]
fn a_reader_and_a_writer_of_two_tasks_are_both_woken() {
    testing::run(async || {
        let (client, mut server) = plainly_connected(64).await?;
        let client = Rc::new(RefCell::new(client));
        let text = vec![7; 200_000];
        let (writes, reads) = (client.clone(), client);
        let writer = spawn(async move {
            let mut written = 0;
            while written < 200_000 {
                let left = &text[written..];
                let poll =
                    |cx: &mut Context<'_>| Pin::new(&mut *writes.borrow_mut()).poll_write(cx, left);
                written += poll_fn(poll).await?;
            }
            poll_fn(|cx| Pin::new(&mut *writes.borrow_mut()).poll_flush(cx)).await
        });
        let reader = spawn(async move {
            let mut buf = [0; 8];
            let poll =
                |cx: &mut Context<'_>| Pin::new(&mut *reads.borrow_mut()).poll_read(cx, &mut buf);
            poll_fn(poll).await
        });
        // Both wait, and the reader has polled last.
        sleep(MS).await?;
        let mut got = vec![0; 200_000];
        server.read_exact(&mut got).await?;
        writer.await?;
        server.write_all(b"thanks").await?;
        server.flush().await?;
        assert_eq!(reader.await?, 6);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// A stream that changes the last byte of a read.
struct Forged(DuplexStream, Rc<Cell<bool>>);

impl AsyncRead for Forged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        if read > 0 && self.1.take() {
            buf[read - 1] ^= 1;
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Forged {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// N13: a byte that is changed on its way is an error, of the next calls as well. The peer is told.
#[test]
fn a_byte_that_is_changed_is_an_error() {
    testing::run(async || {
        let forge = Rc::new(Cell::new(false));
        let (ours, theirs) = duplex(64 * 1024);
        let (ours, theirs) = (Forged(ours, forge.clone()), Forged(theirs, Rc::default()));
        let (mut client, mut server) =
            connected_over(client(&[]), server(&[]), ours, theirs).await?;
        server.write_all(b"hello").await?;
        server.flush().await?;
        forge.set(true);
        for _ in 0..2 {
            let error = client.read(&mut [0; 8]).await.unwrap_err();
            let error = error.get_ref().and_then(|error| error.downcast_ref());
            assert_eq!(error, Some(&Error::DecryptError));
        }
        let error = client.write(b"hello").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        let error = error.get_ref().and_then(|error| error.downcast_ref());
        assert_eq!(error, Some(&Error::AlertReceived(AlertDescription::BadRecordMac)));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: each half is used by a task of its own. Both together are the stream again, and halves of
/// two streams are not.
#[test]
fn the_halves_of_a_connection_are_reunited() {
    testing::run(async || {
        let (client, mut server) = plainly_connected(100).await?;
        let (mut read, mut write) = client.into_split();
        let writer = spawn(async move {
            write.write_all(&[b'x'; 10_000]).await?;
            write.flush().await?;
            Ok::<_, io::Error>(write)
        });
        let reader = spawn(async move {
            read.read_exact(&mut [0; 10_000]).await?;
            Ok::<_, io::Error>(read)
        });
        // Neither direction has room for all of it.
        server.write_all(&[b'y'; 10_000]).await?;
        server.read_exact(&mut [0; 10_000]).await?;
        server.flush().await?;
        let (other_read, other_write) = plainly_connected(100).await?.0.into_split();
        let error = reader.await?.reunite(other_write).unwrap_err();
        assert_eq!(error.to_string(), "these halves are not of one stream");
        drop((other_read, error.write));
        let mut client = error.read.reunite(writer.await?).expect("they are of one stream");
        client.close().await?;
        assert_eq!(server.read(&mut [0; 8]).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N13: the drop of a writing half sends nothing. The reading half goes on, and the peer, which may
/// still write, gets the end of a stream that was cut when both are dropped.
#[test]
fn a_writing_half_that_is_dropped_ends_nothing() {
    testing::run(async || {
        let (client, mut server) = plainly_connected(1000).await?;
        let (mut read, write) = client.into_split();
        drop(write);
        server.write_all(b"heard").await?;
        server.flush().await?;
        let mut heard = [0; 5];
        read.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"heard");
        assert!(ignore_after(MS, server.read(&mut [0; 8])).await?.is_none());
        drop(read);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
