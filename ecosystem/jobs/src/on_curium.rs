//! The service on Curium.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use curium::kernel::{Core, Cores, GroupRef, cancellable, cancellable_after, interval};
use curium::net::{Balance, Serve};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, first_signal, until_signal};
use curium_hyper::{local, serve_on_cores, serve_router};
use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use hyper_util::service::TowerToHyperService;
use tokio_postgres::{Client, NoTls};

use crate::cache::Cache;
use crate::routes::{Runtime, Work, routes};
use crate::store::{self, Job};
use crate::{
    Addresses, CACHE_PAUSE, CONNECTIONS, DRAIN, GRACE, LIMIT, PAUSE, PERIOD, WORKERS,
    postgres_config,
};

/// The time in which a query that is given up must have ended on the server.
const STOP_LIMIT: Duration = Duration::from_secs(1);
const STOP_AGAIN: Duration = Duration::from_millis(50);

struct Database {
    address: String,
    /// The drivers of the connections are its daemons.
    group: GroupRef<io::Error>,
}

async fn connect(address: String, group: GroupRef<io::Error>) -> io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    let config = postgres_config();
    let connected = cancellable(config.connect_raw(stream, NoTls)).await?;
    let (client, connection) = connected.map_err(io::Error::other)?;
    group.spawn_daemon(async move {
        if let Err(error) = cancellable(connection).await? {
            eprintln!("a connection to the database: {error}");
        }
        Ok(())
    });
    Ok(client)
}

impl managed::Manager for Database {
    type Type = Client;
    type Error = io::Error;

    async fn create(&self) -> io::Result<Client> {
        let connecting = connect(self.address.clone(), self.group);
        local(self.group, connecting).await.map_err(io::Error::other)?
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<io::Error> {
        match client.is_closed() {
            true => Err(RecycleError::message("the connection is closed")),
            false => Ok(()),
        }
    }
}

#[derive(Clone)]
struct App {
    pool: managed::Pool<Database>,
    cache: Cache,
    /// The bodies of the handlers are its daemons.
    group: GroupRef<io::Error>,
}

impl App {
    async fn start(
        addresses: &Addresses,
        connections: usize,
        group: GroupRef<io::Error>,
    ) -> io::Result<Self> {
        let cache = Cache::default();
        group.spawn_daemon(keep(addresses.redis.clone(), cache.clone()));
        let database = Database { address: addresses.postgres.clone(), group };
        let pool = managed::Pool::builder(database).max_size(connections).build();
        let app = App { pool: pool.map_err(io::Error::other)?, cache, group };
        app.on_connection(LIMIT, |client| Box::pin(store::create_tables(client))).await?;
        Ok(app)
    }

    /// Runs `work` on a connection of the pool. If it is cancelled or takes too long, the server
    /// ends it as well, before the connection goes back.
    async fn on_connection<T>(&self, limit: Duration, work: impl Work<T>) -> io::Result<T> {
        let got = cancellable_after(limit, self.pool.get()).await??;
        let mut client = got.map_err(io::Error::other)?;
        let ended = cancellable_after(limit, work(&mut client)).await;
        if !matches!(ended, Ok(Ok(_))) {
            let stopped = shield(timeout_after(STOP_LIMIT, self.stop(&client))).await;
            if !matches!(stopped, Ok(Ok(()))) {
                drop(Object::take(client)); // closed, and not given back
            }
        }
        ended??.map_err(io::Error::other)
    }

    /// Ends what the server executes for `client`, and returns when it has ended.
    async fn stop(&self, client: &Client) -> io::Result<()> {
        // Answered when the connection has nothing else to do.
        let mut idle = pin!(client.batch_execute(""));
        loop {
            let mut stream = TcpStream::connect(&self.pool.manager().address).await?;
            let token = client.cancel_token();
            let cancelled = cancellable(token.cancel_query_raw(&mut stream, NoTls)).await?;
            cancelled.map_err(io::Error::other)?;
            // Closed when the request has been passed on, which then cannot meet a later query.
            stream.read(&mut [0]).await?;
            // It has no effect if the server has not begun the query yet. So it is repeated.
            if let Ok(answered) = cancellable_after(STOP_AGAIN, idle.as_mut()).await {
                return answered?.map_err(io::Error::other);
            }
        }
    }

    async fn perform(&self, job: &Job) -> io::Result<()> {
        let id = job.id;
        let task = self.on_connection(LIMIT, move |it| Box::pin(store::task(it, id))).await?;
        sleep(Duration::from_millis(task.milliseconds)).await?;
        let done = job.clone();
        let complete = self.on_connection(LIMIT, move |client| {
            Box::pin(async move { store::complete(client, &done, task.sum).await })
        });
        if complete.await? {
            // It may take too long, but a cancellation of the worker must not be lost here.
            if let Ok(kept) = cancellable_after(LIMIT, self.cache.set(&job.key, task.sum)).await {
                kept?;
            }
        }
        Ok(())
    }

    async fn give_back(&self, job: &Job) -> io::Result<()> {
        let job = job.clone();
        let give_back = self.on_connection(LIMIT, |client| {
            Box::pin(async move { store::give_back(client, &job).await })
        });
        give_back.await
    }
}

/// Bodies of handlers run as tasks of the group, which a client that is gone cancels.
impl Runtime for App {
    fn query<T, W>(
        &self,
        limit: Duration,
        work: W,
    ) -> impl Future<Output = io::Result<T>> + Send + 'static
    where
        T: Send + 'static,
        W: Work<T>,
    {
        let app = self.clone();
        let body = local(self.group, async move { app.on_connection(limit, work).await });
        async { body.await.map_err(io::Error::other)? }
    }

    fn limited<F>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let body = local(self.group, cancellable_after(LIMIT, future));
        async { body.await.ok()?.ok()?.ok() }
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// Keeps a connection to Redis, and connects again when it is lost.
async fn keep(address: String, cache: Cache) -> io::Result<()> {
    loop {
        let connect = async {
            let stream = TcpStream::connect(&address).await?;
            cancellable(cache.connect(stream)).await?.map_err(io::Error::other)
        };
        let connected = timeout_after(LIMIT, connect).await.unwrap_or_else(|late| Err(late.into()));
        match unless_cancelled(connected)? {
            Ok(driver) => cancellable(driver).await?,
            Err(error) => eprintln!("no connection to Redis: {error}"),
        }
        sleep(CACHE_PAUSE).await?;
    }
}

async fn worker(app: App) -> io::Result<()> {
    loop {
        // A claim whose answer is lost would wait for the end of its lease.
        match shield(app.on_connection(LIMIT, |it| Box::pin(store::claim(it)))).await {
            Ok(Some(job)) => {
                let performed = finally(app.perform(&job), async |end| match end.is_ok() {
                    true => Ok(()),
                    false => app.give_back(&job).await,
                });
                if let Err(error) = unless_cancelled(performed.within(GRACE).await)? {
                    eprintln!("job {}: {error}", job.id);
                }
            }
            Ok(None) => sleep(PAUSE).await?,
            Err(error) => {
                eprintln!("no claim: {error}");
                sleep(PAUSE).await?;
            }
        }
    }
}

async fn scheduler(app: App) -> io::Result<()> {
    let mut ticks = interval(PERIOD);
    loop {
        ticks.tick().await?;
        let scheduled = app.on_connection(LIMIT, |it| Box::pin(store::schedule(it))).await;
        if let Err(error) = unless_cancelled(scheduled)? {
            eprintln!("the scheduler: {error}");
        }
    }
}

/// What a kernel has of the service.
struct Share {
    workers: usize,
    connections: usize,
    schedules: bool,
}

impl Share {
    const WHOLE: Share = Share { workers: WORKERS, connections: CONNECTIONS, schedules: true };

    /// That of one of several cores. All have a connection, and one of them the scheduler.
    fn of(core: &Core) -> Self {
        let (index, count) = (core.index(), core.count());
        let share = |whole: usize| whole / count + usize::from(index < whole % count);
        let (workers, connections) = (share(WORKERS), share(CONNECTIONS).max(1));
        Share { workers, connections, schedules: index == 0 }
    }
}

/// Serves until it is cancelled, or the cores stop: then requests end first, the workers after
/// them, and the connections last.
async fn serve(
    addresses: &Addresses,
    share: Share,
    server: impl AsyncFnOnce(Router) -> io::Result<Serve>,
) -> io::Result<()> {
    TaskGroup::scope(async |connections| {
        let app = App::start(addresses, share.connections, connections).await?;
        TaskGroup::scope(async |workers| {
            for _ in 0..share.workers {
                workers.spawn_daemon(worker(app.clone()));
            }
            if share.schedules {
                workers.spawn_daemon(scheduler(app.clone()));
            }
            server(routes(app)).await?.drain(DRAIN).grace(GRACE).await
        })
        .await
    })
    .await
}

async fn serve_alone(addresses: Addresses) -> io::Result<()> {
    let server = async |router| {
        let listener = TcpListener::bind(&addresses.listen).await?;
        println!("listening on {}", listener.local_addr()?);
        Ok(serve_router(listener, router))
    };
    serve(&addresses, Share::WHOLE, server).await
}

pub(crate) fn run(addresses: Addresses) -> io::Result<()> {
    curium::run(async || match until_signal([SIGINT, SIGTERM], serve_alone(addresses))?.await {
        Ok(ended) => ended,
        Err(signalled) => {
            println!("{signalled}");
            Ok(())
        }
    })
}

async fn serve_core(core: &Core, addresses: &Addresses) -> io::Result<()> {
    let server = async |router| {
        let service = TowerToHyperService::new(router);
        let server = serve_on_cores(core, &addresses.listen, Balance::Fewest, service);
        Ok(server.on_listening(|address| println!("listening on {address}")))
    };
    serve(addresses, Share::of(core), server).await
}

pub(crate) fn run_on_cores(count: usize, addresses: &Addresses) -> io::Result<()> {
    let signal = first_signal([SIGINT, SIGTERM])?;
    let signal = async || {
        if let Ok(signal) = signal.await {
            println!("the signal {signal} arrived");
        }
    };
    // Requests, their handlers and the workers end one after the other.
    let cores = Cores::count(count).drain(DRAIN + 2 * GRACE).grace(GRACE).stop_when(signal);
    let served = curium::kernels(cores, async |core| serve_core(&core, addresses).await);
    served.map(drop).map_err(io::Error::other)
}
