//! Queries to PostgreSQL: `postgres_queries ADDRESS`, with the user `curium` and no password.
//!
//! The driver of a connection is a daemon of a group, and ends with it. A query whose task is
//! cancelled is cancelled on the server as well, and the connection can be used again.

use std::env;
use std::error::Error;
use std::pin::pin;
use std::rc::Rc;

use curium::kernel::{BodyEnd, GroupRef, cancellable, cancellable_after};
use curium::prelude::*;
use tokio_postgres::{Client, Config, NoTls, Row};

type Anything = Box<dyn Error + Send + Sync>;

struct Database {
    client: Client,
    address: String,
}

impl Database {
    async fn connect(address: &str, group: GroupRef<Anything>) -> Result<Self, Anything> {
        let stream = TcpStream::connect(address).await?;
        let mut config = Config::new();
        config.user("curium").dbname("postgres");
        let (client, connection) = cancellable(config.connect_raw(stream, NoTls)).await??;
        group.spawn_daemon(async move { Ok(cancellable(connection).await??) });
        Ok(Database { client, address: address.to_owned() })
    }

    /// A query. Dropped alone it would run on, on the server, and hold up the next one.
    async fn query(&self, sql: &str) -> Result<Vec<Row>, Anything> {
        let query = async { Ok(cancellable(self.client.query(sql, &[])).await??) };
        let cleanup = async |end| match end == BodyEnd::Cancelled {
            true => self.stop().await,
            false => Ok(()),
        };
        finally(query, cleanup).await
    }

    /// Ends what the server executes, and returns when it has ended.
    async fn stop(&self) -> Result<(), Anything> {
        // Answered when the connection has nothing else to do.
        let mut idle = pin!(self.client.batch_execute(""));
        loop {
            // The request to cancel has a connection of its own.
            let mut stream = TcpStream::connect(&self.address).await?;
            cancellable(self.client.cancel_token().cancel_query_raw(&mut stream, NoTls)).await??;
            // Closed when the request has been passed on, which then cannot meet a later query.
            stream.read(&mut [0]).await?;
            // It has no effect if the server has not begun the query yet. So it is repeated.
            let answered = cancellable_after(Duration::from_millis(50), idle.as_mut()).await;
            if let Ok(answered) = answered {
                return Ok(answered??);
            }
        }
    }

    async fn sleepers(&self) -> Result<i64, Anything> {
        let sql = "SELECT COUNT(*) FROM pg_stat_activity
            WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
        Ok(self.query(sql).await?[0].get(0))
    }
}

fn main() -> Result<(), Anything> {
    let address = env::args().nth(1).ok_or("no ADDRESS")?;
    run(async || {
        TaskGroup::scope(async |group| {
            let database = Rc::new(Database::connect(&address, group).await?);
            let other = Database::connect(&address, group).await?;
            let rows = database.query("SELECT 40 + 2").await?;
            println!("answer: {}", rows[0].get::<_, i32>(0));

            let theirs = database.clone();
            let long = spawn(async move { theirs.query("SELECT pg_sleep(1000)").await.map(drop) });
            while other.sleepers().await? == 0 {
                sleep(Duration::from_millis(10)).await?;
            }
            println!("the long query runs");
            long.cancel().await?;
            let rows = database.query("SELECT 1").await?; // on the same connection
            println!("after the cancel: {} row, {} sleep", rows.len(), other.sleepers().await?);

            let limit = Duration::from_millis(200);
            let slow = timeout_after(limit, database.query("SELECT pg_sleep(1000)")).await;
            println!("too slow: {}", slow.is_err());
            let rows = database.query("SELECT 1").await?;
            println!("after the timeout: {} row, {} sleep", rows.len(), other.sleepers().await?);
            Ok(())
        })
        .await
    })
}
