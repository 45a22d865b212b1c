//! `accept` when the system fails it: errors that `strace` injects, in a child process. After an
//! error that may pass every client must be served, and the server must stay cancellable.

#![cfg(target_os = "linux")]

use std::io;

use kernel::{TaskError, spawn, testing};
use net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::support::children;
use crate::support::dirs::TempDir;

const CLIENTS: usize = 5;

/// A server with clients that queue before it starts; each gets its number.
fn serve_all() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let queued: Vec<_> =
            (0..CLIENTS).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let server = spawn(listener.serve(async |stream: TcpStream, _| {
            let mut number = [0];
            stream.read_exact(&mut number).await?;
            Ok::<(), io::Error>(stream.write_all(&number).await?)
        }));
        for (number, client) in queued.into_iter().enumerate() {
            let number = number as u8;
            let client = TcpStream::from_std(client)?;
            client.write_all(&[number]).await?;
            let mut answer = [0];
            client.read_exact(&mut answer).await?;
            assert_eq!(answer, [number]);
        }
        // One more, for which it had to wait.
        let late = TcpStream::connect(address).await?;
        late.write_all(&[7]).await?;
        late.read_exact(&mut [0]).await?;
        assert!(!server.is_done());
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// The same over a Unix socket.
fn serve_all_over_unix() {
    testing::run(async || {
        let dir = TempDir::new();
        let path = dir.of("socket");
        let listener = UnixListener::bind(&path)?;
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
        let server = spawn(listener.serve(async |stream: UnixStream, _| {
            let mut number = [0];
            stream.read_exact(&mut number).await?;
            Ok::<(), io::Error>(stream.write_all(&number).await?)
        }));
        for (number, client) in clients.into_iter().enumerate() {
            let client = UnixStream::from_std(client)?;
            client.write_all(&[number as u8]).await?;
            let mut answer = [0];
            client.read_exact(&mut answer).await?;
            assert_eq!(answer, [number as u8]);
        }
        assert!(!server.is_done());
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// Makes calls of `accept` fail with this error, as `when` says, in a server with clients.
fn all_are_served_in_spite_of(test: &str, error: &str, when: &str) {
    let inject = format!("inject=accept4:error={error}:when={when}");
    let role = format!("{error}-{when}");
    let options = ["-e", "trace=accept4", "-e", &inject];
    if let Some(trace) = children::traced(test, &role, &options) {
        assert!(trace.injected(error) > 0, "no call was made to fail:\n{}", trace.text());
    }
}

/// N6: a lack of descriptors, of buffers or of memory never ends a server.
#[test]
fn a_server_outlives_every_lack() {
    if children::role().is_some() {
        serve_all();
        return serve_all_over_unix();
    }
    let name = children::this_test!();
    all_are_served_in_spite_of(name, "EMFILE", "2");
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        all_are_served_in_spite_of(name, error, "1+2");
    }
}

/// N6: nor does a connection that was gone before it was accepted, nor an interruption.
#[test]
fn a_server_passes_over_a_connection_that_is_gone() {
    if children::role().is_some() {
        return serve_all();
    }
    let name = children::this_test!();
    for error in ["ECONNABORTED", "EINTR"] {
        all_are_served_in_spite_of(name, error, "2");
        all_are_served_in_spite_of(name, error, "1+2");
    }
}

/// N6: nor does an error of the network that belongs to a new connection. Linux returns those from
/// `accept`.
#[test]
fn a_server_passes_over_a_connection_that_the_network_failed() {
    if children::role().is_some() {
        return serve_all();
    }
    let name = children::this_test!();
    all_are_served_in_spite_of(name, "EPROTO", "2");
    for error in ["EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN"] {
        all_are_served_in_spite_of(name, error, "1+2");
    }
    for error in ["ENONET", "EHOSTUNREACH", "ENETUNREACH"] {
        all_are_served_in_spite_of(name, error, "1+2");
    }
}

/// N6: if the poll has no memory for one more source, that is a lack like any other.
#[test]
fn a_server_outlives_a_poll_without_memory() {
    let name = children::this_test!();
    if children::role().is_some() {
        testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let server = spawn(async move { listener.accept().await.map(drop) });
            // The server waits by now, so that the next source to be registered is not refused.
            testing::settle().await?;
            testing::advance(std::time::Duration::from_secs(1)).await?;
            drop(TcpStream::connect(address).await?);
            server.join().await?.unwrap();
            Ok::<(), io::Error>(())
        })
        .unwrap();
        return;
    }
    // The first two are the kernel's own: its waker and its timer.
    let inject = "inject=epoll_ctl:error=ENOMEM:when=3";
    let traced = children::traced(name, "ENOMEM", &["-e", "trace=epoll_ctl", "-e", inject]);
    if let Some(trace) = traced {
        assert_eq!(trace.injected("ENOMEM"), 1, "{}", trace.text());
    }
}

/// N6, K2: an endless series of errors neither starves other tasks nor makes the server
/// uncancellable.
#[test]
fn an_endless_row_of_errors_leaves_the_server_cancellable() {
    let name = children::this_test!();
    if children::role().is_some() {
        testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let server = spawn(async move { listener.accept().await.map(drop) });
            for _ in 0..10 {
                kernel::yield_now().await?;
            }
            server.cancel().await?;
            match server.join().await? {
                Err(TaskError::Cancelled(_)) => Ok::<(), io::Error>(()),
                other => panic!("{other:?}"),
            }
        })
        .unwrap();
        return;
    }
    // Not really endless, so that the trace of a failure is finite.
    let many = 20_000;
    for error in ["ECONNABORTED", "EMFILE"] {
        let inject = format!("inject=accept4:error={error}:when=1..{many}");
        let options = ["-e", "trace=accept4", "-e", &inject];
        if let Some(trace) = children::traced(name, error, &options) {
            let failed = trace.injected(error);
            assert!(failed > 0, "no call was made to fail");
            assert!(failed < many, "{error}: the cancel came after the last of all errors");
        }
    }
}
