//! Peers that use TCP features outside the stream: urgent bytes, and an immediate reset.

use std::io::{self, ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskError, spawn, testing, timeout_after};
use net::TcpStream;
use rustix::net::{SendFlags, send, sockopt};

use crate::support::connections;
use crate::support::time::SECOND;

async fn pair() -> io::Result<(Rc<TcpStream>, std::net::TcpStream)> {
    let (stream, peer) = connections::to_std().await?;
    Ok((Rc::new(stream), peer))
}

/// N1: an urgent byte, which is not part of the stream, cuts a read short although more bytes
/// follow. Those are still read, without a further event.
#[test]
fn an_urgent_byte_in_the_middle_does_not_hide_what_comes_behind_it() {
    for parked in [false, true] {
        testing::run(async || {
            let (stream, mut peer) = pair().await?;
            // Registered, like a socket on which a task has parked once.
            assert!(timeout_after(SECOND, stream.read(&mut [0])).await.is_err());
            let reader = spawn({
                let stream = stream.clone();
                async move {
                    let (mut got, mut buf) = (Vec::new(), [0; 64]);
                    while got.len() < 11 {
                        let n = stream.read(&mut buf).await?;
                        got.extend_from_slice(&buf[..n]);
                    }
                    Ok::<_, io::Error>(got)
                }
            });
            if parked {
                testing::settle().await?;
            }
            peer.write_all(b"before")?;
            send(&peer, b"!", SendFlags::OOB)?;
            peer.write_all(b"after")?;
            let got = timeout_after(SECOND, reader.join()).await.expect("it was not woken")?;
            assert_eq!(got.unwrap(), b"beforeafter", "{parked}");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// N1, N7: when a peer resets the connection with nothing unread, the parked reader gets the error,
/// later reads are at the end, and a write fails.
#[test]
fn a_reset_without_more_ado_is_an_error_to_the_reader() {
    testing::run(async || {
        let (stream, peer) = pair().await?;
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 9]).await }
        });
        testing::settle().await?;
        sockopt::set_socket_linger(&peer, Some(Duration::ZERO))?;
        drop(peer);
        let Err(TaskError::Failed(error)) = reader.join().await? else { panic!("it is gone") };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        for _ in 0..3 {
            assert_eq!(stream.read(&mut [0; 9]).await?, 0);
            let error = stream.write(b"anybody?").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1, N7: a connection that was reset while it was still queued is accepted, and its first read
/// returns the error. The next connection works normally.
#[test]
fn a_connection_that_was_reset_in_the_queue_harms_no_other() {
    testing::run(async || {
        let listener = net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bad = std::net::TcpStream::connect(address)?;
        sockopt::set_socket_linger(&bad, Some(Duration::ZERO))?;
        drop(bad);
        let mut good = std::net::TcpStream::connect(address)?;
        good.write_all(b"hello")?;
        let mut buf = [0; 9];
        let mut reset = 0;
        loop {
            let (stream, peer) = listener.accept().await?;
            match stream.read(&mut buf).await {
                Ok(n) => {
                    assert_eq!((&buf[..n], peer), (&b"hello"[..], good.local_addr()?));
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
            reset += 1;
        }
        // Some systems remove it from the queue.
        assert!(reset <= 1);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
