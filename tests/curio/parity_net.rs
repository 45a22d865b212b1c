//! What curio's tests of sockets and servers check and no other file here does: an echo in a known
//! order, bulk data piece by piece, two directions of one socket, a handler that ends with its
//! client.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;

use kernel::{Task, TaskEnd, TaskError, cancelled, spawn, testing, yield_now};
use net::{TcpListener, TcpStream};

use crate::support::connections;

type Log = Rc<RefCell<Vec<String>>>;

/// Echoes until its client closes, and logs its steps.
async fn echo(stream: TcpStream, log: Log) -> io::Result<()> {
    log.borrow_mut().push("handler begins".to_owned());
    let mut buf = [0; 64];
    loop {
        log.borrow_mut().push("handler reads".to_owned());
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&buf[..n]);
        log.borrow_mut().push(format!("handler got {text}"));
        stream.write_all(&buf[..n]).await?;
    }
    log.borrow_mut().push("handler done".to_owned());
    Ok(())
}

/// Sends two messages to an echo server, and closes.
async fn says_two_things(stream: TcpStream, log: Log) -> io::Result<()> {
    let mut buf = [0; 64];
    for text in ["one", "two"] {
        stream.write_all(text.as_bytes()).await?;
        // The handler parks again before the client continues.
        testing::settle().await?;
        let n = stream.read(&mut buf).await?;
        log.borrow_mut().push(format!("client got {}", String::from_utf8_lossy(&buf[..n])));
    }
    log.borrow_mut().push("client closes".to_owned());
    stream.close();
    Ok(())
}

const TALK: [&str; 10] = [
    "handler begins",
    "handler reads",
    "handler got one",
    "handler reads",
    "client got one",
    "handler got two",
    "handler reads",
    "client got two",
    "client closes",
    "handler done",
];

/// N1, K1: the steps of a server, its handler and a client (accept, read, write and close) come in
/// one order.
#[test]
fn an_echo_by_hand_goes_in_a_known_order() {
    testing::run(async || {
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let lines = log.clone();
        let server: Task<_, io::Error> = spawn(async move {
            lines.borrow_mut().push("server accepts".to_owned());
            let (stream, _) = listener.accept().await?;
            lines.borrow_mut().push("server accepted".to_owned());
            listener.close();
            Ok(spawn(echo(stream, lines)))
        });
        testing::settle().await?;
        log.borrow_mut().push("client begins".to_owned());
        let stream = TcpStream::connect(address).await?;
        testing::settle().await?;
        says_two_things(stream, log.clone()).await?;
        server.join().await?.unwrap().join().await?.unwrap();
        let mut expected = vec!["server accepts", "client begins", "server accepted"];
        expected.extend(TALK);
        assert_eq!(log.take(), expected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// G1, C2: a server runs a handler for its client, which ends when the client closes. A cancel of
/// the server ends the server.
#[test]
fn a_servers_handler_ends_with_its_client() {
    testing::run(async || {
        let log = Log::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let lines = log.clone();
        let server =
            spawn(listener.serve(async move |stream, _| echo(stream, lines.clone()).await));
        let stream = TcpStream::connect(address).await?;
        testing::settle().await?;
        says_two_things(stream, log.clone()).await?;
        // Until only main and the server are left.
        while kernel::tasks().len() > 2 {
            yield_now().await?;
        }
        assert_eq!(log.take(), TALK);
        server.cancel().await?;
        assert_eq!(server.end(), Some(TaskEnd::Cancelled));
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: four megabytes arrive in one buffer of the caller, piece by piece.
#[test]
fn four_megabytes_arrive_in_a_callers_buffer_piece_by_piece() {
    testing::run(async || {
        let (stream, peer) = connections::ours().await?;
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let theirs = sent.clone();
        let sender = spawn(async move { peer.write_all(&theirs).await });
        let mut got = vec![0; sent.len()];
        let mut filled = 0;
        let mut pieces = 0;
        while filled < got.len() {
            let n = stream.read(&mut got[filled..]).await?;
            assert!(n > 0, "it ended after {filled} bytes");
            filled += n;
            pieces += 1;
        }
        sender.join().await?.unwrap();
        assert!(pieces > 1, "no socket buffers all of it");
        assert!(got == sent, "other bytes than were sent");
        assert_eq!(stream.read(&mut [0; 9]).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// More than a connection buffers.
const MUCH: usize = 32_000_000;

fn reader(stream: &Rc<TcpStream>) -> Task<Vec<u8>, io::Error> {
    let stream = stream.clone();
    spawn(async move {
        let mut buf = [0; 64];
        let n = stream.read(&mut buf).await?;
        Ok(buf[..n].to_vec())
    })
}

fn writer(stream: &Rc<TcpStream>) -> Task<(), io::Error> {
    let stream = stream.clone();
    spawn(async move { Ok(stream.write_all(&vec![7; MUCH]).await?) })
}

/// N3: one task is parked in a read and another in a write on the same socket. Each continues when
/// its own direction is ready.
#[test]
fn a_parked_reader_and_a_parked_writer_of_one_socket_both_go_on() {
    testing::run(async || {
        for reader_first in [true, false] {
            let (stream, peer) = connections::ours().await?;
            let stream = Rc::new(stream);
            let (read, write) = (reader(&stream), writer(&stream));
            testing::settle().await?;
            assert_eq!(read.state().to_string(), "READ");
            assert_eq!(write.state().to_string(), "WRITE");
            if reader_first {
                peer.write_all(b"hello").await?;
                assert_eq!(read.wait().await, Ok(()));
                assert!(!write.is_done());
            }
            let mut got = vec![0; MUCH];
            peer.read_exact(&mut got).await?;
            write.join().await?.unwrap();
            if !reader_first {
                assert!(!read.is_done());
                peer.write_all(b"hello").await?;
            }
            assert_eq!(read.join().await?.unwrap(), b"hello");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N3, C2: beside a parked reader and a parked writer, a second writer is refused. The reader is
/// still woken after the writer was cancelled, and the writer after the reader was.
#[test]
fn cancelling_one_direction_leaves_the_other_registered() {
    testing::run(async || {
        let (stream, peer) = connections::ours().await?;
        let stream = Rc::new(stream);
        let (read, write) = (reader(&stream), writer(&stream));
        testing::settle().await?;
        let intruder = stream.write(b"me too").await.unwrap_err();
        assert_eq!(intruder.kind(), ErrorKind::ResourceBusy);
        write.cancel().await?;
        let Err(TaskError::Cancelled(error)) = write.join().await? else { panic!("cancelled") };
        assert!(cancelled(&error).is_some());
        peer.write_all(b"hello").await?;
        assert_eq!(read.join().await?.unwrap(), b"hello");

        let (read, write) = (reader(&stream), writer(&stream));
        testing::settle().await?;
        read.cancel().await?;
        assert!(matches!(read.join().await?, Err(TaskError::Cancelled(_))));
        let mut got = vec![0; 1_000_000];
        while !write.is_done() {
            assert!(peer.read(&mut got).await? > 0);
        }
        write.join().await?.unwrap();
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K2, C2: a task that reads from an always readable socket starves no other task, and can be
/// cancelled in between. No byte is lost.
#[test]
fn a_reader_of_an_always_readable_socket_starves_nobody() {
    testing::run(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let stream = Rc::new(TcpStream::connect(listener.local_addr()?).await?);
        let mut peer = listener.accept()?.0;
        let len = 20_000;
        peer.write_all(&vec![1; len])?;
        drop(peer);
        stream.peek(&mut [0; 1]).await?;
        let taken = Rc::new(Cell::new(0));
        let (theirs, count) = (stream.clone(), taken.clone());
        let greedy: Task<(), io::Error> = spawn(async move {
            while theirs.read(&mut [0; 1]).await? == 1 {
                count.set(count.get() + 1);
            }
            Ok(())
        });
        let mut before = 0;
        for _ in 0..10 {
            yield_now().await?;
            assert!(taken.get() - before <= 128, "{} reads in one turn", taken.get() - before);
            before = taken.get();
        }
        assert!(before > 0 && !greedy.is_done());
        greedy.cancel().await?;
        assert_eq!(greedy.end(), Some(TaskEnd::Cancelled));
        assert!(taken.get() - before <= 128);
        let mut rest = 0;
        let mut buf = [0; 4096];
        loop {
            match stream.read(&mut buf).await? {
                0 => break,
                n => rest += n,
            }
        }
        assert_eq!(taken.get() + rest, len);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C6: a cancelled `write_all` says how many bytes were written, and the peer gets exactly
/// those.
#[test]
fn a_cancelled_write_all_says_what_the_peer_gets() {
    testing::run(async || {
        let (stream, peer) = connections::ours().await?;
        let task = spawn(async move { stream.write_all(&vec![7; MUCH]).await });
        testing::settle().await?;
        task.cancel().await?;
        let written = match task.join().await? {
            Err(TaskError::Cancelled(error)) => error.written,
            other => panic!("not cancelled: {other:?}"),
        };
        assert!(written > 0 && written < MUCH);
        let mut got = vec![0; written];
        peer.read_exact(&mut got).await?;
        assert_eq!(peer.read(&mut got).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
