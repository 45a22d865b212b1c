//! The service on tokio.

use std::io;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::routes::{Runtime, Work, routes};
use crate::store::{self, Job};
use crate::{
    Addresses, CACHE_PAUSE, CONNECTIONS, DRAIN, GRACE, LIMIT, PAUSE, PERIOD, WORKERS,
    postgres_config,
};

struct Database {
    address: String,
}

impl managed::Manager for Database {
    type Type = Client;
    type Error = io::Error;

    async fn create(&self) -> io::Result<Client> {
        let stream = TcpStream::connect(&self.address).await?;
        let connected = postgres_config().connect_raw(stream, NoTls).await;
        let (client, connection) = connected.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection to the database: {error}");
            }
        });
        Ok(client)
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
}

impl App {
    async fn start(addresses: &Addresses) -> io::Result<Self> {
        let cache = Cache::default();
        tokio::spawn(keep(addresses.redis.clone(), cache.clone()));
        let database = Database { address: addresses.postgres.clone() };
        let pool = managed::Pool::builder(database).max_size(CONNECTIONS).build();
        let app = App { pool: pool.map_err(io::Error::other)?, cache };
        app.query(LIMIT, |client| Box::pin(store::create_tables(client))).await?;
        Ok(app)
    }

    async fn perform(&self, job: &Job) -> io::Result<()> {
        let id = job.id;
        let task = self.query(LIMIT, move |it| Box::pin(store::task(it, id))).await?;
        sleep(Duration::from_millis(task.milliseconds)).await;
        let done = job.clone();
        let complete = self.query(LIMIT, move |client| {
            Box::pin(async move { store::complete(client, &done, task.sum).await })
        });
        if complete.await? {
            let _kept = timeout(LIMIT, self.cache.set(&job.key, task.sum)).await;
        }
        Ok(())
    }

    async fn give_back(&self, job: &Job) -> io::Result<()> {
        let job = job.clone();
        let give_back = self
            .query(LIMIT, |client| Box::pin(async move { store::give_back(client, &job).await }));
        give_back.await
    }
}

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
        let pool = self.pool.clone();
        async move {
            let mut client = timeout(limit, pool.get()).await?.map_err(io::Error::other)?;
            timeout(limit, work(&mut client)).await?.map_err(io::Error::other)
        }
    }

    fn limited<F>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send + 'static
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let limited = timeout(LIMIT, future);
        async { limited.await.ok() }
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// Keeps a connection to Redis, and connects again when it is lost.
async fn keep(address: String, cache: Cache) {
    loop {
        let connect = async {
            let stream = TcpStream::connect(&address).await?;
            cache.connect(stream).await.map_err(io::Error::other)
        };
        match timeout(LIMIT, connect).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(driver) => driver.await,
            Err(error) => eprintln!("no connection to Redis: {error}"),
        }
        sleep(CACHE_PAUSE).await;
    }
}

async fn worker(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Not in a `select!`: a claim whose answer is lost would wait for the end of its lease.
        match app.query(LIMIT, |it| Box::pin(store::claim(it))).await {
            Ok(Some(job)) => {
                let performed = select! {
                    performed = app.perform(&job) => Some(performed),
                    () = stop.cancelled() => None,
                };
                if let Some(Err(error)) = &performed {
                    eprintln!("job {}: {error}", job.id);
                }
                if !matches!(performed, Some(Ok(()))) {
                    if let Err(error) = app.give_back(&job).await {
                        eprintln!("job {}: {error}", job.id);
                    }
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => eprintln!("no claim: {error}"),
        }
        select! {
            () = sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn scheduler(app: App, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = app.query(LIMIT, |it| Box::pin(store::schedule(it))).await {
            eprintln!("the scheduler: {error}");
        }
    }
}

async fn serve(addresses: Addresses) -> io::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::start(&addresses).await?;
    let (stop_server, stop_workers) = (CancellationToken::new(), CancellationToken::new());
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(worker(app.clone(), stop_workers.clone()));
    }
    workers.spawn(scheduler(app.clone(), stop_workers.clone()));
    let listener = TcpListener::bind(&addresses.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let stopped = stop_server.clone().cancelled_owned();
    let server = axum::serve(listener, routes(app)).with_graceful_shutdown(stopped);
    let server = tokio::spawn(server.into_future());
    select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    println!("the signal arrived");
    stop_server.cancel();
    let _answered = timeout(DRAIN, server).await;
    stop_workers.cancel();
    let _ended = timeout(GRACE, async { while workers.join_next().await.is_some() {} }).await;
    Ok(())
}

pub(crate) fn run(addresses: Addresses) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(addresses))
}
