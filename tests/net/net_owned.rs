//! Halves that own their stream together.

use std::io::{self, IoSlice, IoSliceMut};

use curium::io::{AsyncRead, AsyncWrite, ReadExt, WriteExt};
use curium::kernel::{ignore_after, sleep, spawn, testing};
use curium::net::TcpStream;
#[cfg(unix)]
use curium::net::UnixStream;

use crate::support::connections::ours;
use crate::support::time::SECOND;

/// Fails unless the peer reads nothing more yet.
async fn assert_open(peer: &TcpStream) -> io::Result<()> {
    let nothing = ignore_after(SECOND, peer.read(&mut [0; 9])).await?;
    assert!(nothing.is_none(), "the peer has read something");
    Ok(())
}

/// N11, N3, I1: the halves work in two tasks at once, as streams. When the writing half is dropped,
/// the peer reads the end of the stream, and the reading half goes on.
#[test]
fn the_drop_of_a_writing_half_is_the_end_of_the_stream() {
    async fn check(
        mut read: impl AsyncRead + Unpin + 'static,
        mut write: impl AsyncWrite + Unpin + 'static,
        mut peer: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let reader = spawn(async move {
            let mut all = Vec::new();
            read.read_to_end(&mut all).await?;
            io::Result::Ok(all)
        });
        let writer = spawn(async move {
            sleep(SECOND).await?;
            io::Result::Ok(write.write_all(b"hello").await?)
        });
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await?;
        assert_eq!(heard, b"hello");
        writer.await?;
        assert!(!reader.is_done());
        peer.write_all(b"goodbye").await?;
        peer.close().await?;
        assert_eq!(reader.await?, b"goodbye");
        Ok(())
    }
    testing::run(async || {
        let (stream, peer) = ours().await?;
        let (read, write) = stream.into_split();
        check(read, write, peer).await?;
        #[cfg(unix)]
        {
            let (stream, peer) = UnixStream::pair()?;
            let (read, write) = stream.into_split();
            check(read, write, peer).await?;
        }
        io::Result::Ok(())
    })
    .unwrap();
}

/// N11: the halves have the methods of the stream, and the connection is closed with the last of
/// them.
#[test]
fn a_connection_is_closed_with_its_last_half() {
    testing::run(async || {
        for write_first in [false, true] {
            let (stream, peer) = ours().await?;
            let address = stream.local_addr()?;
            let (read, write) = stream.into_split();
            assert_eq!(read.as_ref().local_addr()?, address);
            assert_eq!(write.as_ref().peer_addr()?, peer.local_addr()?);
            peer.write_all(b"abcdef").await?;
            let mut buf = [0; 2];
            assert_eq!((read.peek(&mut buf).await?, &buf), (2, b"ab"));
            assert_eq!((read.read(&mut buf).await?, &buf), (2, b"ab"));
            assert_eq!(read.read_vectored(&mut [IoSliceMut::new(&mut buf)]).await?, 2);
            read.read_exact(&mut buf).await?;
            assert_eq!(&buf, b"ef");
            assert_eq!(write.write(b"ab").await?, 2);
            assert_eq!(write.write_vectored(&[IoSlice::new(b"c"), IoSlice::new(b"d")]).await?, 2);
            write.write_all(b"ef").await?;
            peer.read_exact(&mut [0; 6]).await?;
            if write_first {
                drop(write);
                assert_eq!(peer.read(&mut buf).await?, 0);
                drop(read);
            } else {
                drop(read);
                assert_open(&peer).await?;
                drop(write);
                assert_eq!(peer.read(&mut buf).await?, 0);
            }
            // Bytes for an end that is closed are answered by a reset.
            while peer.write(b"x").await.is_ok() {
                sleep(SECOND).await?;
            }
        }
        io::Result::Ok(())
    })
    .unwrap();
}

/// N11: the stream comes back from its two halves, open in both directions.
#[test]
fn a_stream_comes_back_from_its_halves() {
    testing::run(async || {
        let (stream, peer) = ours().await?;
        let (read, write) = stream.into_split();
        let stream = read.reunite(write).expect("they are of one stream");
        assert_open(&peer).await?;
        stream.write_all(b"both").await?;
        peer.read_exact(&mut [0; 4]).await?;
        peer.write_all(b"ways").await?;
        stream.read_exact(&mut [0; 4]).await?;
        io::Result::Ok(())
    })
    .unwrap();
}

/// N11: halves of two streams are not reunited. The error has both, and they work.
#[test]
fn halves_of_two_streams_come_back_in_the_error() {
    testing::run(async || {
        let ((one, peer_of_one), (other, peer_of_other)) = (ours().await?, ours().await?);
        let (read, write_of_one) = one.into_split();
        let (read_of_other, write) = other.into_split();
        let error = read.reunite(write).unwrap_err();
        assert_eq!(error.to_string(), "these halves are not of one stream");
        assert_open(&peer_of_other).await?;
        error.write.write_all(b"hello").await?;
        peer_of_other.read_exact(&mut [0; 5]).await?;
        peer_of_one.write_all(b"hello").await?;
        error.read.read_exact(&mut [0; 5]).await?;
        assert!(error.read.reunite(write_of_one).is_ok());
        assert!(read_of_other.reunite(error.write).is_ok());
        io::Result::Ok(())
    })
    .unwrap();
}
