//! `curium::Error`: one error for programs, and `??` on a timeout.

use std::io;
use std::time::Duration;

use curium::Error;
use curium::io::{copy, copy_bidirectional, duplex};
use kernel::{CancelReason, TaskCancelled, cancelled, sleep, spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::time::SECOND;

/// Reads a byte under a timeout.
async fn read_within(stream: &TcpStream, limit: Duration) -> Result<usize, Error> {
    Ok(timeout_after(limit, stream.read(&mut [0])).await??)
}

/// T2, T3: `??` keeps a timeout, a cancellation and an error of the system apart.
#[test]
fn what_a_call_in_a_timeout_fails_with_keeps_its_kind() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let late = read_within(&client, SECOND).await.unwrap_err();
        assert!(matches!(late, Error::TimedOut(timeout) if timeout.limit() == SECOND), "{late}");
        let task = spawn(async move {
            let cancelled = read_within(&client, Duration::MAX).await.unwrap_err();
            client.close();
            let closed = read_within(&client, Duration::MAX).await.unwrap_err();
            Ok::<_, TaskCancelled>((cancelled, closed))
        });
        testing::settle().await?;
        task.cancel().await?;
        let (cancelled, closed) = task.await?;
        assert!(matches!(cancelled, Error::Cancelled(_)), "{cancelled}");
        assert!(matches!(&closed, Error::Io(it) if it.kind() == io::ErrorKind::NotConnected));
        Ok::<(), Error>(())
    })
    .unwrap();
}

/// C6, T2: a cancellation inside an `io::Error` is found, and so is that inside an `Error`.
#[test]
fn a_cancellation_is_found_in_the_one_error() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            Err::<(), Error>(io::Error::from(cancelled).into())
        });
        testing::settle().await?;
        task.request_cancel();
        let error = task.await.unwrap_err();
        assert!(matches!(error, Error::Cancelled(_)), "{error:?}");
        let found = cancelled(&error).expect("it holds a cancellation");
        assert!(matches!(found.reason(), CancelReason::Requested { .. }));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// A wrapper of an error, such as many libraries have.
#[derive(Debug, thiserror::Error)]
#[error("wrapped")]
struct Wrapped(#[source] io::Error);

/// T2: a timeout is found in an `io::Error`, however deeply nested. A timeout of the system and any
/// other failure stay unchanged, with their sources.
#[test]
fn a_timeout_is_found_in_an_io_error_and_a_failure_is_kept() {
    testing::run(async || {
        let late = timeout_after(SECOND, sleep(Duration::MAX)).await.unwrap_err();
        let twice = io::Error::other(io::Error::from(late));
        for made in [Error::from(late), io::Error::from(late).into(), twice.into()] {
            assert!(matches!(made, Error::TimedOut(found) if found == late), "{made:?}");
            assert_eq!((cancelled(&made), made.to_string()), (None, late.to_string()));
        }
        let system = Error::from(io::Error::from(io::ErrorKind::TimedOut));
        assert!(matches!(system, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut));
        let failed = Error::from(io::Error::other(Wrapped(io::Error::other("the cause"))));
        assert_eq!((failed.to_string(), cancelled(&failed)), ("wrapped".to_owned(), None));
    });
}

/// Copies between two streams that stay silent.
async fn relay() -> Result<(), Error> {
    let ((mut front, _client), (mut back, _server)) = (duplex(8), duplex(8));
    copy_bidirectional(&mut front, &mut back).await?;
    Ok(copy(&mut front, &mut back).await.map(drop)?)
}

/// C6, I3: a copy fails with the one error, and a cancelled one with a cancellation.
#[test]
fn the_errors_of_copies_become_the_one_error() {
    testing::run(async || {
        let task = spawn(relay());
        testing::settle().await?;
        task.cancel().await?;
        let ended = task.await;
        assert!(matches!(ended, Err(Error::Cancelled(_))), "{ended:?}");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

async fn write_for_ever(stream: TcpStream) -> Result<(), Error> {
    loop {
        stream.write_all(&[0; 1 << 16]).await?;
    }
}

/// C6, N7: a cancelled `write_all` is a cancellation, and a cancellation deep in the chain of an
/// `io::Error` is found.
#[test]
fn a_cancellation_is_found_however_deep_it_is() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (_peer, _) = listener.accept().await?;
        let writer = spawn(write_for_ever(stream));
        testing::settle().await?;
        writer.cancel().await?;
        let Err(Error::Cancelled(why)) = writer.await else { panic!("it was cancelled") };
        let deep = Error::from(io::Error::other(Wrapped(io::Error::from(why.clone()))));
        assert!(matches!(&deep, Error::Cancelled(found) if *found == why), "{deep:?}");
        assert_eq!(cancelled(&deep), Some(&why));
        Ok::<(), Error>(())
    })
    .unwrap();
}
