//! Which errors of `accept` end it, and after which it retries: errors that `strace` injects, in a
//! child process.

use std::io;
use std::time::Duration;

use kernel::{TaskError, spawn, testing};
use net::{TcpListener, TcpStream};
use rustix::io::Errno;

use crate::support::children;
use crate::support::traces::Listener;

const CLIENTS: usize = 3;

/// A server with clients that queue before it starts; each gets its number.
async fn serve_all() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let queued: Vec<_> =
        (0..CLIENTS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let server = spawn(listener.serve(async |stream: TcpStream, _| {
        let mut number = [0];
        stream.read_exact(&mut number).await?;
        Ok::<(), io::Error>(stream.write_all(&number).await?)
    }));
    for (number, client) in (0..).zip(queued) {
        let client = TcpStream::from_std(client)?;
        client.write_all(&[number]).await?;
        let mut answer = [0];
        client.read_exact(&mut answer).await?;
        assert_eq!(answer, [number]);
    }
    assert!(!server.is_done());
    server.cancel().await?;
    Ok(())
}

/// Runs the test `name` in a child whose calls of `call` fail with this error, as `when` says.
fn failing(name: &str, call: &str, error: &str, when: &str) {
    let inject = format!("inject={call}:error={error}:when={when}");
    let trace = format!("trace={call}");
    let traced = children::traced(name, error, &["-e", &trace, "-e", &inject]);
    if let Some(trace) = traced {
        assert!(trace.injected(error) > 0, "no call was made to fail:\n{}", trace.text());
    }
}

/// N6: an error that is not about the listener itself ends no server, known or not.
#[test]
fn a_server_waits_out_every_error_that_is_not_its_listeners() {
    let name = children::this_test!();
    if children::role().is_some() {
        return testing::run(serve_all).unwrap();
    }
    for error in ["EPERM", "EOPNOTSUPP", "ETIMEDOUT", "EACCES", "ECONNRESET", "EIO", "ENOSPC"] {
        failing(name, "accept4", error, "1+2");
    }
    for error in ["ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT", "ENOSYS"] {
        failing(name, "accept4", error, "2");
    }
}

/// N6: errors that say that this is not a listening socket end `accept` and the server, because no
/// later call could succeed.
#[test]
fn an_error_of_the_listener_itself_ends_the_server() {
    let name = children::this_test!();
    let errors = [
        ("EBADF", Errno::BADF),
        ("EINVAL", Errno::INVAL),
        ("ENOTSOCK", Errno::NOTSOCK),
        ("EFAULT", Errno::FAULT),
    ];
    let Some(role) = children::role() else {
        return errors.iter().for_each(|(error, _)| failing(name, "accept4", error, "1"));
    };
    let (_, errno) = errors.into_iter().find(|(error, _)| *error == role).unwrap();
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let served = listener.serve(async |_: TcpStream, _| Ok::<(), io::Error>(())).await;
        assert_eq!(served.unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N6: if the poll has no room for one more source, that is a lack like any other.
#[test]
fn a_server_outlives_a_poll_without_room() {
    let name = children::this_test!();
    if children::role().is_some() {
        return testing::run(accept_one_late).unwrap();
    }
    // The first is the kernel's own: its waker.
    failing(name, "epoll_ctl", "ENOSPC", "2");
}

async fn accept_one_late() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn(async move { listener.accept().await.map(drop) });
    // The server waits by now, so that the next source to be registered is not refused.
    testing::settle().await?;
    testing::advance(Duration::from_secs(1)).await?;
    drop(TcpStream::connect(address).await?);
    server.join().await?.unwrap();
    Ok(())
}

/// N6: a lasting refusal by the poll ends `accept`, because no later call could succeed.
#[test]
fn a_listener_that_the_poll_refuses_ends_accept() {
    let name = children::this_test!();
    if children::role().is_none() {
        return failing(name, "epoll_ctl", "EPERM", "2");
    }
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let refused = listener.accept().await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::PERM.raw_os_error()));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N6, K2: an endless series of an unknown error is reported once, is no busy loop, and leaves the
/// server cancellable.
#[test]
fn an_endless_row_of_one_error_is_said_once_and_leaves_the_server_cancellable() {
    let name = children::this_test!();
    if children::role().is_none() {
        // Not really endless, so that the trace of a failure is finite.
        return failing(name, "accept4", "EPERM", "1..20000");
    }
    let said = Listener::default();
    let listening = tracing::subscriber::set_default(said.clone());
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = spawn(async move { listener.accept().await.map(drop) });
        testing::advance(Duration::from_secs(10)).await?;
        assert!(!server.is_done());
        assert_eq!(said.heard().len(), 1);
        server.cancel().await?;
        match server.join().await? {
            Err(TaskError::Cancelled(_)) => Ok::<(), io::Error>(()),
            other => panic!("{other:?}"),
        }
    })
    .unwrap();
    drop(listening);
}
