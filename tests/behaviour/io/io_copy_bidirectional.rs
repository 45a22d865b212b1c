//! Copies between two streams, both ways.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use curium::io::{
    AsyncRead, AsyncWrite, BufWriter, CopyBidirectionalError, DuplexStream, ReadExt, WriteExt,
    copy_bidirectional, duplex,
};
use curium::kernel::{Task, cancelled, ignore_after, spawn, testing};

use crate::support::time::SECOND;

type Proxy = Task<(u64, u64), CopyBidirectionalError>;

/// A client, a server, and a proxy between them.
fn proxied(capacity: usize) -> (DuplexStream, DuplexStream, Proxy) {
    let ((client, mut front), (mut back, server)) = (duplex(capacity), duplex(capacity));
    let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
    (client, server, proxy)
}

async fn everything(stream: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

/// I3: when one side ends, the other one reads the end, and can still answer.
#[test]
fn the_end_of_one_side_is_passed_on_and_the_other_goes_on() {
    testing::run(async || {
        for server_ends_first in [false, true] {
            let (mut client, mut server, proxy) = proxied(4);
            let (first, last) = match server_ends_first {
                false => (&mut client, &mut server),
                true => (&mut server, &mut client),
            };
            let asks = async {
                first.write_all(b"a question").await.unwrap();
                first.close().await.unwrap();
            };
            let ((), question) = futures::join!(asks, everything(last));
            assert_eq!(question, b"a question");
            assert!(!proxy.is_done());
            let answers = async {
                last.write_all(b"the long answer").await.unwrap();
                last.close().await.unwrap();
            };
            let ((), answer) = futures::join!(answers, everything(first));
            assert_eq!(answer, b"the long answer");
            let expected = if server_ends_first { (15, 10) } else { (10, 15) };
            assert_eq!(proxy.await.unwrap(), expected);
        }
    });
}

/// I3, K2: a direction in which there is always something to copy does not hold up the other one.
#[test]
fn a_flood_of_one_direction_does_not_hold_up_the_other() {
    testing::run(async || {
        let (mut front, mut back) = (Flood, duplex(64));
        let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back.0).await });
        let reads = spawn(async move {
            back.1.write_all(b"x").await?;
            while back.1.read(&mut [0; 64]).await? > 0 {}
            Ok::<_, io::Error>(())
        });
        let ended = ignore_after(SECOND, proxy.wait()).await?;
        assert!(ended.is_some(), "the other direction is not copied");
        let error = proxy.await.unwrap_err();
        assert!(error.to_string().contains("the flood is written to"), "{error}");
        reads.await
    })
    .unwrap();
}

/// Is always readable. A write of a byte is an error that ends the copy.
struct Flood;

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len().min(8)))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::other("the flood is written to")))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// I3: what a writer keeps in a buffer goes out while its reader has nothing.
#[test]
fn a_buffer_is_flushed_while_there_is_nothing_to_copy() {
    testing::run(async || {
        let ((mut client, mut front), (back, mut server)) = (duplex(64), duplex(64));
        let proxy = spawn(async move {
            let mut back = BufWriter::new(back);
            copy_bidirectional(&mut front, &mut back).await
        });
        client.write_all(b"hello").await?;
        let mut got = [0; 5];
        server.read_exact(&mut got).await?;
        assert_eq!(&got, b"hello");
        assert_eq!(proxy.state().to_string(), "COPY");
        proxy.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I3, C1: the error of a copy that is cancelled has, for each direction, what was read and not
/// written. So it can go on.
#[test]
fn a_cancelled_copy_both_ways_goes_on() {
    testing::run(async || {
        let ((mut client, mut front), (mut back, mut server)) = (duplex(16), duplex(2));
        client.write_all(b"0123456789").await?;
        server.write_all(b"ab").await?;
        client.close().await?;
        let proxy = spawn(async move {
            let error = copy_bidirectional(&mut front, &mut back).await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert_eq!(error.copied, (2, 2));
            assert_eq!(error.unwritten, (b"23456789".to_vec(), Vec::new()));
            back.write_all(&error.unwritten.0).await?;
            Ok::<_, io::Error>(copy_bidirectional(&mut front, &mut back).await?)
        });
        testing::settle().await?;
        proxy.request_cancel();
        testing::settle().await?;
        let got = everything(&mut server).await;
        server.close().await?;
        assert_eq!((got, everything(&mut client).await), (b"0123456789".to_vec(), b"ab".to_vec()));
        assert_eq!(proxy.await?, (0, 0));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I3: an error of one direction ends both, and says what each has copied.
#[test]
fn an_error_of_one_direction_ends_both() {
    testing::run(async || {
        let (mut client, server, proxy) = proxied(4);
        testing::settle().await?;
        drop(server);
        client.write_all(b"hell").await?;
        let error = proxy.await.unwrap_err();
        assert_eq!((error.kind(), error.copied), (ErrorKind::BrokenPipe, (0, 0)));
        assert_eq!(error.unwritten.0, b"hell");
        let text = io::Error::from(error).to_string();
        assert!(text.starts_with("0 and 0 bytes were copied: "), "{text}");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
