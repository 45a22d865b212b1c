//! A server that runs out of descriptors. It lowers the limit of its own process.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskError, spawn, testing, timeout_after, yield_now};
use net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::children;

/// Lowers the limit so that no further descriptor is available. Returns the old limit.
fn exhaust() -> Rlimit {
    let old = getrlimit(Resource::Nofile);
    // The lowest free number is the first that must be refused.
    let probe = std::fs::File::open("/dev/null").unwrap();
    let next = std::os::fd::AsRawFd::as_raw_fd(&probe) as u64;
    drop(probe);
    setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum: old.maximum }).unwrap();
    assert!(std::fs::File::open("/dev/null").is_err(), "there is still a descriptor");
    old
}

/// N6, N1: an accept that meets the limit waits, can time out, and continues when there are
/// descriptors again, although no further event comes.
#[test]
fn an_accept_outlives_a_lack_of_descriptors() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let old = exhaust();
        let hour = Duration::from_secs(3600);
        let refused = timeout_after(hour, listener.accept()).await;
        assert!(refused.is_err(), "accepted without a descriptor: {refused:?}");
        let server = spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.write_all(b"late").await?;
            Ok::<(), io::Error>(())
        });
        testing::settle().await?;
        setrlimit(Resource::Nofile, old).unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"late");
        server.join().await?.unwrap();
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// C6, N5, N6: a server that waits for descriptors, and is closed and cancelled meanwhile, ends in
/// the cancellation that was delivered to it.
#[test]
fn a_server_closed_and_cancelled_in_a_shortage_passes_the_cancellation_on() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        let old = exhaust();
        let server = spawn(listener.clone().serve_shared(async |_, _| io::Result::Ok(())));
        // It is parked in the pause, not on the listener.
        while server.state().to_string() != "SLEEP" {
            yield_now().await?;
        }
        listener.close();
        server.cancel().await?;
        setrlimit(Resource::Nofile, old).unwrap();
        assert!(matches!(server.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
