//! Servers on TCP, cancelled at every suspension, with handlers that clean up (V4). They run on a
//! simulated network, where nothing depends on times of the system (V3).

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Injection};
use curium::kernel::yield_now;
use curium::kernel::{TaskCancelled, ignore_after, select, sleep, spawn};
use curium::net::{SimulatedNetExt, TcpListener, TcpStream, stopping, tcp_server};

use crate::support::both::Peer;
use crate::swept_net::{has, soon, suspended, until};

const MS: Duration = Duration::from_millis(1);

/// What the handlers have done.
#[derive(Default)]
struct Counts {
    started: Cell<usize>,
    echoed: Cell<usize>,
    /// Ended well, or after their cleanup.
    ended: Cell<usize>,
    alive: Cell<usize>,
    /// One has seen that the server stops.
    stopping: Cell<bool>,
}

/// Counts a handler as long as it lives.
struct Alive<'a>(&'a Cell<usize>);

impl<'a> Alive<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Alive(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn add_one(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

impl Counts {
    /// Echoes until the end of the stream, also while the server stops. If it is cancelled, it says
    /// so in several steps.
    async fn handle(&self, stream: TcpStream) -> io::Result<()> {
        let _alive = Alive::new(&self.alive);
        add_one(&self.started);
        let result = self.echo(&stream).await;
        if result.is_err() {
            yield_now().await?;
            stream.write_all(b"bye").await?;
            yield_now().await?;
        }
        add_one(&self.ended);
        result
    }

    async fn echo(&self, stream: &TcpStream) -> io::Result<()> {
        let mut buf = [0; 8];
        loop {
            let n = select! {
                stop = self.stop() => {
                    stop?;
                    continue;
                },
                read = stream.read(&mut buf) => read?,
            };
            if n == 0 {
                return Ok(());
            }
            stream.write_all(&buf[..n]).await?;
            add_one(&self.echoed);
        }
    }
}

impl Counts {
    /// Waits for the stop of the server once.
    async fn stop(&self) -> Result<(), TaskCancelled> {
        if self.stopping.get() {
            return sleep(Duration::MAX).await;
        }
        stopping().await?;
        self.stopping.set(true);
        Ok(())
    }
}

struct Server {
    listener: RefCell<Option<Rc<TcpListener>>>,
    counts: Rc<Counts>,
    clients: RefCell<Vec<Peer>>,
}

impl Server {
    /// A listener, and a task that connects, waits for its echo and connects again. The first
    /// client leaves when the last has got its echo, and then the listener is closed.
    async fn new() -> Rc<Self> {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let (counts, clients) = Default::default();
        let server = Server { listener: RefCell::new(Some(listener)), counts, clients };
        let server = Rc::new(server);
        spawn(server.clone().connect_twice(address));
        server
    }

    async fn connect_twice(self: Rc<Self>, address: SocketAddr) -> Result<(), TaskCancelled> {
        for number in 0..2 {
            self.until(|| self.counts.echoed.get() == number).await?;
            // A server of its own has closed its listener if it was cancelled.
            let Ok(mut client) = Peer::connect(address) else { return Ok(()) };
            client.write_all(b"hi").unwrap();
            self.clients.borrow_mut().push(client);
        }
        self.until(|| self.counts.echoed.get() == 2).await?;
        if self.counts.stopping.get() {
            return Ok(());
        }
        let first = self.clients.borrow_mut().remove(0);
        first.shutdown(std::net::Shutdown::Write).unwrap();
        self.until(|| self.counts.ended.get() == 1).await?;
        if let Some(listener) = &*self.listener.borrow() {
            listener.close();
        }
        Ok(())
    }

    /// Waits, but not while the server stops, because time stands still while a task yields.
    async fn until(&self, is_so: impl Fn() -> bool) -> Result<(), TaskCancelled> {
        until(|| is_so() || self.counts.stopping.get()).await
    }

    /// What holds when the server has ended: no handler is left, and each that began has ended well
    /// or cleaned up, unless they were dropped.
    fn check(&self, aborted: bool) {
        let Counts { started, ended, alive, .. } = &*self.counts;
        assert_eq!(alive.get(), 0, "handlers are left");
        assert!(aborted || started.get() == ended.get(), "a cleanup was cut short");
        for client in &mut *self.clients.borrow_mut() {
            let mut echo = Vec::new();
            // What was sent is read, whether the connection ended well or was reset.
            let _ = client.read_to_end(&mut echo);
            assert!([&b""[..], b"hi", b"hibye", b"bye"].contains(&&*echo), "{echo:?}");
            // Another read does not wait either.
            let _ = client.read(&mut [0]);
        }
    }
}

/// V4, N3, G1: however a shared server ends, its handlers are awaited, also if it is cancelled
/// again meanwhile. The listener is as it was, and a connection that was not accepted is the next
/// one's.
#[test]
fn a_cancelled_shared_server_awaits_its_handlers_and_leaves_the_listener() {
    let swept = testing::sweep().with_builder(|builder| builder.simulated_net()).pairs().run(
        Server::new,
        |server: Rc<Rc<Server>>| async move {
            let counts = server.counts.clone();
            let listener = server.listener.borrow().clone().expect("it is shared");
            listener.serve_shared(async move |stream, _| counts.handle(stream).await).await
        },
        async |server, run| {
            let listener = server.listener.borrow_mut().take().expect("it is kept");
            if let Ok(address) = listener.local_addr() {
                // The clients that were not accepted, and one that comes last.
                let last = Peer::connect(address).unwrap();
                let port = last.local_addr().unwrap();
                while soon(listener.accept()).await.unwrap().1 != port {}
            }
            drop(listener);
            server.check(has(run, Injection::Abort));
        },
    );
    assert!(swept.suspensions >= 2, "{:?}", swept.sites);
}

/// V4, N12: however a server with a limit and a time to drain is stopped, and if it is cancelled
/// again meanwhile, its handlers are awaited. They use all the time to drain.
#[test]
fn a_server_that_drains_awaits_its_handlers_however_it_is_stopped() {
    let swept = testing::sweep().with_builder(|builder| builder.simulated_net()).pairs().run(
        Server::new,
        |server: Rc<Rc<Server>>| async move {
            let counts = server.counts.clone();
            let listener = server.listener.borrow().clone().expect("it is shared");
            let serve = listener.serve_shared(async move |stream, _| counts.handle(stream).await);
            serve.limit(2).drain(MS).grace(MS).await
        },
        async |server, run| {
            drop(server.listener.take());
            server.check(has(run, Injection::Abort));
        },
    );
    for kind in ["SERVE_LIMIT", "SERVE_DRAIN", "GROUP_END"] {
        assert!(suspended(&swept, kind) > 0, "{kind}: {:?}", swept.sites);
    }
}

/// V4, N3, G1: the same of a server with a listener of its own, which it closes.
#[test]
fn a_cancelled_server_awaits_its_handlers_and_closes_the_listener() {
    let swept = testing::sweep().with_builder(|builder| builder.simulated_net()).run(
        Server::new,
        |server: Rc<Rc<Server>>| async move {
            let counts = server.counts.clone();
            let listener = server.listener.take().expect("it is there");
            let listener = Rc::into_inner(listener).expect("it is not shared");
            let serve = listener.serve(async move |stream, _| counts.handle(stream).await);
            ignore_after(MS, serve).await.map(drop)
        },
        async |server, run| {
            drop(server.listener.take());
            server.check(has(run, Injection::Abort));
        },
    );
    assert!(swept.suspensions >= 2, "{:?}", swept.sites);
}

/// V4, N3: a server that was not connected to.
#[test]
fn a_cancelled_server_without_a_connection_leaves_nothing() {
    let swept = testing::sweep().with_builder(|builder| builder.simulated_net()).pairs().run(
        async || (),
        |_| async {
            let handler = async |_, _| Ok::<_, io::Error>(());
            ignore_after(MS, tcp_server("127.0.0.1:0", handler)).await.map(drop)
        },
        async |_, _| {},
    );
    assert!(swept.suspensions > 0);
}
