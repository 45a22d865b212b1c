//! Connects that are interrupted at every point, in every way: no descriptor leaks, no connection
//! stays without an owner, and a failed connect says why. The test counts the descriptors of its
//! own process.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use kernel::{Task, TaskError, cancelled, spawn, timeout_after, yield_now};
use net::TcpStream;

use crate::support::children;
use crate::support::process::open_descriptors;

/// A deadline, so that a fault is a failure and not a hang.
const LONG: Duration = Duration::from_secs(100);

/// Long enough for a timeout to fire while no answer comes.
const SHORT: Duration = Duration::from_millis(20);

type Connect = Task<TcpStream, io::Error>;

fn connect(address: SocketAddr) -> Connect {
    spawn(TcpStream::connect(address))
}

fn is(task: &Connect, state: &str) -> bool {
    task.state().to_string() == state
}

/// Runs a connect until it waits for an answer. Returns its stream if it need not wait.
async fn waits(task: &Connect) -> io::Result<Option<TcpStream>> {
    while is(task, "READY") {
        yield_now().await?;
    }
    if is(task, "CONNECT") {
        return Ok(None);
    }
    Ok(Some(task.join().await?.expect("it could connect")))
}

/// A listener whose backlog is full, so that further connects stay unanswered, and the clients in
/// it.
async fn full() -> io::Result<(std::net::TcpListener, Vec<TcpStream>)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut queued = Vec::new();
    loop {
        let next = connect(address);
        match waits(&next).await? {
            Some(stream) => queued.push(stream),
            None => {
                // The answer may only be slow.
                match timeout_after(SHORT, next.wait()).await {
                    Ok(_) => queued.push(next.join().await?.expect("it could connect")),
                    Err(_) => {
                        next.cancel().await?;
                        return Ok((listener, queued));
                    }
                }
            }
        }
        assert!(queued.len() < 10_000, "the backlog does not fill");
    }
}

/// Before the first poll: the connect runs to its first wait, so here it succeeds. A connect that
/// is dropped unpolled has opened nothing.
async fn unpolled(before: usize) -> io::Result<()> {
    for _ in 0..20 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        drop(TcpStream::connect(address));
        drop(tokio_test::task::spawn(TcpStream::connect(address)));
        let aborted = connect(address);
        aborted.abort();
        assert!(matches!(aborted.join().await?, Err(TaskError::Aborted)));
        assert_eq!(open_descriptors(), before + 1, "something was opened");
        let connecting = connect(address);
        connecting.request_cancel();
        let ours = match connecting.join().await? {
            Ok(stream) => stream.local_addr()?,
            // The system took longer.
            Err(TaskError::Cancelled(error)) if cancelled(&error).is_some() => continue,
            Err(other) => panic!("{other:?}"),
        };
        let (mut peer, theirs) = listener.accept()?;
        assert_eq!(theirs, ours, "a connection without an owner");
        drop(connecting);
        assert_eq!(peer.read(&mut [0])?, 0);
    }
    Ok(())
}

/// Parked: whatever ends the wait, the socket is closed when the call has returned.
async fn parked(address: SocketAddr) -> io::Result<()> {
    let before = open_descriptors();
    for _ in 0..20 {
        let task = connect(address);
        assert!(waits(&task).await?.is_none());
        assert_eq!(open_descriptors(), before + 1);
        task.cancel().await?;
        let Err(TaskError::Cancelled(error)) = task.join().await? else { panic!("cancelled") };
        assert!(cancelled(&error).is_some());
        assert_eq!(open_descriptors(), before, "after a cancel");

        let task = connect(address);
        assert!(waits(&task).await?.is_none());
        task.abort();
        assert_eq!(open_descriptors(), before, "after an abort");

        assert!(timeout_after(Duration::ZERO, TcpStream::connect(address)).await.is_err());
        assert_eq!(open_descriptors(), before, "after a time-out");

        let mut dropped = tokio_test::task::spawn(TcpStream::connect(address));
        assert!(dropped.poll().is_pending());
        assert_eq!(open_descriptors(), before + 1);
        drop(dropped);
        assert_eq!(open_descriptors(), before, "after a drop");
    }
    Ok(())
}

/// Checks after each turn of the kernel, and yields the processor meanwhile.
async fn wait_for(mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(1));
        yield_now().await?;
    }
    Ok(())
}

/// Woken and not polled since: a cancelled connect that is established is returned, a dropped one
/// is closed. The other side has each connection once, and reads its end.
async fn woken(listener: &std::net::TcpListener, queued: Vec<TcpStream>) -> io::Result<()> {
    let address = listener.local_addr()?;
    let connecting = connect(address);
    let mut dropped = tokio_test::task::spawn(TcpStream::connect(address));
    assert!(waits(&connecting).await?.is_none());
    assert!(dropped.poll().is_pending());
    for stream in &queued {
        assert_eq!(listener.accept()?.1, stream.local_addr()?);
    }
    drop(queued);
    let before = open_descriptors();
    // The system tries again after a second.
    wait_for(|| is(&connecting, "READY")).await?;
    connecting.request_cancel();
    let ours = connecting.join().await?.expect("it was up");
    wait_for(|| dropped.is_woken()).await?;
    drop(dropped);
    assert_eq!(open_descriptors(), before - 1, "the dropped one is not closed");
    let mut accepted = [listener.accept()?, listener.accept()?];
    accepted.sort_by_key(|(_, theirs)| Some(*theirs) != ours.local_addr().ok());
    assert_eq!(accepted[0].1, ours.local_addr()?);
    assert_eq!(accepted[1].0.read(&mut [0])?, 0, "the dropped one is not closed");
    Ok(())
}

/// Parked and then refused: the listener is closed, and the system reports it when it tries again.
async fn refused() -> io::Result<()> {
    let (listener, queued) = full().await?;
    let address = listener.local_addr()?;
    let task = connect(address);
    assert!(waits(&task).await?.is_none());
    drop(listener);
    let Err(TaskError::Failed(error)) = task.join().await? else { panic!("no socket listens") };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    drop(queued);
    Ok(())
}

/// N4, C1, C2, C3: an interrupted connect leaves nothing behind, whenever and however it is
/// interrupted. A connect that is established when the cancel comes is returned. One that was
/// refused while it waited says so.
#[test]
fn an_interrupted_connect_leaves_nothing_at_any_point() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let outside = open_descriptors();
    let all = kernel::run(async || {
        let all = async {
            // The kernel makes its timer for its first sleep.
            kernel::sleep(Duration::from_millis(1)).await?;
            let before = open_descriptors();
            unpolled(before).await?;
            assert_eq!(open_descriptors(), before);
            let (listener, queued) = full().await?;
            parked(listener.local_addr()?).await?;
            woken(&listener, queued).await?;
            drop(listener);
            assert_eq!(open_descriptors(), before);
            refused().await?;
            assert_eq!(open_descriptors(), before);
            Ok::<(), io::Error>(())
        };
        timeout_after(LONG, all).await.expect("it hangs")
    });
    all.unwrap();
    assert_eq!(open_descriptors(), outside);
}
