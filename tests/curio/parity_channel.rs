//! What curio's tests of channels check: messages over a connection.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream as StdStream;

use curium::io::{Framed, LengthDelimitedCodec, ReadExt};
use curium::kernel::{cancelled, ignore_after, spawn, testing};
use curium::net::{TcpListener, TcpStream, UnixStream};

use crate::support::time::SECOND;

type Channel<S> = Framed<S, LengthDelimitedCodec>;

fn channel<S>(stream: S) -> Channel<S> {
    Framed::new(stream, LengthDelimitedCodec::new())
}

fn pair() -> io::Result<(Channel<UnixStream>, Channel<UnixStream>)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((channel(ours), channel(theirs)))
}

/// I3: messages go each way between two ends that have connected, also if the server accepts later.
#[test]
fn messages_go_each_way_between_a_client_and_a_late_server() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = channel(TcpStream::connect(listener.local_addr()?).await?);
        client.send("server hello").await?;
        testing::advance(SECOND).await?;
        let mut server = channel(listener.accept().await?.0);
        assert_eq!(server.recv().await?.unwrap(), b"server hello");
        server.send(b"client hello").await?;
        assert_eq!(client.recv().await?.unwrap(), b"client hello");
        client.close().await?;
        assert_eq!(server.recv().await?, None);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I3: a message of megabytes arrives whole. Without a decoder, it can be read into a buffer of the
/// caller.
#[test]
fn a_large_message_arrives_whole() {
    testing::run(async || {
        let (mut ours, mut theirs) = pair()?;
        let large: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 7) as u8).collect();
        let message = large.clone();
        let sends = spawn(async move {
            ours.send(&message).await?;
            ours.send(&message).await
        });
        assert!(theirs.recv().await?.unwrap() == large);
        // What was read of the next message is in the buffer.
        let mut next = theirs.buffer().to_vec();
        let mut stream = theirs.into_inner();
        let mut rest = vec![0; 4 + large.len() - next.len()];
        ReadExt::read_exact(&mut stream, &mut rest).await?;
        next.append(&mut rest);
        assert!(next[4..] == large);
        sends.await
    })
    .unwrap();
}

/// I3: a receive that waits can be cancelled, and can time out, and then goes on.
#[test]
fn a_receive_that_waits_can_be_cancelled_and_time_out() {
    testing::run(async || {
        let (mut ours, mut theirs) = pair()?;
        let receives = spawn(async move {
            let error = ours.recv().await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert!(ignore_after(SECOND, ours.recv()).await?.is_none());
            ours.recv().await
        });
        testing::settle().await?;
        receives.request_cancel();
        testing::advance(SECOND).await?;
        theirs.send("hello").await?;
        assert_eq!(receives.await?.unwrap(), b"hello");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I3: a send that waits because the peer does not read can be cancelled, and can time out. The
/// peer gets the whole message nevertheless, with the next call.
#[test]
fn a_send_that_waits_can_be_cancelled_and_time_out() {
    testing::run(async || {
        let (mut ours, mut theirs) = pair()?;
        let sends = spawn(async move {
            let error = ours.send(vec![1; 2 << 20]).await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert!(ignore_after(SECOND, ours.send("late")).await?.is_none());
            ours.close().await
        });
        testing::settle().await?;
        sends.request_cancel();
        testing::advance(SECOND).await?;
        assert_eq!(theirs.recv().await?.unwrap(), [1; 2 << 20]);
        assert_eq!(theirs.recv().await?.unwrap(), b"late");
        assert_eq!(theirs.recv().await?, None);
        sends.await
    })
    .unwrap();
}

/// I3: messages go over a connection that other code has made.
#[test]
fn messages_go_over_a_connection_of_other_code() {
    testing::run(async || {
        let (ours, theirs) = StdStream::pair()?;
        let (ours, theirs) = (UnixStream::from_std(ours)?, UnixStream::from_std(theirs)?);
        let (mut ours, mut theirs) = (channel(ours), channel(theirs));
        ours.send("hello").await?;
        assert_eq!(theirs.recv().await?.unwrap(), b"hello");
        drop(ours);
        assert_eq!(theirs.recv().await?, None);
        let broken = theirs.send("anyone?").await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
