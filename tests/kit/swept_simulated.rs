//! Calls over a simulated network, cancelled at every suspension: with latencies, small pieces, and
//! little room, so that each of them waits (V3, V4).

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Injection, Sweep, Swept};
use curium::kernel::{Builder, TaskCancelled, sleep, spawn, timeout_after};
use curium::net::simulated::{Host, SimulatedNet};
use curium::net::{SimulatedNetExt, TcpListener, TcpStream, UdpSocket};

use crate::swept_net::has;

const MS: Duration = Duration::from_millis(1);

fn builder(builder: Builder) -> Builder {
    builder.simulated_net()
}

/// Not with a shutdown, which cancels the peers as well.
fn sweep() -> Sweep {
    let injections = Injection::ALL.into_iter().filter(|it| *it != Injection::ShutDown);
    let injections: Vec<_> = injections.collect();
    testing::sweep().with_builder(builder).inject(&injections).seeds(0..2)
}

fn all_waited(swept: &Swept, kinds: &[&str]) {
    for kind in kinds {
        let waited = |site: &testing::SweptSite| site.kind == *kind && site.suspended > 0;
        assert!(swept.sites.iter().any(waited), "{kind}: {:?}", swept.sites);
    }
}

/// A network whose pieces are small and whose packets take their time, and its hosts.
fn small_net() -> [Host; 2] {
    let net = SimulatedNet::current();
    net.latency(MS..=5 * MS);
    net.chunks(1..=3);
    net.capacity(8);
    [net.host("server"), net.host("client")]
}

/// A server that adds up what it reads, and how many of its connections are open.
#[derive(Default)]
struct Sums {
    read: Cell<usize>,
    open: Cell<isize>,
    connections: Cell<usize>,
}

async fn add_up(sums: Rc<Sums>, stream: TcpStream) -> Result<(), TaskCancelled> {
    sums.open.set(sums.open.get() + 1);
    sums.connections.set(sums.connections.get() + 1);
    let mut buf = [0; 5];
    loop {
        match stream.read(&mut buf).await {
            Ok(n) if n > 0 => sums.read.set(sums.read.get() + n),
            _ => break,
        }
    }
    sums.open.set(sums.open.get() - 1);
    Ok(())
}

/// V3, N4: whatever is cancelled of a look-up, a connect and a write, the peer gets as many bytes
/// as the error says, and its connections end.
#[test]
fn cancelled_connects_and_writes_leave_no_connection() {
    struct State {
        sums: Rc<Sums>,
        written: Cell<usize>,
        client: Host,
    }
    let setup = async || {
        let [server, client] = small_net();
        let sums = Rc::new(Sums::default());
        let adds = sums.clone();
        let listener = server.run(async || TcpListener::bind("[::]:80").await).await.unwrap();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(add_up(adds.clone(), stream));
            }
        });
        State { sums, written: Cell::new(0), client }
    };
    let subject = |state: Rc<State>| async move {
        let client = state.client.clone();
        client
            .run(async || {
                let stream = TcpStream::connect("server:80").await?;
                let done = stream.write_all(&[7; 20]).await;
                let written = done.as_ref().map_or_else(|error| error.written, |()| 20);
                state.written.set(written);
                stream.shutdown(std::net::Shutdown::Write)?;
                done?;
                stream.read(&mut [0]).await
            })
            .await
    };
    let swept = sweep().run(setup, subject, async |state, run| {
        sleep(Duration::from_secs(10)).await.unwrap();
        assert_eq!(state.sums.open.get(), 0, "a connection is open");
        assert!(state.sums.connections.get() <= 1);
        if has(run, Injection::Abort) {
            assert!(state.sums.read.get() <= 20);
        } else {
            assert_eq!(state.sums.read.get(), state.written.get());
        }
    });
    all_waited(&swept, &["SLEEP", "CONNECT", "WRITE", "READ"]);
}

/// V3, N4: a cancelled accept or read leaves what it would have taken to the next one.
#[test]
fn cancelled_accepts_and_reads_take_nothing() {
    struct State {
        listener: TcpListener,
        accepted: Cell<Option<TcpStream>>,
        read: Cell<usize>,
    }
    let setup = async || {
        let [server, client] = small_net();
        let listener = server.run(async || TcpListener::bind("[::]:80").await).await.unwrap();
        let sends = async || {
            spawn(async {
                let stream = TcpStream::connect("server:80").await?;
                Ok::<_, io::Error>(stream.write_all(&[7; 20]).await?)
            })
        };
        client.run(sends).await;
        State { listener, accepted: Cell::new(None), read: Cell::new(0) }
    };
    /// Reads until the end, and counts.
    async fn count(state: &State) -> io::Result<()> {
        let stream = match state.accepted.take() {
            Some(stream) => stream,
            None => state.listener.accept().await?.0,
        };
        loop {
            let read = stream.read(&mut [0; 5]).await;
            match read {
                Ok(0) => return Ok(()),
                Ok(n) => state.read.set(state.read.get() + n),
                Err(error) => {
                    state.accepted.set(Some(stream));
                    return Err(error);
                }
            }
        }
    }
    let swept = sweep().run(
        setup,
        |state: Rc<State>| async move { count(&state).await },
        async |state, run| {
            // An aborted reader has dropped its stream.
            if !has(run, Injection::Abort) && state.read.get() < 20 {
                let rest = timeout_after(Duration::from_secs(10), count(state)).await;
                rest.expect("bytes are lost").unwrap();
            }
            assert!(has(run, Injection::Abort) || state.read.get() == 20);
        },
    );
    all_waited(&swept, &["ACCEPT", "READ"]);
}

/// V3, N9: a cancelled receive leaves its datagram to the next one.
#[test]
fn a_cancelled_receive_takes_no_datagram() {
    struct State {
        receiver: UdpSocket,
        got: Cell<usize>,
    }
    let setup = async || {
        let [server, client] = small_net();
        let receiver = server.run(async || UdpSocket::bind("0.0.0.0:53").await).await.unwrap();
        let to = (server.ip(), 53);
        let sends = async || {
            spawn(async move {
                let socket = UdpSocket::bind("0.0.0.0:0").await?;
                for number in 0..4 {
                    socket.send_to(&[number], to).await?;
                    sleep(MS).await?;
                }
                Ok::<_, io::Error>(())
            })
        };
        client.run(sends).await;
        State { receiver, got: Cell::new(0) }
    };
    async fn receive(state: &State) -> io::Result<()> {
        while state.got.get() < 4 {
            state.receiver.recv(&mut [0]).await?;
            state.got.set(state.got.get() + 1);
        }
        Ok(())
    }
    let swept = sweep().run(
        setup,
        |state: Rc<State>| async move { receive(&state).await },
        async |state, _| {
            let rest = timeout_after(Duration::from_secs(10), receive(state)).await;
            rest.expect("a datagram is lost").unwrap();
        },
    );
    all_waited(&swept, &["RECV"]);
}
