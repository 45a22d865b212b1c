//! TCP over loopback, cancelled at every suspension (V4). Waiting sockets cost real time when the
//! virtual clock jumps, so the other ends here count yields instead of sleeping.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Injection, Run, Swept};
use curium::kernel::{TaskCancelled, ignore_after, spawn, timeout_after, yield_now};
use curium::net::{TcpListener, TcpStream};

use crate::support::connections::to_std;
#[cfg(target_os = "linux")]
use crate::support::half_open::{Silent, assert_none_half_open};

const MS: Duration = Duration::from_millis(1);

/// Only so that a hang is a failure.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn has(run: &Run, injection: Injection) -> bool {
    run.injected.iter().any(|injected| injected.injection == injection)
}

/// Bounds a call, so that a byte or a connection that is lost is a failure and no hang: when
/// nothing can run and no event comes, the second passes at once.
pub(crate) async fn soon<T>(call: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout_after(Duration::from_secs(1), call).await {
        Ok(result) => result,
        Err(timeout) => panic!("it waits for ever: {timeout}"),
    }
}

/// Lets the subject run until it is parked, and goes on when `is_so`.
pub(crate) async fn until(is_so: impl Fn() -> bool) -> Result<(), TaskCancelled> {
    while !is_so() {
        yield_now().await?;
    }
    for _ in 0..3 {
        yield_now().await?;
    }
    Ok(())
}

/// How often the leaf of this kind was suspended, at all its places.
pub(crate) fn suspended(swept: &Swept, kind: &str) -> usize {
    swept.sites.iter().filter(|site| site.kind == kind).map(|site| site.suspended).sum()
}

/// A blocking socket that gives up after the deadline.
fn blocking(stream: &std::net::TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

/// Fails unless the other end of this connection is closed.
pub(crate) fn assert_closed(mut stream: &std::net::TcpStream) {
    blocking(stream);
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the other end is open: {other:?}"),
    }
}

struct Accepts {
    listener: TcpListener,
    clients: RefCell<Vec<std::net::TcpStream>>,
    accepted: RefCell<Vec<TcpStream>>,
}

impl Accepts {
    /// A listener, and a task that connects when the one before was accepted. Each client sends its
    /// number.
    async fn new() -> Rc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (clients, accepted) = (RefCell::default(), RefCell::default());
        let state = Rc::new(Accepts { listener, clients, accepted });
        let connects = state.clone();
        spawn(async move {
            for number in 0..3 {
                until(|| connects.accepted.borrow().len() == number).await?;
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(&[number as u8]).unwrap();
                connects.clients.borrow_mut().push(client);
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

/// V4, N3, C1: a cancelled accept loses no connection: the next one gets it. None comes twice, and
/// all descriptors are given back.
#[test]
fn a_cancelled_accept_leaves_the_connection_to_the_next() {
    let swept = testing::sweep().run(
        Accepts::new,
        |state: Rc<Rc<Accepts>>| async move {
            for _ in 0..3 {
                soon(state.accept()).await?;
            }
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            while state.accepted.borrow().len() < state.clients.borrow().len() {
                soon(state.accept()).await.unwrap();
            }
            for (number, stream) in state.accepted.take().into_iter().enumerate() {
                let mut buf = [0; 2];
                assert_eq!(soon(stream.read(&mut buf)).await.unwrap(), 1);
                assert_eq!(usize::from(buf[0]), number);
            }
            state.clients.borrow().iter().for_each(assert_closed);
        },
    );
    assert_eq!(swept.suspensions, 3);
}

/// V4: on loopback a connect is done in the poll that begins it. It is swept before that poll.
#[test]
fn a_connect_that_succeeds_at_once_is_kept_or_closed() {
    let swept = testing::sweep().run(
        async || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            (listener, RefCell::default())
        },
        |state: Rc<(std::net::TcpListener, RefCell<Vec<TcpStream>>)>| async move {
            for _ in 0..2 {
                let stream = TcpStream::connect(state.0.local_addr()?).await?;
                state.1.borrow_mut().push(stream);
                yield_now().await?;
            }
            Ok::<_, io::Error>(())
        },
        async |(listener, connected), _| {
            let mut connected = connected.take();
            while let Ok((mut peer, address)) = listener.accept() {
                let is_it = |stream: &TcpStream| stream.local_addr().unwrap() == address;
                let at = connected.iter().position(is_it).expect("all are kept");
                peer.write_all(b"!").unwrap();
                let stream = connected.remove(at);
                assert_eq!(soon(stream.read(&mut [0; 2])).await.unwrap(), 1);
                drop(stream);
                assert_closed(&peer);
            }
            assert!(connected.is_empty(), "connected to nothing");
        },
    );
    assert_eq!(swept.suspensions, 2);
}

/// V4, N4: a connect that waits for an answer and is cancelled closes its socket, and so does one
/// that is out of time. When there is room, the next one connects.
#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_connect_closes_its_socket() {
    let swept = testing::sweep().pairs().run(
        async || Silent::new(),
        |silent: Rc<Silent>| async move {
            let connected = ignore_after(MS, TcpStream::connect(silent.address)).await?;
            assert!(connected.is_none());
            assert_none_half_open([silent.address]);
            Ok::<_, io::Error>(())
        },
        async |silent, _| {
            assert_none_half_open([silent.address]);
            silent.listener.accept().unwrap();
            soon(TcpStream::connect(silent.address)).await.unwrap();
        },
    );
    assert_eq!(swept.suspensions, 1);
    assert!(suspended(&swept, "CONNECT") > 0);
}

/// V4, N10, N4: a connect to several addresses that is cancelled or out of time closes every
/// socket, and one that succeeds closes the others.
#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_connect_to_many_addresses_closes_every_socket() {
    let swept = testing::sweep().run(
        async || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let answers = listener.local_addr().unwrap();
            (Silent::new(), Silent::new(), listener, answers)
        },
        |state: Rc<(Silent, Silent, std::net::TcpListener, SocketAddr)>| async move {
            let (silent, deaf) = (state.0.address, state.1.address);
            let both = TcpStream::connect(vec![silent, deaf]);
            assert!(ignore_after(300 * MS, both).await?.is_none());
            let stream = TcpStream::connect(vec![silent, state.3]).await?;
            assert_eq!(stream.peer_addr()?, state.3);
            assert_none_half_open([silent, deaf]);
            Ok::<_, io::Error>(())
        },
        async |(silent, deaf, listener, _), _| {
            assert_none_half_open([silent.address, deaf.address]);
            listener.set_nonblocking(true).unwrap();
            while let Ok((peer, _)) = listener.accept() {
                assert_closed(&peer);
            }
        },
    );
    assert_eq!(swept.suspensions, 3, "{:?}", swept.sites);
}

const WORDS: [&[u8]; 3] = [b"abc", b"def", b"ghi"];

struct Reads {
    stream: TcpStream,
    peer: std::net::TcpStream,
    /// The words that were sent, and the number of operations that are done.
    sent: Cell<usize>,
    done: Cell<usize>,
    got: RefCell<Vec<u8>>,
}

impl Reads {
    /// A connection, and a task that sends a word when the one before has had its effect.
    async fn new() -> Rc<Self> {
        let (stream, peer) = to_std().await.unwrap();
        let (sent, done, got) = Default::default();
        let state = Rc::new(Reads { stream, peer, sent, done, got });
        let sends = state.clone();
        spawn(async move {
            for (number, word) in WORDS.iter().enumerate() {
                until(|| sends.done.get() >= number).await?;
                if (&sends.peer).write_all(word).is_err() {
                    // The check has ended this direction.
                    break;
                }
                sends.sent.set(number + 1);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    /// Reads the first word, looks at the second, and reads the second with the third.
    async fn read(&self) -> io::Result<()> {
        let mut buf = [0; 3];
        let n = self.stream.read(&mut buf).await?;
        self.got.borrow_mut().extend(&buf[..n]);
        self.done.set(1);
        let n = self.stream.peek(&mut buf).await?;
        assert_eq!(&buf[..n], WORDS[1]);
        self.done.set(2);
        let mut both = [0; 6];
        let result = self.stream.read_exact(&mut both).await;
        // What it has read before a cancellation is at the front.
        let read = result.as_ref().map_or_else(|error| error.read, |()| both.len());
        self.got.borrow_mut().extend(&both[..read]);
        Ok(result?)
    }
}

/// V4, N1, C1: a cancelled read, peek or read_exact consumes nothing that it does not give. The
/// stream goes on, and its other half is unharmed.
#[test]
fn cancelled_reads_consume_nothing() {
    let swept = testing::sweep().run(
        Reads::new,
        |state: Rc<Rc<Reads>>| async move { soon(state.read()).await },
        async |state, run| {
            let sent = WORDS[..state.sent.get()].concat();
            state.peer.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            let mut buf = [0; 16];
            loop {
                match soon(state.stream.read(&mut buf)).await.unwrap() {
                    0 => break,
                    n => rest.extend(&buf[..n]),
                }
            }
            let got = state.got.take();
            if has(run, Injection::Abort) && state.done.get() == 2 {
                // What read_exact had in its buffer was dropped with it.
                assert!(sent.starts_with(&got) && sent.ends_with(&rest));
            } else {
                assert_eq!([got.as_slice(), &rest].concat(), sent);
            }
            state.stream.write_all(b"reply").await.unwrap();
            blocking(&state.peer);
            let mut reply = [0; 5];
            (&state.peer).read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"reply");
        },
    );
    assert_eq!(swept.suspensions, 3, "{:?}", swept.sites);
    assert!(suspended(&swept, "READ") > 0 && suspended(&swept, "PEEK") > 0);
}

/// V4, N11, N4: a cancelled wait for a hang-up takes and hides nothing: the bytes that came while
/// it waited are read, and a later wait ends.
#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_wait_for_a_hang_up_takes_nothing() {
    let swept = testing::sweep().pairs().run(
        async || {
            let (stream, peer) = to_std().await.unwrap();
            let state = Rc::new((stream, peer, Cell::new(false)));
            let sends = state.clone();
            spawn(async move {
                let (_, peer, waits) = &*sends;
                until(|| waits.get()).await?;
                (&*peer).write_all(WORDS[0]).unwrap();
                until(|| true).await?;
                peer.shutdown(Shutdown::Write).unwrap();
                Ok::<_, TaskCancelled>(())
            });
            state
        },
        |state: Rc<Rc<(TcpStream, std::net::TcpStream, Cell<bool>)>>| async move {
            state.2.set(true);
            soon(state.0.hung_up()).await
        },
        async |state, _| {
            let (stream, peer, _) = &**state;
            peer.shutdown(Shutdown::Write).unwrap();
            soon(stream.hung_up()).await.unwrap();
            let (mut got, mut buf) = (Vec::<u8>::new(), [0; 2]);
            while let n @ 1.. = soon(stream.read(&mut buf)).await.unwrap() {
                got.extend(&buf[..n]);
            }
            assert!(got.is_empty() || got == WORDS[0], "{got:?}");
        },
    );
    assert!(suspended(&swept, "HUNG_UP") > 0, "{:?}", swept.sites);
}
