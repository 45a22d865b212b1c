//! The close of a stream never waits for its peer, whatever its `SO_LINGER`.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use kernel::{spawn, testing};
use net::{TcpListener, TcpStream};
use rustix::net::sockopt::{set_socket_linger, socket_linger};

use crate::support::limits;

const HOUR: Duration = Duration::from_secs(3600);

/// The two ends of a connection.
async fn pair() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept().await?;
    Ok((server, client))
}

/// Sends more than the peer, which never reads, has room for. A close that lingers would wait.
async fn fill(stream: &TcpStream) -> io::Result<()> {
    let much = vec![7; 1 << 26];
    assert!(stream.write(&much).await? < much.len());
    Ok(())
}

fn linger(stream: &TcpStream, how_long: Duration) -> io::Result<()> {
    stream.as_fd(|fd| Ok(set_socket_linger(fd, Some(how_long))?))
}

/// Runs it under a deadline, so that a hang is a failure.
fn within(body: impl AsyncFnOnce() -> io::Result<()> + Send + 'static) {
    limits::within(move || testing::run(body).unwrap());
}

/// N8: dropped or closed, with a linger that was set on the lent descriptor.
#[test]
fn a_lingering_stream_is_closed_without_a_wait() {
    within(async || {
        for closed in [false, true] {
            let (server, _client) = pair().await?;
            linger(&server, HOUR)?;
            fill(&server).await?;
            if closed {
                server.close();
            }
            drop(server);
        }
        Ok(())
    });
}

/// N8: a stream that was taken over keeps its linger.
#[test]
fn a_lingering_stream_that_was_taken_over_is_closed_without_a_wait() {
    within(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
        set_socket_linger(&stream, Some(HOUR))?;
        let _peer = listener.accept().await?;
        let stream = TcpStream::from_std(stream)?;
        fill(&stream).await?;
        drop(stream);
        Ok(())
    });
}

/// N8: a connection has the linger of the listener that accepted it.
#[test]
fn a_stream_of_a_lingering_listener_is_closed_without_a_wait() {
    within(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let other = listener.try_clone()?;
        let listener = TcpListener::from_std(listener)?;
        // Through a duplicate, and after it was taken over.
        set_socket_linger(&other, Some(HOUR))?;
        let _client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept().await?;
        fill(&stream).await?;
        drop(stream);
        // Nor does the close of the listener wait, with a connection in its queue.
        let _queued = std::net::TcpStream::connect(listener.local_addr()?)?;
        drop(listener);
        Ok(())
    });
}

/// N8, N5: a close beside a parked writer does not wait either.
#[test]
fn a_lingering_stream_with_a_parked_writer_is_closed_without_a_wait() {
    within(async || {
        let (server, _client) = pair().await?;
        linger(&server, HOUR)?;
        let server = std::rc::Rc::new(server);
        let writer = spawn({
            let server = server.clone();
            async move { server.write_all(&vec![7; 1 << 26]).await }
        });
        testing::settle().await?;
        server.close();
        let closed = format!("{:?}", writer.join().await?);
        assert!(closed.contains("this handle is closed"), "{closed}");
        Ok(())
    });
}

/// N8: a linger of zero, which aborts the connection and waits for nothing, is kept, and so is
/// every linger until the close.
#[test]
fn an_abortive_close_stays_one() {
    testing::run(async || {
        for (how_long, left) in [(Duration::ZERO, Some(Duration::ZERO)), (HOUR, None)] {
            let (server, client) = pair().await?;
            let copy = server.as_fd(|fd| fd.try_clone_to_owned())?;
            linger(&server, how_long)?;
            server.as_fd(|_| Ok(()))?;
            assert_eq!(socket_linger(copy.as_fd())?, Some(how_long));
            drop(server);
            assert_eq!(socket_linger(copy.as_fd())?, left);
            drop(client);
        }
        let (server, client) = pair().await?;
        linger(&server, Duration::ZERO)?;
        drop(server);
        let client = TcpStream::from_std(client)?;
        let gone = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionReset);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
