//! A server that runs: its connections, how it is asked to stop, and how it drains.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use kernel::{GroupRef, TaskCancelled, TaskGroup, ignore_after};

use crate::server::{Anything, Listener};
use crate::stopping::{Counted, FoundBy, Server};

/// A server, which runs while it is awaited. Made by [`TcpListener::serve`], [`tcp_server`] and
/// the like.
///
/// Its methods are settings, for before it is awaited.
///
/// # How it stops
///
/// A server is asked to stop by a cancellation, such as that of
/// [`until_signal`](https://docs.rs/curium/latest/curium/signal/fn.until_signal.html), or by a
/// close of the listener that it [shares](crate::TcpListener::serve_shared). Then:
///
/// 1. It accepts no more: its listener is closed, unless another task holds it.
/// 2. The handlers learn it by [`stopping`], and have the time of [`drain`](Serve::drain) to end by
///    themselves.
/// 3. Those that are left are cancelled together, and awaited for the time of
///    [`grace`](Serve::grace).
/// 4. Those that are left then are aborted and reported.
///
/// Without settings there is no time to drain, and the grace has no limit. The call returns when
/// the last handler has ended.
///
/// ```
/// use std::time::Duration;
/// use curium::net::{TcpListener, TcpStream, stopping};
/// use curium::{kernel, select};
///
/// /// Echoes until the client leaves or the server stops.
/// async fn echo(stream: TcpStream) -> std::io::Result<()> {
///     let mut buf = [0; 4096];
///     loop {
///         let n = select! {
///             read = stream.read(&mut buf) => read?,
///             stop = stopping() => {
///                 stop?;
///                 return Ok(stream.write_all(b"goodbye\n").await?);
///             }
///         };
///         if n == 0 {
///             return Ok(());
///         }
///         stream.write_all(&buf[..n]).await?;
///     }
/// }
///
/// kernel::run(async || {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let server = listener
///         .serve(async |stream, _peer| echo(stream).await)
///         .limit(1000)
///         .drain(Duration::from_secs(10))
///         .grace(Duration::from_secs(5));
///     let server = kernel::spawn(server);
///     let client = TcpStream::connect(address).await?;
///     client.write_all(b"hello\n").await?;
///     client.read_exact(&mut [0; 6]).await?;
///     server.cancel().await?; // returns when the client has its goodbye
///     client.read_exact(&mut [0; 8]).await?;
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
///
/// A lasting error of `accept`, and that of binding if it binds. A cancellation. It is `Ok` if
/// another task has closed the listener.
///
/// # Cancellation
///
/// It stops as described above. The cancellation of a timeout around it, or of another scope, that
/// comes while it drains ends the time to drain: the handlers are cancelled at once. While they
/// are awaited after that, a cancellation is held back. Dropped, the server drops its handlers.
///
/// [`stopping`]: crate::stopping()
/// [`TcpListener::serve`]: crate::TcpListener::serve
/// [`TcpListener::serve_shared`]: crate::TcpListener::serve_shared
/// [`tcp_server`]: crate::tcp_server
#[must_use = "a server does nothing unless it is awaited or spawned"]
pub struct Serve {
    settings: Rc<Cell<Settings>>,
    on_listening: Rc<Cell<Option<OnListening>>>,
    running: Pin<Box<dyn Future<Output = io::Result<()>>>>,
}

/// Called with the address when the server listens.
pub(crate) type OnListening = Box<dyn FnOnce(SocketAddr)>;

#[derive(Debug, Clone, Copy)]
struct Settings {
    limit: usize,
    /// None: as the listener says.
    drain: Option<Duration>,
    grace: Duration,
}

/// Of a server without settings.
const UNSET: Settings = Settings { limit: usize::MAX, drain: None, grace: Duration::MAX };

impl Serve {
    /// The most connections that are served at a time. Further ones wait in the queue of the
    /// system, and are accepted as others end. Without this there is no limit.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn limit(self, connections: usize) -> Self {
        assert!(connections > 0, "a server with a limit of 0 would serve no connection");
        self.with(|settings| settings.limit = connections)
    }

    /// The time that handlers have to end by themselves when the server [stops](Serve). They learn
    /// it by [`stopping`](crate::stopping()). `Duration::MAX` is no limit. Without this there is no
    /// such time.
    pub fn drain(self, time: Duration) -> Self {
        self.with(|settings| settings.drain = Some(time))
    }

    /// The time that handlers have to end once they are cancelled. Those that are left then are
    /// aborted and reported ([`Report::OutOfGrace`](kernel::Report::OutOfGrace)). Without this, or
    /// with `Duration::MAX`, they have as long as they need.
    pub fn grace(self, time: Duration) -> Self {
        self.with(|settings| settings.grace = time)
    }

    /// Sets a function that is called when clients can connect, with the address where: it has the
    /// port that the system has chosen for port 0.
    ///
    /// ```no_run
    /// use curium::net::{TcpStream, tcp_server};
    ///
    /// curium::run(async || {
    ///     let server = tcp_server("127.0.0.1:0", async |stream: TcpStream, _peer| {
    ///         stream.write_all(b"hello\n").await
    ///     });
    ///     let server = server.on_listening(|address| println!("listening on {address}"));
    ///     server.await
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// A server [over cores](crate::CoreExt::serve) says it once: of the functions that its cores
    /// have been given, that of the core which binds the address first is called, as a task beside
    /// the server. So give one on each core. It is not called for Unix sockets, nor if the
    /// listener is closed before the server begins.
    pub fn on_listening(self, call: impl FnOnce(SocketAddr) + 'static) -> Self {
        self.on_listening.set(Some(Box::new(call)));
        self
    }

    fn with(self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings.get();
        set(&mut settings);
        self.settings.set(settings);
        self
    }

    /// A server on the listener that `listener` gives.
    pub(crate) fn new<L, H, E>(
        listener: impl Future<Output = io::Result<impl Deref<Target = L> + 'static>> + 'static,
        handler: H,
        site: &'static Location<'static>,
    ) -> Serve
    where
        L: Listener + 'static,
        H: AsyncFn(L::Stream, L::Address) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::begun_by(site, async move |settings, on_listening, server| {
            let listener = listener.await?;
            if let Some(call) = on_listening {
                // Not of a listener that is closed already: that server ends at once.
                listener.bound_to().ok().flatten().map(call);
            }
            serve(listener, handler, settings, server).await
        })
    }

    /// A server that `run` runs, with the settings that are chosen by then.
    fn begun_by<R>(site: &'static Location<'static>, run: R) -> Serve
    where
        R: AsyncFnOnce(Settings, Option<OnListening>, Rc<Server>) -> io::Result<()> + 'static,
    {
        let settings = Rc::new(Cell::new(UNSET));
        let on_listening = Rc::<Cell<Option<OnListening>>>::default();
        let (chosen, call) = (settings.clone(), on_listening.clone());
        let running = Box::pin(async move {
            let settings = chosen.get();
            run(settings, call.take(), Rc::new(Server::new(settings.limit, site))).await
        });
        Serve { settings, on_listening, running }
    }
}

#[cfg(all(unix, feature = "cores"))]
impl Serve {
    /// A server with tasks beside it. `take` gives the listener for a limit of connections, and
    /// `begin` spawns the tasks as daemons of a group.
    pub(crate) fn with_helpers<L, H, E>(
        take: impl FnOnce(usize) -> L + 'static,
        begin: impl AsyncFnOnce(&L, GroupRef<io::Error>, Option<OnListening>) -> io::Result<()>
        + 'static,
        handler: H,
        site: &'static Location<'static>,
    ) -> Serve
    where
        L: Listener + Clone + 'static,
        H: AsyncFn(L::Stream, L::Address) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::begun_by(site, async move |settings, on_listening, server| {
            TaskGroup::scope(async |group| {
                let listener = take(settings.limit);
                begin(&listener, group, on_listening).await?;
                serve(Box::new(listener), handler, settings, server).await
            })
            .await
        })
    }
}

impl Future for Serve {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.running.as_mut().poll(cx)
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("settings", &self.settings.get()).finish_non_exhaustive()
    }
}

async fn serve<L, H, E>(
    listener: impl Deref<Target = L>,
    handler: H,
    settings: Settings,
    server: Rc<Server>,
) -> io::Result<()>
where
    L: Listener,
    H: AsyncFn(L::Stream, L::Address) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let handler = Rc::new(handler);
    // Also while the handlers are awaited after the body.
    let found_by = OnceCell::new();
    let ended: Result<(), Anything> = TaskGroup::scope(async |group| {
        group.set_grace(settings.grace);
        found_by.get_or_init(|| FoundBy::new(group.key(), &server));
        let stopped = accept_all(&*listener, group, &handler, &server).await;
        // Closed before the handlers are awaited.
        let time = listener.stopped();
        let drain = settings.drain.unwrap_or(time);
        drop(listener);
        server.stop();
        let drained = ignore_after(drain, server.fewer_than("SERVE_DRAIN", 1)).await;
        match (stopped, drained) {
            (Ok(()), drained) => Ok(drained.map(drop)?),
            (Err(error), Ok(_)) => Err(error.into()),
            (Err(error), Err(cancelled)) => {
                // Only one of the two can be returned.
                cancelled.put_back();
                Err(error.into())
            }
        }
    })
    .await;
    ended.map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => *error,
        // The cancellation of the drain.
        Err(error) => match error.downcast::<TaskCancelled>() {
            Ok(cancelled) => (*cancelled).into(),
            Err(error) => io::Error::other(error),
        },
    })
}

/// Accepts connections until the listener is closed, and runs `handler` for each as a member.
async fn accept_all<L, H, E>(
    listener: &L,
    group: GroupRef<Anything>,
    handler: &Rc<H>,
    server: &Rc<Server>,
) -> io::Result<()>
where
    L: Listener,
    H: AsyncFn(L::Stream, L::Address) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    loop {
        let accepted = match server.room(listener).await {
            Ok(()) => listener.accept_at(server.site).await,
            Err(error) => Err(error),
        };
        let connection = match accepted {
            Ok(connection) => Box::new(connection),
            // Another task has closed the listener.
            Err(error) if kernel::cancelled(&error).is_none() && listener.is_closed() => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let handler = handler.clone();
        let counted = Counted::new(server);
        // A daemon, so that its failure is reported and does not end the group.
        group.spawn_daemon_as::<H, _>(async move {
            let _counted = counted;
            // Boxed, because a captured value occupies space in the task as long as the task lives.
            // Unboxed in a block, because the box would be kept as long otherwise.
            let (stream, peer) = {
                let connection = connection;
                *connection
            };
            handler(stream, peer).await.map_err(E::into)
        });
    }
}
