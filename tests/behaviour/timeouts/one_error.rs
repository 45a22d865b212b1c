//! `curium::Error`: one error for programs, and `??` on a timeout.

use std::io;
use std::time::Duration;

use curium::Error;
use kernel::{CancelReason, TaskCancelled, cancelled, sleep, spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::time::SECOND;

/// Reads a byte, for so long.
async fn read_within(stream: &TcpStream, limit: Duration) -> Result<usize, Error> {
    Ok(timeout_after(limit, stream.read(&mut [0])).await??)
}

/// T2, T3: a timeout, a cancellation and an error of the system are told apart behind `??`.
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
