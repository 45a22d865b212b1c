//! The server, and `local`, cancelled at every suspension (E1, E2, V4).

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use curium::kernel::testing::{self, Injection, Run, Sweep};
use curium::kernel::{Builder, TaskCancelled, TaskGroup, ignore_after, select, sleep, spawn};
use curium::net::{SimulatedNetExt, TcpListener};
use curium_hyper::{local, serve};
use hyper::service::service_fn;

use crate::kit::{Counts, bound, head, rest, secs, sent};

/// Not with a shutdown, which cancels the client as well.
fn sweep() -> Sweep {
    let injections = Injection::ALL.into_iter().filter(|it| *it != Injection::ShutDown);
    testing::sweep().inject(&injections.collect::<Vec<_>>())
}

fn builder(builder: Builder) -> Builder {
    builder.simulated_net()
}

/// What holds after each run: no handler is left, and each has answered or cleaned up, unless it
/// was aborted, or dropped with its client.
fn check(counts: &Counts, run: &Run) {
    let aborted = run.injected.iter().any(|injected| injected.injection == Injection::Abort);
    let Counts { started, answered, cleaned, alive } = counts;
    assert_eq!(alive.get(), 0, "handlers are left");
    let ended = answered.get() + cleaned.get();
    assert!(aborted || started.get() == ended, "a cleanup was cut short");
}

struct Server {
    listener: RefCell<Option<TcpListener>>,
    counts: Rc<Counts>,
}

async fn requests(address: SocketAddr) -> Result<(), TaskCancelled> {
    // A server that was cancelled has closed its listener.
    let Ok(stream) = sent(address, &(head("/1") + &head("/100"))).await else { return Ok(()) };
    rest(&stream).await.map(drop)
}

/// E1, E2, V4: however a server of HTTP ends, its handlers are awaited.
#[test]
fn a_cancelled_server_of_http_awaits_its_handlers() {
    let swept = sweep().with_builder(builder).pairs().run(
        async || {
            let (listener, address) = bound().await.unwrap();
            spawn(requests(address));
            let counts = Rc::new(Counts::default());
            Server { listener: RefCell::new(Some(listener)), counts }
        },
        |server: Rc<Server>| async move {
            let counts = server.counts.clone();
            let listener = server.listener.take().expect("it is there");
            let serve = serve(listener, service_fn(move |it| counts.clone().handle(it)));
            ignore_after(secs(5), serve.drain(secs(1)).grace(secs(10))).await?;
            Ok::<_, io::Error>(())
        },
        async |server, run| {
            drop(server.listener.take());
            check(&server.counts, run);
        },
    );
    assert!(swept.suspensions >= 2, "{:?}", swept.sites);
}

/// E1, V4: however the owner of a body of `local` ends, the body has ended or cleaned up.
#[test]
fn a_body_of_local_ends_however_its_owner_does() {
    let swept = testing::sweep().pairs().run(
        async || Counts::default(),
        |counts: Rc<Counts>| {
            TaskGroup::<TaskCancelled>::scope(async move |group| {
                let work = |path: &str| local(group, counts.clone().work(path.to_owned()));
                let (short, mut long) = (work("/1"), work("/1000"));
                curium::cancellable(short).await?.expect("a value")?;
                select! {
                    ended = &mut long => drop(ended),
                    slept = sleep(secs(1)) => slept?,
                }
                drop(long);
                sleep(secs(3)).await
            })
        },
        async |counts, run| check(counts, run),
    );
    assert!(swept.suspensions >= 3, "{:?}", swept.sites);
}
