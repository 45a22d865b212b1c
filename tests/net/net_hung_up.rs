//! Waiting until the peer has hung up, without reading.

use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::rc::Rc;

use kernel::{Task, spawn, testing};
use net::TcpStream;

use crate::support::connections::to_std;

/// A task that waits for the hang-up.
fn waits(stream: &Rc<TcpStream>) -> Task<(), io::Error> {
    let stream = stream.clone();
    spawn(async move { stream.hung_up().await })
}

async fn reads(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut buf = [0; 64];
    let n = stream.read(&mut buf).await?;
    Ok(buf[..n].to_vec())
}

/// N11: bytes do not end the wait, the end of the stream does. The bytes are still there, and this
/// end may still write.
#[test]
fn a_hang_up_is_noticed_without_a_read() {
    testing::run(async || {
        let (stream, mut theirs) = to_std().await?;
        let stream = Rc::new(stream);
        let waiter = waits(&stream);
        testing::settle().await?;
        assert_eq!(waiter.state().to_string(), "HUNG_UP");
        theirs.write_all(b"still here")?;
        testing::settle().await?;
        assert!(!waiter.is_done());
        theirs.shutdown(Shutdown::Write)?;
        waiter.await?;
        stream.hung_up().await?; // and it stays so
        assert_eq!(reads(&stream).await?, b"still here");
        assert_eq!(reads(&stream).await?, b"");
        stream.hung_up().await?;
        stream.write_all(b"goodbye").await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: a wait after everything was read finds a hang-up that came before.
#[test]
fn a_hang_up_that_came_before_is_found() {
    testing::run(async || {
        let (stream, mut theirs) = to_std().await?;
        theirs.write_all(b"bye")?;
        drop(theirs);
        assert_eq!(reads(&stream).await?, b"bye");
        stream.hung_up().await?;
        assert_eq!(reads(&stream).await?, b"");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: a reset is a hang-up, and the error of the next read.
#[test]
fn a_reset_is_a_hang_up() {
    testing::run(async || {
        let (stream, theirs) = to_std().await?;
        let stream = Rc::new(stream);
        let waiter = waits(&stream);
        testing::settle().await?;
        rustix::net::sockopt::set_socket_linger(&theirs, Some(std::time::Duration::ZERO))?;
        drop(theirs);
        waiter.await?;
        assert_eq!(reads(&stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11, N3: it counts as the reader, and a close of the stream wakes it.
#[test]
fn a_wait_for_a_hang_up_is_the_reader_of_its_stream() {
    testing::run(async || {
        let (stream, _theirs) = to_std().await?;
        let stream = Rc::new(stream);
        let waiter = waits(&stream);
        testing::settle().await?;
        assert_eq!(reads(&stream).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        waiter.cancel().await?;
        let waiter = waits(&stream);
        testing::settle().await?;
        stream.close();
        assert_eq!(waiter.await.unwrap_err().kind(), ErrorKind::NotConnected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11, N4: a wait that is cancelled after bytes have come leaves them for the next read.
#[test]
fn a_cancelled_wait_for_a_hang_up_hides_no_byte() {
    testing::run(async || {
        let (stream, mut theirs) = to_std().await?;
        let stream = Rc::new(stream);
        let waiter = waits(&stream);
        testing::settle().await?;
        theirs.write_all(b"hello")?;
        testing::settle().await?;
        waiter.cancel().await?;
        assert_eq!(reads(&stream).await?, b"hello");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
