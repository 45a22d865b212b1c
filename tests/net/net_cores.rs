//! Servers over cores (P3).

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as Client};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use curium::kernel::{Core, CoreError, Cores, kernels};
use curium::net::{Balance, CoreExt, TcpStream, stopping};
use curium::select;
use curium::sync::UniversalEvent;

/// An address that no other test uses: a loopback address of this process, and a free port there.
fn free_address() -> SocketAddr {
    let [low, high, ..] = std::process::id().to_le_bytes();
    let probe = StdListener::bind((std::net::Ipv4Addr::new(127, 77, high, low), 0));
    probe.and_then(|probe| probe.local_addr()).expect("a free port")
}

/// Says on which core the client is, and echoes until it leaves. `q` stops the cores.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let core = Core::current().expect("it runs on a core");
    stream.write_all(&[core.index() as u8]).await?;
    let mut buf = [0; 16];
    loop {
        let read = select! {
            read = stream.read(&mut buf) => read?,
            stop = stopping() => {
                stop?;
                return Ok(stream.write_all(b"bye").await?);
            }
        };
        match &buf[..read] {
            [] => return Ok(()),
            [b'q', ..] => core.stop(),
            echoed => stream.write_all(echoed).await?,
        }
    }
}

/// Runs that server on cores, and `clients` on this thread, which stops it.
fn served<T>(cores: usize, balance: Balance, clients: impl FnOnce(SocketAddr) -> T) -> T {
    let address = free_address();
    let server = thread::spawn(move || {
        kernels(Cores::count(cores).drain(Duration::from_secs(60)), async |core| {
            core.serve(address, balance, async |stream, _| echo(stream).await).await
        })
    });
    let value = clients(address);
    let mut last = connect(address).0;
    last.write_all(b"q").expect("it is served");
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).expect("it is served to the end");
    assert_eq!(rest, b"bye");
    server.join().expect("no panic").expect("no core fails");
    value
}

/// A client, and the core that serves it.
fn connect(address: SocketAddr) -> (Client, usize) {
    let begun = Instant::now();
    let mut client = loop {
        match Client::connect(address) {
            // The cores may not have begun yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                assert!(begun.elapsed() < Duration::from_secs(60), "there is no server");
                thread::yield_now();
            }
            connected => break connected.expect("a connection"),
        }
    };
    let mut core = [0];
    client.read_exact(&mut core).expect("it is served");
    (client, usize::from(core[0]))
}

/// How many of the clients each core has.
fn counts(cores: usize, clients: &[(Client, usize)]) -> Vec<usize> {
    (0..cores).map(|core| clients.iter().filter(|(_, of)| *of == core).count()).collect()
}

/// P3: each connection goes to the core with the fewest, also after some have left.
#[test]
fn the_core_with_the_fewest_connections_gets_the_next() {
    served(3, Balance::Fewest, |address| {
        // The first ones may come before all cores take part.
        while (0..3).map(|_| connect(address)).map(|(_, core)| core).sum::<usize>() != 3 {}
        let mut clients: Vec<_> = (0..30).map(|_| connect(address)).collect();
        let (_, seen) = clients.iter_mut().fold((0, [0; 3]), |(all, mut seen), (client, core)| {
            client.write_all(b"x").and_then(|()| client.read_exact(&mut [0])).expect("an echo");
            seen[*core] += 1;
            (all + 1, seen)
        });
        let [most, least] = [seen.iter().max(), seen.iter().min()].map(|it| it.expect("three"));
        assert!(most - least <= 2, "{seen:?}");
        // All clients of core 1 leave. The next ones go there, but for as many as may be late.
        let left = counts(3, &clients)[1];
        clients.retain_mut(|(client, core)| {
            let leaves = *core == 1;
            if leaves {
                client.shutdown(Shutdown::Write).expect("it is connected");
                client.read_to_end(&mut Vec::new()).expect("it is closed in good order");
            }
            !leaves
        });
        let more: Vec<_> = (0..left).map(|_| connect(address)).collect();
        assert!(counts(3, &more)[1] >= left - 2, "{:?}", counts(3, &more));
    });
}

/// P3: with a listener for each core the system chooses, and every core is chosen at some time.
#[test]
fn each_core_has_a_listener_of_its_own() {
    served(2, Balance::ReusePort, |address| {
        let mut seen = [0; 2];
        // Only so many that a fault ends the test.
        for _ in 0..10_000 {
            seen[connect(address).1] += 1;
            if seen.iter().all(|count| *count > 0) {
                return;
            }
        }
        panic!("{seen:?}");
    });
}

/// P3: the port of the peer chooses the core.
#[test]
fn the_port_of_the_peer_chooses_the_core() {
    // The ports that a system gives to clients may all be even, so the number of cores is odd.
    served(3, Balance::PeerPort, |address| {
        let (mut seen, mut chosen) = ([false; 3], [0; 3]);
        for _ in 0..10_000 {
            let (client, core) = connect(address);
            let port = client.local_addr().expect("it is connected").port();
            // Until all cores take part, others are chosen.
            if seen == [true; 3] {
                assert_eq!(core, usize::from(port % 3));
                chosen[core] += 1;
            }
            seen[core] = true;
            if chosen.iter().all(|count| *count > 5) {
                return;
            }
        }
        panic!("{chosen:?}");
    });
}

/// P3, P4: a stop closes the listeners, and the clients are served to their end.
#[test]
fn a_stop_lets_the_clients_of_every_core_finish() {
    let mut clients =
        served(2, Balance::Fewest, |address| (0..10).map(|_| connect(address)).collect::<Vec<_>>());
    for (client, _) in &mut clients {
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("it is served to the end");
        assert_eq!(rest, b"bye");
    }
}

/// P3: a core has at most as many connections as its limit, and the others wait.
#[test]
fn the_limit_is_that_of_each_core() {
    let (address, most) = (free_address(), AtomicUsize::new(0));
    let over = Arc::new(UniversalEvent::new());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            kernels(2, async |core| {
                let (running, ended) = (Arc::new(AtomicUsize::new(0)), over.clone());
                let now = running.clone();
                let mine = Arc::new(AtomicUsize::new(0));
                let seen = mine.clone();
                let server = core.serve(address, Balance::Fewest, async move |stream, _| {
                    let count = now.fetch_add(1, Ordering::Relaxed) + 1;
                    seen.fetch_max(count, Ordering::Relaxed);
                    let ended = echo(stream).await;
                    now.fetch_sub(1, Ordering::Relaxed);
                    ended
                });
                select! {
                    served = server.limit(2) => served?,
                    over = ended.wait() => over?,
                }
                most.fetch_max(mine.load(Ordering::Relaxed), Ordering::Relaxed);
                io::Result::Ok(())
            })
        });
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..25).for_each(|_| {
                        drop(connect(address));
                    });
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().expect("it is served"));
        over.set();
        server.join().expect("no panic").expect("no core fails");
    });
    assert_eq!(most.into_inner(), 2);
}

/// P3: if the core that accepts leaves, another one accepts.
#[test]
fn a_server_goes_on_when_one_core_leaves() {
    for leaving in 0..2 {
        let (address, leave) = (free_address(), UniversalEvent::new());
        let left = UniversalEvent::new();
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                kernels(Cores::count(2).drain(Duration::from_secs(60)), async |core| {
                    let serve =
                        core.serve(address, Balance::Fewest, async |stream, _| echo(stream).await);
                    if core.index() != leaving {
                        return serve.await;
                    }
                    select! {
                        ended = serve => return ended,
                        leave = leave.wait() => leave?,
                    }
                    left.set();
                    Ok(core.stopping().await?)
                })
            });
            while connect(address).1 != leaving {}
            leave.set();
            left.wait_blocking(Duration::from_secs(60)).expect("the core leaves");
            assert_eq!(connect(address).1, 1 - leaving);
            connect(address).0.write_all(b"q").expect("it is served");
            server.join().expect("no panic").expect("no core fails");
        });
    }
}

/// P3: one core says where the server listens, once a client can connect there.
#[test]
fn one_core_says_once_where_the_server_listens() {
    for balance in [Balance::Fewest, Balance::ReusePort, Balance::PeerPort] {
        let (said, listening) = mpsc::channel();
        let server = thread::spawn(move || {
            kernels(Cores::count(3).drain(Duration::from_secs(60)), async |core| {
                let said = said.clone();
                let server =
                    core.serve("127.0.0.1:0", balance, async |stream, _| echo(stream).await);
                // As `println` does when nobody reads. Who has said it need not live on.
                server.on_listening(move |at| said.send(at).map(|()| panic!("done")).unwrap()).await
            })
        });
        let limit = Duration::from_secs(60);
        let address: SocketAddr = listening.recv_timeout(limit).expect("it is said");
        let mut client = Client::connect(address).expect("a listener");
        let mut core = [0];
        client.read_exact(&mut core).expect("it is served");
        // A core that begins after the others have stopped would be a server of its own.
        let mut seen = [false; 3];
        // The others may have fewer connections, so this core may get no further one.
        seen[usize::from(core[0])] = true;
        for _ in 0..10_000 {
            if seen == [true; 3] {
                break;
            }
            seen[connect(address).1] = true;
        }
        assert_eq!(seen, [true; 3]);
        client.write_all(b"q").expect("it is served");
        server.join().expect("no panic").expect("no core fails");
        assert_eq!(listening.recv().ok(), None, "{balance:?} says it once");
    }
}

/// P3: an address that cannot be bound is the error of every core.
#[test]
fn an_address_that_is_taken_fails_every_core() {
    let taken = StdListener::bind(free_address()).expect("a listener");
    let address = taken.local_addr().expect("an address");
    for balance in [Balance::Fewest, Balance::ReusePort] {
        let failed = kernels(2, async |core| {
            core.serve(address, balance, async |stream, _| echo(stream).await).await
        });
        let failed = failed.expect_err("the address is taken");
        let CoreError::Failed { error, .. } = &failed.first else { panic!("{failed:?}") };
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

/// P3, P1: a server that is cancelled, here because another core fails, gives its handlers no time,
/// although clients stay.
#[test]
fn a_failure_ends_servers_whose_clients_stay() {
    for balance in [Balance::Fewest, Balance::ReusePort] {
        let (address, connected) = (free_address(), UniversalEvent::new());
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                kernels(2, async |core| {
                    if core.index() == 0 {
                        return core.serve(address, balance, async |s, _| echo(s).await).await;
                    }
                    connected.wait().await?;
                    Err(io::Error::other("no disk"))
                })
            });
            let (mut client, core) = connect(address);
            connected.set();
            assert_eq!(core, 0);
            let failed = server.join().expect("no panic").expect_err("core 1 fails");
            assert_eq!(failed.to_string(), "core 1 failed: no disk");
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).expect("the connection was closed in good order");
        });
    }
}
