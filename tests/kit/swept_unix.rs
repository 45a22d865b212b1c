//! Unix sockets, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, sleep, spawn};
use curium::net::{Received, UnixDatagram, UnixListener, UnixStream};
use futures::FutureExt;

use crate::support::dirs::TempDir;
use crate::swept_net::{soon, suspended, until};
use crate::swept_udp::{DatagramSocket, sweep_receives};

const MS: Duration = Duration::from_millis(1);

struct Accepts {
    listener: UnixListener,
    connected: RefCell<Vec<UnixStream>>,
    accepted: RefCell<Vec<UnixStream>>,
}

impl Accepts {
    /// A listener, and a task that connects when the one before was accepted. Each client sends its
    /// number.
    async fn new() -> Rc<Self> {
        let name = format!("curium swept {} {:?}", std::process::id(), std::thread::current().id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind(&address).unwrap();
        let (connected, accepted) = (RefCell::default(), RefCell::default());
        let state = Rc::new(Accepts { listener, connected, accepted });
        let connects = state.clone();
        spawn(async move {
            for number in 0..3 {
                until(|| connects.accepted.borrow().len() == number).await?;
                let client = std::os::unix::net::UnixStream::connect_addr(&address).unwrap();
                let client = UnixStream::from_std(client).unwrap();
                client.write_all(&[number as u8]).await.unwrap();
                connects.connected.borrow_mut().push(client);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    async fn accept(&self) -> io::Result<()> {
        let (stream, _) = self.listener.accept().await?;
        self.accepted.borrow_mut().push(stream);
        Ok(())
    }
}

/// V4, N9, N3: a cancelled accept leaves its connection to the next.
#[test]
fn a_cancelled_accept_of_a_unix_socket_loses_no_connection() {
    let swept = testing::sweep().run(
        Accepts::new,
        |state: Rc<Rc<Accepts>>| async move {
            for _ in 0..3 {
                soon(state.accept()).await?;
            }
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            while state.accepted.borrow().len() < state.connected.borrow().len() {
                soon(state.accept()).await.unwrap();
            }
            for (number, stream) in state.accepted.take().into_iter().enumerate() {
                let mut buf = [0; 2];
                assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 1);
                assert_eq!(usize::from(buf[0]), number);
            }
        },
    );
    assert_eq!(swept.suspensions, 3);
}

struct Full {
    dir: TempDir,
    listener: std::os::unix::net::UnixListener,
    _first: std::os::unix::net::UnixStream,
    connected: RefCell<Option<UnixStream>>,
    accepted: RefCell<Vec<std::os::unix::net::UnixStream>>,
}

impl Full {
    /// A listener with room for one connection, which is there. It is accepted after 5 ms.
    async fn new() -> Rc<Self> {
        let dir = TempDir::new();
        let listener = std::os::unix::net::UnixListener::bind(dir.of("socket")).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let first = std::os::unix::net::UnixStream::connect(dir.of("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (connected, accepted) = (RefCell::default(), RefCell::default());
        let state = Rc::new(Full { dir, listener, _first: first, connected, accepted });
        let accepts = state.clone();
        spawn(async move {
            sleep(5 * MS).await?;
            accepts.accept();
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    /// Whether a connection waited to be accepted.
    fn accept(&self) -> bool {
        let accepted = self.listener.accept();
        accepted.map(|(stream, _)| self.accepted.borrow_mut().push(stream)).is_ok()
    }
}

/// V4, N9, N4: a connect that waits for room and is cancelled leaves no connection behind.
#[test]
fn a_cancelled_wait_for_room_leaves_no_connection() {
    let swept = testing::sweep().run(
        Full::new,
        |state: Rc<Rc<Full>>| async move {
            let stream = soon(UnixStream::connect(state.dir.of("socket"))).await?;
            state.connected.replace(Some(stream));
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            while state.accept() {}
            let connected = state.connected.take();
            assert_eq!(state.accepted.borrow().len(), 1 + usize::from(connected.is_some()));
            if let Some(stream) = connected {
                let theirs = UnixStream::from_std(state.accepted.take().remove(1)).unwrap();
                stream.write_all(b"here").await.unwrap();
                assert_eq!(soon(theirs.read(&mut [0; 8])).await.unwrap(), 4);
            }
        },
    );
    assert_eq!(swept.suspensions, 3, "pauses of 1, 2 and 4 ms");
}

struct Reads {
    stream: UnixStream,
    peer: UnixStream,
    sent: RefCell<Vec<u8>>,
    done: Cell<usize>,
    got: RefCell<Vec<u8>>,
}

impl Reads {
    /// A pair, and a task that sends a word when the one before has had its effect.
    async fn new() -> Rc<Self> {
        let (stream, peer) = UnixStream::pair().unwrap();
        let (sent, done, got) = Default::default();
        let state = Rc::new(Reads { stream, peer, sent, done, got });
        let sends = state.clone();
        spawn(async move {
            for (number, word) in [b"abc", b"def", b"ghi"].into_iter().enumerate() {
                until(|| sends.done.get() >= number).await?;
                sends.peer.write_all(word).await.unwrap();
                sends.sent.borrow_mut().extend(word);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    async fn read(&self) -> io::Result<()> {
        let mut buf = [0; 8];
        let n = self.stream.read(&mut buf).await?;
        self.got.borrow_mut().extend(&buf[..n]);
        self.done.set(1);
        let n = self.stream.peek(&mut buf).await?;
        assert_eq!(&buf[..n], b"def");
        self.stream.read_exact(&mut buf[..3]).await?;
        self.got.borrow_mut().extend(&buf[..3]);
        self.done.set(2);
        let (one, other) = buf.split_at_mut(1);
        let mut bufs = [IoSliceMut::new(one), IoSliceMut::new(other)];
        let n = self.stream.read_vectored(&mut bufs).await?;
        self.got.borrow_mut().extend(&buf[..n]);
        Ok(())
    }
}

/// V4, N1, N9: a cancelled read or peek consumes nothing, and the stream goes on.
#[test]
fn cancelled_reads_of_a_unix_socket_consume_nothing() {
    let swept = testing::sweep().run(
        Reads::new,
        |state: Rc<Rc<Reads>>| async move { soon(state.read()).await },
        async |state, _| {
            let mut got = state.got.take();
            while got.len() < state.sent.borrow().len() {
                let mut buf = [0; 8];
                let n = soon(state.stream.read(&mut buf)).await.unwrap();
                got.extend(&buf[..n]);
            }
            assert_eq!(got, *state.sent.borrow());
            state.stream.write_all(b"reply").await.unwrap();
            assert_eq!(soon(state.peer.read(&mut [0; 8])).await.unwrap(), 5);
        },
    );
    assert_eq!(swept.suspensions, 3);
    assert!(suspended(&swept, "READ") > 0 && suspended(&swept, "PEEK") > 0);
}

struct Writes {
    stream: UnixStream,
    peer: UnixStream,
    /// The bytes that the stream has taken, and those that have arrived.
    written: Cell<usize>,
    arrived: Cell<usize>,
}

impl Writes {
    /// A pair without room, and a task that makes room when the subject waits.
    async fn new() -> Rc<Self> {
        let (stream, peer) = UnixStream::pair().unwrap();
        let mut filled = 0;
        while let Some(written) = stream.write(&[0; 4096]).now_or_never() {
            filled += written.unwrap();
        }
        let (written, arrived) = (Cell::new(filled), Cell::new(0));
        let state = Rc::new(Writes { stream, peer, written, arrived });
        let reads = state.clone();
        spawn(async move {
            until(|| true).await?;
            while reads.arrived.get() < filled {
                reads.read().await?;
            }
            Ok::<_, io::Error>(())
        });
        state
    }

    async fn read(&self) -> io::Result<usize> {
        let n = self.peer.read(&mut [0; 4096]).await?;
        self.arrived.set(self.arrived.get() + n);
        Ok(n)
    }
}

/// V4, N1, C1: a cancelled write of several buffers has written nothing, and one that has written
/// says so.
#[test]
fn a_cancelled_write_of_several_buffers_has_written_nothing() {
    let swept = testing::sweep().run(
        Writes::new,
        |state: Rc<Rc<Writes>>| async move {
            let bufs = [IoSlice::new(b"mi"), IoSlice::new(b"ne")];
            let n = soon(state.stream.write_vectored(&bufs)).await?;
            state.written.set(state.written.get() + n);
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            state.stream.shutdown(Shutdown::Write).unwrap();
            while soon(state.read()).await.unwrap() > 0 {}
            assert_eq!(state.arrived.get(), state.written.get());
        },
    );
    assert_eq!(swept.suspensions, 1);
    assert!(suspended(&swept, "WRITE") > 0);
}

struct Datagrams {
    dir: TempDir,
    receiver: UnixDatagram,
    sender: UnixDatagram,
    /// What was received of the subject's, and of all.
    mine: Cell<usize>,
    received: Cell<usize>,
    filled: usize,
    sent: Cell<bool>,
}

impl Datagrams {
    /// A receiver whose queue is full. The first datagram is received after 5 ms.
    async fn new() -> Rc<Self> {
        let dir = TempDir::new();
        let receiver = UnixDatagram::bind(dir.of("socket")).unwrap();
        let (sender, filler) = (UnixDatagram::unbound().unwrap(), nonblocking());
        let mut filled = 0;
        while filler.send_to(b"filler", dir.of("socket")).is_ok() {
            filled += 1;
        }
        let (mine, received, sent) = Default::default();
        let state = Rc::new(Datagrams { dir, receiver, sender, mine, received, filled, sent });
        let receives = state.clone();
        spawn(async move {
            sleep(5 * MS).await?;
            receives.receive().await
        });
        state
    }

    async fn receive(&self) -> io::Result<()> {
        let mut buf = [0; 8];
        let got = self.receiver.recv(&mut buf).await?;
        self.received.set(self.received.get() + 1);
        self.mine.set(self.mine.get() + usize::from(&buf[..got.len] == b"mine"));
        Ok(())
    }
}

fn nonblocking() -> std::os::unix::net::UnixDatagram {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// V4, N9, N4: a datagram whose wait for room is cancelled is not sent, and the next one may be.
#[test]
fn a_cancelled_send_sends_nothing() {
    let swept = testing::sweep().run(
        Datagrams::new,
        |state: Rc<Rc<Datagrams>>| async move {
            soon(state.sender.send_to(b"mine", state.dir.of("socket"))).await?;
            state.sent.set(true);
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            let sent = usize::from(state.sent.get());
            while state.received.get() < state.filled + sent {
                soon(state.receive()).await.unwrap();
            }
            assert_eq!(state.mine.get(), sent);
            let next = state.sender.send_to(b"next", state.dir.of("socket"));
            soon(next).await.unwrap();
            let mut buf = [0; 8];
            assert_eq!(soon(state.receiver.recv(&mut buf)).await.unwrap().len, 4);
            assert_eq!(&buf[..4], b"next");
        },
    );
    assert_eq!(swept.suspensions, 3, "pauses of 1, 2 and 4 ms");
}

impl DatagramSocket for UnixDatagram {
    async fn pair() -> (Self, Self) {
        UnixDatagram::pair().unwrap()
    }

    async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        UnixDatagram::send(self, datagram).await
    }

    async fn receive(&self, number: usize, buf: &mut [u8]) -> io::Result<Received> {
        match number {
            0 => _ = self.peek_from(buf).await?,
            1 => return self.recv(buf).await,
            _ => {}
        }
        self.recv_from(buf).await.map(|(got, _)| got)
    }
}

/// V4, N9, N4: a receive that is cancelled leaves its datagram to the next.
#[test]
fn a_cancelled_receive_of_a_unix_socket_loses_no_datagram() {
    sweep_receives::<UnixDatagram>();
}
