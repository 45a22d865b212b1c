//! Peers that are processes, and are stopped or killed.
//!
//! Each test runs its binary once more as its peer: a process that says hello and then echoes,
//! or never reads.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskError, spawn, timeout_after};
use net::{TcpListener, TcpStream};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::children;

/// Where the peer connects to, and what it does afterwards.
const ADDRESS: &str = "CURIUM_PEER_ADDRESS";
const MANNER: &str = "CURIUM_PEER_MANNER";

/// A deadline, so that a fault is a failure and not a hang.
const LONG: Duration = Duration::from_secs(100);

/// Long enough for a timeout to fire while the peer does nothing.
const SHORT: Duration = Duration::from_millis(20);

/// More than the system buffers for a peer that does not read.
const MUCH: usize = 16_000_000;

/// The peer itself. It does nothing unless a test starts it.
#[test]
fn the_peer() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"hello").unwrap();
    if std::env::var(MANNER).as_deref() == Ok("echo") {
        let mut buf = vec![0; 1 << 16];
        loop {
            match stream.read(&mut buf).unwrap() {
                0 => return,
                n => stream.write_all(&buf[..n]).unwrap(),
            }
        }
    }
    // Until it is killed, or the test has ended.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A peer that ends with the test.
struct Peer(Child);

impl Peer {
    fn start(address: std::net::SocketAddr, manner: &str) -> io::Result<Peer> {
        let mut command = children::command(children::path_of(the_peer), "peer");
        command.env(ADDRESS, address.to_string()).env(MANNER, manner);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Peer(command.spawn()?))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    /// Stops it, and returns when all its threads are stopped.
    fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.0.id());
        for _ in 0..10_000 {
            let mut still = true;
            for task in std::fs::read_dir(&tasks)? {
                let stat = std::fs::read_to_string(task?.path().join("stat"))?;
                still &= stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T'));
            }
            if still {
                return Ok(());
            }
            // Another process is under test: there is no event to wait for.
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it does not stop");
    }

    /// Kills it, and returns when it is gone, its sockets too.
    fn kill(mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection from a peer that has said hello.
async fn peer(manner: &str) -> io::Result<(Rc<TcpStream>, Peer)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = Peer::start(listener.local_addr()?, manner)?;
    let stream = listener.accept().await?.0;
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await?;
    assert_eq!(&hello, b"hello");
    Ok((Rc::new(stream), peer))
}

/// Runs on the real clock, which other processes share.
fn run(main: impl AsyncFnOnce() -> io::Result<()>) {
    kernel::run(async || timeout_after(LONG, main()).await).expect("it hangs").unwrap();
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

async fn parked<T: 'static, E: 'static>(task: &Task<T, E>, kind: &str) -> io::Result<()> {
    while task.state().to_string() != kind {
        assert!(!task.is_done(), "it has ended");
        kernel::sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

/// N1, N4, T1: while the peer is stopped, reads and writes time out and lose nothing. A writer that
/// continues from the reported count, and the echo after the peer continues, make a complete
/// stream.
#[test]
fn a_stopped_peer_lets_time_outs_fire_and_goes_on_where_it_was() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    run(async || {
        let (stream, peer) = peer("echo").await?;
        peer.stop()?;
        let out = Rc::new(pattern(MUCH));
        let mut written = 0;
        for _ in 0..3 {
            let mut count = 0;
            let attempt = async {
                let all = stream.write_all(&out[written..]).await;
                count = all.as_ref().map_or_else(|error| error.written, |()| MUCH - written);
                all
            };
            assert!(timeout_after(SHORT, attempt).await.is_err(), "a stopped peer reads nothing");
            written += count;
            let read = timeout_after(SHORT, stream.read(&mut [0; 64])).await;
            assert!(read.is_err(), "a stopped peer does not answer: {read:?}");
        }
        assert!(written > 0 && written < MUCH, "{written} bytes went out");
        peer.signal(Signal::CONT)?;
        let writer = spawn({
            let (stream, out) = (stream.clone(), out.clone());
            async move { stream.write_all(&out[written..]).await }
        });
        let mut echo = vec![0; MUCH];
        stream.read_exact(&mut echo).await?;
        writer.join().await?.unwrap();
        assert!(echo == *out, "another stream came back");
        Ok(())
    });
}

/// N1, N5: a stopped peer delays no task: a task that is parked on its connection can be cancelled,
/// and the connection closed.
#[test]
fn a_stopped_peer_holds_up_neither_a_cancel_nor_a_close() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    run(async || {
        let (stream, peer) = peer("echo").await?;
        peer.stop()?;
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 64]).await }
        });
        let writer = spawn({
            let stream = stream.clone();
            async move { stream.write_all(&pattern(MUCH)).await }
        });
        parked(&reader, "READ").await?;
        parked(&writer, "WRITE").await?;
        reader.cancel().await?;
        assert!(matches!(reader.join().await?, Err(TaskError::Cancelled(_))));
        stream.close();
        let Err(TaskError::Failed(error)) = writer.join().await? else { panic!("closed") };
        assert_eq!(error.source.kind(), ErrorKind::NotConnected);
        assert!(error.written > 0 && error.written < MUCH, "{error}");
        Ok(())
    });
}

/// N1, N7: a peer that is killed with bytes unread resets the connection: the parked reader and the
/// parked writer get an error, and the writer's says how many bytes were written.
#[test]
fn a_peer_killed_with_bytes_unread_ends_the_parked_reader_and_writer() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    run(async || {
        let (stream, peer) = peer("silent").await?;
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 64]).await }
        });
        let writer = spawn({
            let stream = stream.clone();
            async move { stream.write_all(&pattern(MUCH)).await }
        });
        parked(&reader, "READ").await?;
        parked(&writer, "WRITE").await?;
        peer.kill()?;
        let read = reader.join().await?;
        match &read {
            Ok(n) => assert_eq!(*n, 0),
            Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            Err(other) => panic!("{other:?}"),
        }
        let Err(TaskError::Failed(error)) = writer.join().await? else { panic!("it is gone") };
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.source.kind()), "{error}");
        assert!(error.written > 0 && error.written < MUCH, "{error}");
        for _ in 0..3 {
            assert_eq!(stream.read(&mut [0; 64]).await?, 0);
            let error = stream.write(b"anybody?").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        Ok(())
    });
}

/// N1, N7: when a peer is killed with nothing unread, the stream ends, and a write to it fails
/// soon, without a signal.
#[test]
fn a_killed_peer_with_nothing_unread_is_the_end_of_the_stream() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    for parked_before in [true, false] {
        run(async || {
            let (stream, peer) = peer("silent").await?;
            let reader = spawn({
                let stream = stream.clone();
                async move {
                    let mut ends = [9; 3];
                    for end in &mut ends {
                        *end = stream.read(&mut [0; 64]).await?;
                    }
                    Ok::<_, io::Error>(ends)
                }
            });
            if parked_before {
                parked(&reader, "READ").await?;
            }
            peer.kill()?;
            assert_eq!(reader.join().await?.unwrap(), [0; 3]);
            // The first write may still be sent, and provokes the reset.
            let error = loop {
                if let Err(error) = stream.write_all(b"anybody?").await {
                    break error;
                }
                kernel::yield_now().await?;
            };
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.source.kind()), "{error}");
            Ok(())
        });
    }
}

/// N1: what the peer had sent before it was stopped and killed is read, and then the end.
#[test]
fn the_last_words_of_a_killed_peer_are_read() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    run(async || {
        let (stream, peer) = peer("echo").await?;
        stream.write_all(b"echo me").await?;
        // It was peeked, so it is no longer in transit to the peer.
        let mut words = [0; 7];
        while stream.peek(&mut words).await? < 7 {
            kernel::yield_now().await?;
        }
        peer.stop()?;
        peer.kill()?;
        stream.read_exact(&mut words).await?;
        assert_eq!(&words, b"echo me");
        assert_eq!(stream.read(&mut words).await?, 0);
        Ok(())
    });
}
