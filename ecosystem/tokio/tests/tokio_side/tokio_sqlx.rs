//! sqlx inside tasks of Curium, with SQLite in memory.

use curium::kernel::cancellable;
use curium::prelude::*;
use curium_tokio::run;
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;

/// A pool of one connection, with an empty table.
async fn pool() -> SqlitePool {
    let one = SqlitePoolOptions::new().max_connections(1);
    let pool = one.connect("sqlite::memory:").await.unwrap();
    sqlx::query("CREATE TABLE rows (id INTEGER)").execute(&pool).await.unwrap();
    pool
}

async fn count(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM rows").fetch_one(pool).await.unwrap()
}

/// E2: a cancel in a wait for a connection leaves the pool as it was.
#[test]
fn a_cancelled_wait_for_a_connection_loses_none() {
    run(async || {
        let pool = pool().await;
        let held = pool.acquire().await.unwrap();
        let theirs = pool.clone();
        let waiter = spawn(async move { cancellable(theirs.acquire()).await.map(drop) });
        yield_now().await?;
        waiter.cancel().await?;
        assert!(matches!(waiter.join().await?, Err(TaskError::Cancelled(_))));
        drop(held);
        assert_eq!(count(&pool).await, 0);
        assert_eq!(pool.size(), 1);
        pool.close().await;
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// E2, E3: a task that is cancelled inside a transaction has changed nothing, and its connection
/// goes back to the pool.
#[test]
fn a_transaction_that_is_cancelled_is_rolled_back() {
    run(async || {
        let pool = pool().await;
        let theirs = pool.clone();
        let (inserted, in_transaction) = tokio::sync::oneshot::channel();
        let task = spawn(async move {
            let mut transaction = theirs.begin().await.unwrap();
            let insert = sqlx::query("INSERT INTO rows VALUES (1)");
            insert.execute(&mut *transaction).await.unwrap();
            inserted.send(()).unwrap();
            sleep(Duration::from_secs(1000)).await?;
            transaction.commit().await.unwrap();
            Ok::<_, TaskCancelled>(())
        });
        in_transaction.await.unwrap();
        task.cancel().await?;
        assert_eq!(count(&pool).await, 0);
        assert_eq!(pool.size(), 1);
        pool.close().await;
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}
