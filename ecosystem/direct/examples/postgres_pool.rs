//! A pool of connections to PostgreSQL by deadpool: `postgres_pool ADDRESS`, with the user `curium`
//! and no password.
//!
//! A wait for a connection can be cancelled, and has a time limit of Curium's. A connection whose
//! query is cancelled goes back to the pool when the server has ended the query, and is closed if
//! that does not succeed.

use std::env;
use std::error::Error;
use std::io;
use std::pin::pin;

use curium::kernel::{BodyEnd, GroupRef, cancellable, cancellable_after};
use curium::prelude::*;
use deadpool::managed::{self, Metrics, Object, RecycleError, RecycleResult};
use futures::channel::oneshot;
use tokio_postgres::{Client, Config, NoTls, Row};

type Anything = Box<dyn Error + Send + Sync>;
type Pool = managed::Pool<Database>;

struct Database {
    address: String,
    /// The drivers of the connections are its daemons.
    group: GroupRef<Anything>,
}

async fn connect(address: String, group: GroupRef<Anything>) -> io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    let mut config = Config::new();
    config.user("curium").dbname("postgres").application_name("postgres_pool");
    let connected = cancellable(config.connect_raw(stream, NoTls)).await?;
    let (client, connection) = connected.map_err(io::Error::other)?;
    group.spawn_daemon(async move { Ok(cancellable(connection).await??) });
    Ok(client)
}

impl managed::Manager for Database {
    type Type = Client;
    type Error = io::Error;

    /// What waits in Curium is not `Send`, and a pool wants what is. So another task connects.
    async fn create(&self) -> io::Result<Client> {
        let (sender, client) = oneshot::channel();
        let connecting = connect(self.address.clone(), self.group);
        let connecting = async move {
            let _not_wanted = sender.send(connecting.await);
            Ok(())
        };
        self.group.try_spawn_daemon(connecting).map_err(io::Error::other)?;
        client.await.map_err(io::Error::other)?
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<io::Error> {
        match client.is_closed() {
            true => Err(RecycleError::message("the connection is closed")),
            false => Ok(()),
        }
    }
}

/// A query. Dropped alone it would run on, on the server, and hold up the next one.
async fn query(pool: &Pool, sql: &str) -> Result<Vec<Row>, Anything> {
    let client = cancellable(pool.get()).await??;
    let query = async { Ok(cancellable(client.query(sql, &[])).await??) };
    let mut idle = true;
    let cleanup = async |end| {
        if end == BodyEnd::Cancelled {
            let stopped = timeout_after(Duration::from_secs(2), stop(pool, &client)).await;
            idle = matches!(stopped, Ok(Ok(())));
        }
        Ok::<_, Anything>(())
    };
    let rows = finally(query, cleanup).await;
    if !idle {
        drop(Object::take(client)); // closed, and not given back
    }
    rows
}

/// Ends what the server executes for `client`, and returns when it has ended.
async fn stop(pool: &Pool, client: &Client) -> Result<(), Anything> {
    // Answered when the connection has nothing else to do.
    let mut idle = pin!(client.batch_execute(""));
    loop {
        let mut stream = TcpStream::connect(&pool.manager().address).await?;
        cancellable(client.cancel_token().cancel_query_raw(&mut stream, NoTls)).await??;
        // Closed when the request has been passed on, which then cannot meet a later query.
        stream.read(&mut [0]).await?;
        // It has no effect if the server has not begun the query yet. So it is repeated.
        if let Ok(answered) = cancellable_after(Duration::from_millis(50), idle.as_mut()).await {
            return Ok(answered??);
        }
    }
}

async fn number(pool: &Pool, sql: &str) -> Result<i64, Anything> {
    Ok(query(pool, sql).await?[0].get(0))
}

/// The connections of this program on the server, and how many of them sleep.
async fn connections(pool: &Pool) -> Result<(i64, i64), Anything> {
    let all = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'postgres_pool'";
    let sleep = "state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    Ok((number(pool, all).await?, number(pool, &format!("{all} AND {sleep}")).await?))
}

fn main() -> Result<(), Anything> {
    let address = env::args().nth(1).ok_or("no ADDRESS")?;
    run(async || {
        TaskGroup::scope(async |group| {
            let pool: Pool = Pool::builder(Database { address, group }).max_size(2).build()?;
            let tasks: Vec<_> = (0..100)
                .map(|i| {
                    let pool = pool.clone();
                    let sql = format!("SELECT {i}::bigint");
                    group.spawn(async move { number(&pool, &sql).await })
                })
                .collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            println!("sum: {sum}, {} connections", connections(&pool).await?.0);

            let theirs = pool.clone();
            let long =
                spawn(async move { query(&theirs, "SELECT pg_sleep(1000)").await.map(drop) });
            while connections(&pool).await?.1 == 0 {
                sleep(Duration::from_millis(10)).await?;
            }
            let other = cancellable(pool.get()).await??;
            let limited = cancellable_after(Duration::from_millis(200), pool.get()).await;
            println!("both are in use: {}", limited.is_err());
            let theirs = pool.clone();
            let waiter = spawn(async move { cancellable(theirs.get()).await.map(drop) });
            yield_now().await?;
            waiter.cancel().await?;
            drop(other);

            long.cancel().await?;
            let (all, asleep) = connections(&pool).await?;
            println!("after the cancels: {all} connections, {asleep} sleep");
            println!("idle in the pool: {}", pool.status().available);
            Ok(())
        })
        .await // the connections end here
    })
}
