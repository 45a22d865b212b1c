//! A pool of connections to a database, of a crate that runs on tokio: `sqlx_pool DATABASE_URL`,
//! which is SQLite's or PostgreSQL's.
//!
//! A task that is cancelled inside a transaction has changed nothing, and its connection goes back
//! to the pool. A wait for a connection has a time limit.

use std::env;
use std::error::Error;
use std::rc::Rc;

use curium::kernel::{cancellable, cancellable_after};
use curium::prelude::*;
use sqlx::AnyPool;
use sqlx::any::{AnyPoolOptions, install_default_drivers};

type Anything = Box<dyn Error + Send + Sync>;

/// Every query of this program: a cancellation drops it.
async fn execute(pool: &AnyPool, query: &str) -> Result<(), Anything> {
    cancellable(sqlx::query(query).execute(pool)).await??;
    Ok(())
}

async fn count(pool: &AnyPool, state: &str) -> Result<i64, Anything> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM jobs WHERE state = $1").bind(state);
    Ok(cancellable(count.fetch_one(pool)).await??)
}

/// Marks every job, says so, and thinks for a while before it commits.
async fn finish(pool: &AnyPool, marked: &Event, thinks: Duration) -> Result<(), Anything> {
    let mut transaction = cancellable(pool.begin()).await??;
    let update = sqlx::query("UPDATE jobs SET state = 'done'");
    cancellable(update.execute(&mut *transaction)).await??;
    marked.set();
    sleep(thinks).await?;
    // Whether a commit that is cut has happened is not known, so it is not.
    shield(transaction.commit()).await?;
    Ok(())
}

fn main() -> Result<(), Anything> {
    let url = env::args().nth(1).ok_or("no DATABASE_URL")?;
    install_default_drivers();
    curium_tokio::run(async || {
        let one = AnyPoolOptions::new().max_connections(1);
        let pool = cancellable(one.connect(&url)).await??;
        execute(&pool, "CREATE TABLE jobs (id BIGINT PRIMARY KEY, state TEXT NOT NULL)").await?;
        execute(&pool, "INSERT INTO jobs VALUES (1, 'new'), (2, 'new')").await?;

        let marked = Rc::new(Event::new());
        let (theirs, says) = (pool.clone(), marked.clone());
        let long = Duration::from_secs(1000);
        let thinker = spawn(async move { finish(&theirs, &says, long).await });
        marked.wait().await?;
        let wait = cancellable_after(Duration::from_millis(200), pool.acquire()).await;
        println!("the only connection is in use: {}", wait.is_err());
        thinker.cancel().await?;
        println!("cancelled: {} jobs are done", count(&pool, "done").await?);

        finish(&pool, &marked, Duration::ZERO).await?;
        println!("committed: {} jobs are done", count(&pool, "done").await?);
        execute(&pool, "DROP TABLE jobs").await?;
        pool.close().await;
        Ok(())
    })
}
