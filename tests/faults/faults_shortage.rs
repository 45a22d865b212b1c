//! A server that has run out of descriptors. Each test lowers the limit of a child process.

#![cfg(target_os = "linux")]

use std::error::Error;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kernel::{Kernel, TaskError, spawn, testing, timeout_after};
use net::{TcpListener, TcpOptions, TcpStream};
use net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::children;
use crate::support::process::open_descriptors;
use crate::support::reports;
use crate::support::traces::Listener;

/// Lowers the limit so that `left` further descriptors are available. Returns the old limit.
fn leave(left: u64) -> Rlimit {
    let old = getrlimit(Resource::Nofile);
    // The lowest free number is the first that must be refused.
    let probe = std::fs::File::open("/dev/null").unwrap();
    let next = probe.as_raw_fd() as u64 + left;
    drop(probe);
    setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum: old.maximum }).unwrap();
    old
}

/// A connection that waits in the queue of the listener.
fn client(address: SocketAddr) -> std::net::TcpStream {
    std::net::TcpStream::connect(address).unwrap()
}

async fn second() -> io::Result<()> {
    Ok(kernel::sleep(Duration::from_secs(1)).await?)
}

/// Runs the test's body in a child, or is that child.
fn alone(name: &str, body: impl AsyncFnOnce() -> io::Result<()>) {
    if !children::ran_alone(name) {
        testing::run(body).unwrap();
    }
}

/// K2: a kernel sleeps in time without a descriptor for its timer, in whole milliseconds, and takes
/// one when there is one.
#[test]
fn a_kernel_without_a_descriptor_for_its_timer_sleeps() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    kernel::run(async || {
        let short = Duration::from_micros(1_500);
        let before = open_descriptors();
        let old = leave(0);
        let begun = Instant::now();
        kernel::sleep(short).await?;
        assert!(begun.elapsed() >= short, "a timer is never early");
        setrlimit(Resource::Nofile, old)?;
        assert_eq!(open_descriptors(), before);
        kernel::sleep(short).await?;
        assert_eq!(open_descriptors(), before + 1);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N6, N1: several clients whose one event came while there was no descriptor are all served once
/// descriptors are free again, and the lack is reported once, however often it occurred.
#[test]
fn all_who_queued_in_a_shortage_are_served_after_it_and_it_is_named_once() {
    let said = Listener::default();
    let listening = tracing::subscriber::set_default(said.clone());
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = spawn(listener.serve(async |stream: TcpStream, peer: SocketAddr| {
            Ok::<(), io::Error>(stream.write_all(&peer.port().to_be_bytes()).await?)
        }));
        // Parked, and so registered: from now on the poll reports only changes.
        testing::settle().await?;
        let clients: Vec<_> = (0..6).map(|_| client(address)).collect();
        let old = leave(0);
        for _ in 0..3 {
            second().await?;
            assert!(!server.is_done());
        }
        setrlimit(Resource::Nofile, old).unwrap();
        second().await?;
        for mut client in clients {
            let mut port = [0; 2];
            client.set_read_timeout(Some(children::DEADLINE))?;
            client.read_exact(&mut port)?;
            assert_eq!(u16::from_be_bytes(port), client.local_addr()?.port());
        }
        server.cancel().await?;
        let said = said.heard();
        let named = said.iter().filter(|said| said.contains("accept waits")).count();
        assert_eq!(named, 1, "{said:?}");
        assert!(said.iter().any(|said| said.contains("Too many open files")), "{said:?}");
        Ok(())
    });
    drop(listening);
}

/// N6: the kernel reports the lack: where the accept waits, and for what.
#[test]
fn a_shortage_is_a_report_of_the_kernel() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let ((), reported) = reports::texts(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = client(listener.local_addr().unwrap());
        let old = leave(0);
        let accepted = timeout_after(Duration::from_secs(3), listener.accept()).await;
        setrlimit(Resource::Nofile, old).unwrap();
        assert!(accepted.is_err());
    });
    let [waits] = &reported[..] else { panic!("{reported:?}") };
    assert!(waits.starts_with(concat!("accept waits at ", file!(), ":")), "{waits}");
    assert!(waits.contains("Too many open files"), "{waits}");
    assert!(waits.contains("`ulimit -n`"), "{waits}");
}

/// N6: with room for two connections at a time, six clients are served as others close.
#[test]
fn a_server_with_few_descriptors_serves_many_one_after_the_other() {
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let clients: Vec<_> =
            (0..6).map(|_| TcpStream::from_std(client(address))).collect::<Result<_, _>>()?;
        let old = leave(2);
        let server = spawn(listener.serve(async |stream: TcpStream, _| {
            stream.write_all(b"welcome").await?;
            // Until the client leaves.
            stream.read(&mut [0]).await?;
            Ok::<(), io::Error>(())
        }));
        for client in clients {
            let mut welcome = [0; 7];
            client.read_exact(&mut welcome).await?;
            // Its end frees the descriptor that the server held for it.
            client.shutdown(std::net::Shutdown::Write)?;
            assert_eq!(client.read(&mut [0]).await?, 0);
        }
        setrlimit(Resource::Nofile, old).unwrap();
        server.cancel().await?;
        Ok(())
    });
}

/// N6, C5: a server that waits for descriptors can be cancelled and closed.
#[test]
fn a_server_in_a_shortage_can_be_cancelled() {
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let _queued = client(listener.local_addr()?);
        let old = leave(0);
        let server = spawn(listener.serve(async |_: TcpStream, _| Ok::<(), io::Error>(())));
        second().await?;
        server.cancel().await?;
        let ended = server.join().await?;
        assert!(matches!(ended, Err(TaskError::Cancelled(_))), "{ended:?}");
        setrlimit(Resource::Nofile, old).unwrap();
        Ok(())
    });
}

/// N5, N6: if the listener is closed while an accept waits for descriptors, the accept gets an
/// error.
#[test]
fn a_listener_closed_in_a_shortage_tells_its_accepter() {
    alone(children::this_test!(), async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let _queued = client(listener.local_addr()?);
        let old = leave(0);
        let accepter = spawn({
            let listener = listener.clone();
            async move { listener.accept().await.map(drop) }
        });
        testing::settle().await?;
        listener.close();
        match accepter.join().await? {
            Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::NotConnected),
            other => panic!("{other:?}"),
        }
        setrlimit(Resource::Nofile, old).unwrap();
        Ok(())
    });
}

/// N3, N6: an accept that waits for descriptors is still the one accepter: a second one is refused,
/// and the first gets its connection.
#[test]
fn an_intruder_in_a_shortage_is_refused_and_the_first_is_unharmed() {
    alone(children::this_test!(), async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let queued = client(listener.local_addr()?);
        let old = leave(0);
        let accepter = || {
            let listener = listener.clone();
            spawn(async move { listener.accept().await.map(|(_, peer)| peer) })
        };
        let first = accepter();
        testing::settle().await?;
        let intruder = accepter();
        testing::settle().await?;
        setrlimit(Resource::Nofile, old).unwrap();
        assert_eq!(first.join().await?.unwrap(), queued.local_addr()?);
        assert!(intruder.is_done(), "the intruder accepts as well");
        match intruder.join().await? {
            Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::ResourceBusy),
            other => panic!("{other:?}"),
        }
        Ok(())
    });
}

/// N4: without descriptors, the error of each call that makes a socket says where it failed and
/// what to do, and has the number of the system's error.
#[test]
fn the_error_of_a_socket_without_a_descriptor_says_what_to_do() {
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let old = leave(0);
        let to = address.to_string();
        let failed = [
            (&*to, TcpStream::connect(address).await.unwrap_err()),
            (&*to, TcpOptions::new().nodelay(true).connect(address).await.unwrap_err()),
            ("127.0.0.1:0", TcpListener::bind("127.0.0.1:0").await.unwrap_err()),
            ("127.0.0.1:0", UdpSocket::bind("127.0.0.1:0").await.unwrap_err()),
            ("\"/no/socket\"", UnixStream::connect("/no/socket").await.unwrap_err()),
            ("\"/no/socket\"", UnixListener::bind("/no/socket").unwrap_err()),
            ("\"/no/socket\"", UnixDatagram::bind("/no/socket").unwrap_err()),
        ];
        setrlimit(Resource::Nofile, old).unwrap();
        for (place, error) in failed {
            let text = error.to_string();
            for part in ["cannot ", place, "Too many open files", "`ulimit -n`"] {
                assert!(text.contains(part), "{part} in {text}");
            }
            let number = rustix::io::Errno::MFILE.raw_os_error();
            let of_system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(of_system.and_then(io::Error::raw_os_error), Some(number), "{text}");
        }
        Ok(())
    });
}

/// N4, K5: without descriptors, connecting, binding and making a kernel fail at once, and leak
/// none.
#[test]
fn what_needs_a_descriptor_fails_at_once_and_keeps_none() {
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let before = open_descriptors();
        let old = leave(0);
        let connected = TcpStream::connect(address).await;
        let bound = TcpListener::bind("127.0.0.1:0").await;
        setrlimit(Resource::Nofile, old).unwrap();
        let text = connected.unwrap_err().to_string();
        assert!(text.contains(&address.to_string()) && text.contains("Too many"), "{text}");
        assert!(bound.unwrap_err().to_string().contains("Too many"));
        // A kernel needs several, and each of them may be the one that is missing.
        let mut left = 0;
        loop {
            let limit = leave(left);
            let made = Kernel::new();
            setrlimit(Resource::Nofile, limit).unwrap();
            if made.is_ok() {
                break;
            }
            assert_eq!(open_descriptors(), before, "after a kernel that failed with {left} left");
            left += 1;
        }
        assert!(left > 0, "a kernel without a descriptor");
        assert_eq!(open_descriptors(), before);
        setrlimit(Resource::Nofile, old).unwrap();
        Ok(())
    });
}
