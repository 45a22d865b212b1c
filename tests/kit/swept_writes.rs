//! Writes on TCP against a peer that reads slowly, cancelled at every suspension (V4).

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use curium::kernel::testing::{self, Injection, Run};
use curium::kernel::{Task, TaskCancelled, spawn};
use curium::net::TcpStream;
use rustix::net::sockopt;

use crate::support::connections::to_std;
use crate::swept_net::{has, suspended, until};

/// The buffers of the system at either end, which it may double.
const BUFFER: usize = 1 << 17;

/// More than fits into both.
const MUCH: usize = 1_500_000;

/// The bytes of a stream from `from` on: each is its place in a period that no buffer has.
fn stretch(from: usize, len: usize) -> Vec<u8> {
    let mut period: Vec<u8> = (0..251).collect();
    period.rotate_left(from % 251);
    let mut stretch = period.repeat(len.div_ceil(period.len()));
    stretch.truncate(len);
    stretch
}

struct Writes {
    stream: Rc<TcpStream>,
    peer: std::net::TcpStream,
    /// A task that reads on the same stream all the while.
    reader: Task<usize, io::Error>,
    /// The bytes that the calls say they wrote, and those that the peer has.
    written: Cell<usize>,
    received: Cell<usize>,
}

impl Writes {
    async fn new() -> Rc<Self> {
        let (stream, peer) = to_std().await.unwrap();
        peer.set_nonblocking(true).unwrap();
        // Or else the system takes in several megabytes.
        stream.as_fd(|fd| Ok(sockopt::set_socket_send_buffer_size(fd, BUFFER)?)).unwrap();
        sockopt::set_socket_recv_buffer_size(&peer, BUFFER).unwrap();
        let stream = Rc::new(stream);
        let reads = stream.clone();
        let reader = spawn(async move { reads.read(&mut [0; 2]).await });
        let (written, received) = Default::default();
        let state = Rc::new(Writes { stream, peer, reader, written, received });
        spawn(state.clone().drain_always());
        state
    }

    /// Ends when the peer has read the end of the stream.
    async fn drain_always(self: Rc<Self>) -> Result<(), TaskCancelled> {
        while !self.drain() {
            until(|| true).await?;
        }
        Ok(())
    }

    /// Reads what the peer can have at once; true if that was the end of the stream.
    fn drain(&self) -> bool {
        let mut buf = vec![0; 1 << 18];
        loop {
            match (&self.peer).read(&mut buf) {
                Ok(0) => return true,
                Ok(n) => {
                    let from = self.received.get();
                    assert!(buf[..n] == stretch(from, n), "other bytes than were written");
                    self.received.set(from + n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Ends the stream after a few bytes more. Gives the number of bytes that the peer has got.
    async fn finish(self: &Rc<Self>) -> usize {
        let draining = spawn(self.clone().drain_always());
        let tail = stretch(self.written.get(), 1000);
        self.stream.write_all(&tail).await.unwrap();
        self.written.set(self.written.get() + tail.len());
        self.end(draining).await
    }

    /// Ends the stream. Gives the number of bytes that the peer has got.
    async fn end(&self, draining: Task<(), TaskCancelled>) -> usize {
        self.stream.shutdown(Shutdown::Write).unwrap();
        draining.await.unwrap();
        self.received.get()
    }

    /// The other half of the stream, on which the reader was parked all the while.
    async fn assert_reader_is_unharmed(&self, run: &Run) {
        (&self.peer).write_all(b"!").unwrap();
        let read = match has(run, Injection::ShutDown) {
            true => self.stream.read(&mut [0; 2]).await,
            false => (&self.reader).await,
        };
        assert_eq!(read.unwrap(), 1);
    }
}

/// V4, N1, C1: a write that is cancelled or dropped has written nothing. The stream goes on where
/// it was.
#[test]
fn cancelled_writes_write_nothing() {
    let swept = testing::sweep().run(
        Writes::new,
        |state: Rc<Rc<Writes>>| async move {
            while state.written.get() < MUCH {
                let written = state.written.get();
                let n = state.stream.write(&stretch(written, MUCH - written)).await?;
                state.written.set(written + n);
            }
            Ok::<_, io::Error>(())
        },
        async |state, run| {
            state.assert_reader_is_unharmed(run).await;
            assert_eq!(state.finish().await, state.written.get());
        },
    );
    assert!(suspended(&swept, "WRITE") > 0, "{:?}", swept.sites);
}

/// V4, N1: a write_all that is cancelled says how much it has written, and that is what the peer
/// gets. Of one that was dropped the peer gets some of the bytes from the beginning.
#[test]
fn a_cancelled_write_all_says_what_it_wrote() {
    let swept = testing::sweep().run(
        Writes::new,
        |state: Rc<Rc<Writes>>| async move {
            let all = state.stream.write_all(&stretch(0, MUCH)).await;
            let written = all.as_ref().map_or_else(|error| error.written, |()| MUCH);
            state.written.set(written);
            all.map_err(io::Error::from)
        },
        async |state, run| {
            state.assert_reader_is_unharmed(run).await;
            if has(run, Injection::Abort) {
                let draining = spawn(state.clone().drain_always());
                assert!(state.end(draining).await < MUCH);
            } else {
                assert_eq!(state.finish().await, state.written.get());
            }
        },
    );
    assert!(suspended(&swept, "WRITE") > 0, "{:?}", swept.sites);
}
