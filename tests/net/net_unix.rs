//! Connections over Unix sockets (N9). What they share with TCP is tested in `net_stream`.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::rc::Rc;

use curium::cancelled;
use curium::kernel::testing;
use curium::net::{UnixDatagram, UnixListener, UnixStream, unix_server};
use curium::prelude::*;
use curium::signal::{SIGPIPE, signals};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::support::dirs::TempDir;
use crate::support::time::SECOND;

/// An abstract name that no other test uses.
fn abstract_name(of: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("curium {of} {}", std::process::id())).unwrap()
}

async fn echo(stream: UnixStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

async fn asks(stream: &UnixStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text.as_bytes());
    Ok(())
}

/// A listener whose queue has room for one connection, which has taken it.
fn full(path: &std::path::Path) -> (std::os::unix::net::UnixListener, impl Sized + use<>) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    (listener, std::os::unix::net::UnixStream::connect(path).unwrap())
}

/// N9: a listener at a path has the path as its address, and its clients have none. Both directions
/// work, and one may end before the other.
#[test]
fn a_connection_at_a_path_carries_both_directions() {
    let dir = TempDir::new();
    let path = dir.of("socket");
    testing::run(async || {
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(&*path));
        let client = UnixStream::connect(path.as_path()).await?;
        let (server, peer) = listener.accept().await?;
        assert!(peer.is_unnamed() && server.peer_addr()?.is_unnamed());
        assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));

        client.write_all(b"question").await?;
        client.shutdown(Shutdown::Write)?;
        client.shutdown(Shutdown::Write)?;
        let mut buf = [0; 64];
        assert_eq!(server.peek(&mut buf[..5]).await?, 5);
        assert_eq!(server.read(&mut buf).await?, 8);
        assert_eq!(&buf[..8], b"question");
        assert_eq!(server.read(&mut buf).await?, 0);
        server.write_all(b"answer").await?;
        drop(server);
        client.read_exact(&mut buf[..6]).await?;
        assert_eq!(&buf[..6], b"answer");
        assert_eq!(client.read(&mut buf).await?, 0);
        client.close();
        let closed = client.read(&mut buf).await.unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::NotConnected);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a listener has an abstract name, which needs no file and is free when it is closed. A client
/// that has such a name is known by it.
#[test]
fn abstract_names_are_addresses() {
    testing::run(async || {
        let name = abstract_name("listener");
        let listener = UnixListener::bind(&name)?;
        assert_eq!(listener.local_addr()?.as_abstract_name(), name.as_abstract_name());
        let taken = UnixListener::bind(&name).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().contains("abstract name \"curium listener"), "{taken}");

        let client = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mine = abstract_name("client");
        let bytes = mine.as_abstract_name().unwrap();
        rustix::net::bind(&client, &SocketAddrUnix::new_abstract_name(bytes)?)?;
        let to = SocketAddrUnix::new_abstract_name(name.as_abstract_name().unwrap())?;
        rustix::net::connect(&client, &to)?;
        let (server, peer) = listener.accept().await?;
        assert_eq!(peer.as_abstract_name(), Some(bytes));
        let client = UnixStream::from_std(client.into())?;
        let echo = spawn(echo(server, peer));
        asks(&client, "hello").await?;
        drop(client);
        echo.await?;

        listener.close();
        let gone = UnixStream::connect(&name).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
        drop(UnixListener::bind(&name)?);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: an error names the path. The file of a socket stays when the socket is gone, and until it is
/// removed no other socket is bound there.
#[test]
fn a_path_that_exists_is_not_bound_again() {
    let dir = TempDir::new();
    let path = dir.of("socket");
    testing::run(async || {
        let named = |error: io::Error| {
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            error.kind()
        };
        let missing = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(named(missing), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path)?;
        assert_eq!(named(UnixListener::bind(&path).unwrap_err()), ErrorKind::AddrInUse);
        drop(listener);
        assert!(path.exists());
        assert_eq!(named(UnixListener::bind(&path).unwrap_err()), ErrorKind::AddrInUse);
        let refused = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(named(refused), ErrorKind::ConnectionRefused);
        fs::remove_file(&path)?;
        UnixListener::bind(&path)?;

        let long = dir.of(&"long".repeat(50));
        for (bad, text) in [(long.to_str().unwrap(), "SUN_LEN"), ("", "empty"), ("a\0b", "null")] {
            let error = UnixListener::bind(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(UnixStream::connect(bad).await.unwrap_err().kind(), error.kind());
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a connect that finds the queue of the listener full waits until there is room, although no
/// event says so.
#[test]
fn a_connect_waits_for_room_at_the_listener() {
    let dir = TempDir::new();
    let path = dir.of("socket");
    testing::run(async || {
        let (listener, _first) = full(&path);
        let connecting = spawn(UnixStream::connect(path.clone()));
        testing::advance(SECOND).await?;
        assert_eq!(connecting.state().to_string(), "SLEEP");
        listener.accept()?;
        let stream = connecting.await?;
        let (theirs, _) = listener.accept()?;
        let theirs = UnixStream::from_std(theirs)?;
        let echo = spawn(async move { echo(theirs, abstract_name("")).await });
        asks(&stream, "hello").await?;
        drop(stream);
        echo.await
    })
    .unwrap();
}

/// N9, N4, T1: such a wait is cancelled, ends with a timeout, and fails when the listener is
/// closed. It leaves no connection behind.
#[test]
fn a_connect_that_waits_for_room_is_cancelled() {
    let dir = TempDir::new();
    let path = dir.of("socket");
    testing::run(async || {
        let (listener, _first) = full(&path);
        let connecting = spawn(UnixStream::connect(path.clone()));
        testing::settle().await?;
        connecting.cancel().await?;
        assert!(timeout_after(SECOND, UnixStream::connect(&path)).await.is_err());
        listener.accept()?;
        listener.set_nonblocking(true)?;
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _second = UnixStream::connect(&path).await?;
        let connecting = spawn(UnixStream::connect(path.clone()));
        testing::settle().await?;
        drop(listener);
        let TaskError::Failed(refused) = connecting.join().await?.unwrap_err() else {
            panic!("it has failed");
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: each end knows the process, the user and the group of the other one.
#[test]
fn the_credentials_of_the_peer_are_known() {
    let dir = TempDir::new();
    run(async || {
        let listener = UnixListener::bind(dir.of("socket"))?;
        let client = UnixStream::connect(dir.of("socket")).await?;
        let (server, _) = listener.accept().await?;
        let (one, other) = UnixStream::pair()?;
        let me = (
            std::process::id(),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        for stream in [&client, &server, &one, &other] {
            let cred = stream.peer_cred()?;
            assert_eq!((cred.pid, cred.uid, cred.gid), me);
        }
        client.close();
        assert_eq!(client.peer_cred().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N7: writing to a peer that is gone is an error and raises no signal, whichever write it is.
#[test]
fn a_write_to_a_peer_that_is_gone_raises_no_signal() {
    run(async || {
        let mut raised = signals([SIGPIPE])?;
        let (mut one, other) = UnixStream::pair()?;
        drop(other);
        let broken = ErrorKind::BrokenPipe;
        assert_eq!(one.write(b"1").await.unwrap_err().kind(), broken);
        assert_eq!(one.write_all(b"1").await.unwrap_err().kind(), broken);
        // Few bytes are written as one buffer, many are not.
        for len in [1, 4096] {
            let bytes = vec![1; len];
            let bufs = [io::IoSlice::new(&bytes), io::IoSlice::new(&bytes)];
            let vectored = futures::AsyncWriteExt::write_vectored(&mut one, &bufs).await;
            assert_eq!(vectored.unwrap_err().kind(), broken);
        }
        let (one, other) = UnixDatagram::pair()?;
        drop(other);
        one.send(b"1").await.unwrap_err();
        // A signal is delivered to the thread that writes, before the write returns.
        assert!(ignore_after(Duration::from_millis(1), raised.recv()).await?.is_none());
        SIGPIPE.raise()?;
        assert_eq!(raised.recv().await?, SIGPIPE);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I1: a write of more buffers than one call of the system takes writes the first of them.
#[test]
fn a_write_of_very_many_buffers_writes_the_first() {
    run(async || {
        let (mut one, other) = UnixStream::pair()?;
        let bufs = [io::IoSlice::new(b"1"); 5000];
        let n = futures::AsyncWriteExt::write_vectored(&mut one, &bufs).await?;
        let mut got = [0; 5000];
        assert_eq!(other.read(&mut got).await?, n);
        assert!(n >= 16 && got[..n].iter().all(|byte| *byte == b'1'));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N3, N4, N5: one reader at a time; a cancelled read consumes nothing; a close wakes a reader.
#[test]
fn a_reader_is_alone_cancelled_and_woken_by_a_close() {
    testing::run(async || {
        let (one, other) = UnixStream::pair()?;
        let one = Rc::new(one);
        let read = |stream: Rc<UnixStream>| async move { stream.read(&mut [0; 8]).await };
        let reader = spawn(read(one.clone()));
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        assert_eq!(one.peek(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        reader.cancel().await?;
        other.write_all(b"kept").await?;
        assert_eq!(one.read(&mut [0; 8]).await?, 4);
        let reader = spawn(read(one.clone()));
        testing::settle().await?;
        one.close();
        let TaskError::Failed(closed) = reader.join().await?.unwrap_err() else {
            panic!("it has failed");
        };
        assert_eq!((closed.kind(), cancelled(&closed)), (ErrorKind::NotConnected, None));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N1, N3: a write that is larger than the buffers of the system parks, and goes on as the other
/// end reads. Both halves of a stream wait at once.
#[test]
fn large_writes_go_through_both_halves() {
    run(async || {
        let (mut one, other) = UnixStream::pair()?;
        let bulk: Rc<Vec<u8>> = Rc::new((0..1 << 20).map(|n| (n % 251) as u8).collect());
        let sent = bulk.clone();
        let echo = spawn(async move { echo(other, abstract_name("")).await });
        let (read, write) = one.split();
        let mut got = vec![0; bulk.len()];
        let (written, received) = futures::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown()
            },
            read.read_exact(&mut got)
        );
        written?;
        received?;
        assert!(got == *bulk);
        echo.await
    })
    .unwrap();
}

/// N9, G1: a server runs its handler for each connection, until it is cancelled or its listener is
/// closed. The file at its path stays.
#[test]
fn a_unix_server_serves_until_it_ends() {
    let dir = TempDir::new();
    let path = dir.of("socket");
    testing::run(async || {
        let server = spawn(unix_server(path.clone(), echo));
        testing::settle().await?;
        let clients = [UnixStream::connect(&path).await?, UnixStream::connect(&path).await?];
        for client in clients.iter().rev() {
            asks(client, "hello").await?;
        }
        server.cancel().await?;
        for client in &clients {
            assert_eq!(client.read(&mut [0; 8]).await?, 0);
        }
        assert!(spawn(unix_server(path.clone(), echo)).join().await?.is_err());

        fs::remove_file(&path)?;
        let listener = Rc::new(UnixListener::bind(&path)?);
        let server = spawn(listener.clone().serve_shared(echo));
        asks(&UnixStream::connect(&path).await?, "hello").await?;
        let second = listener.accept().await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::ResourceBusy);
        listener.close();
        server.await?;
        let serving = spawn(UnixListener::bind(abstract_name("served"))?.serve(echo));
        asks(&UnixStream::connect(abstract_name("served")).await?, "hello").await?;
        serving.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N6: what is no listening Unix socket is an error of `accept`, and is not tried again.
#[test]
fn an_accept_on_a_socket_that_does_not_listen_is_an_error() {
    run(async || {
        let (one, _other) = std::os::unix::net::UnixStream::pair()?;
        let listener = UnixListener::from_std(std::os::fd::OwnedFd::from(one).into())?;
        let error = listener.accept().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N11: the hang-up of the peer is noticed without a read, and what it has sent is still there.
#[test]
fn a_hang_up_of_a_unix_peer_is_noticed_without_a_read() {
    testing::run(async || {
        let (one, other) = UnixStream::pair()?;
        other.write_all(b"bye").await?;
        let mut buf = [0; 9];
        assert!(ignore_after(SECOND, one.hung_up()).await?.is_none());
        drop(other);
        one.hung_up().await?;
        assert_eq!(one.read(&mut buf).await?, 3);
        assert_eq!(one.read(&mut buf).await?, 0);
        io::Result::Ok(())
    })
    .unwrap();
}
