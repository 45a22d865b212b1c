//! The results in Redis. It is a cache: without an answer, or without Redis, the database is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};

const KEPT: Duration = Duration::from_secs(600);

/// A connection, which many requests share, while there is one.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Mutex<Option<MultiplexedConnection>>>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects over a stream. The driver that it returns ends when the connection is lost.
    pub(crate) async fn connect(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<BoxFuture<'static, ()>, RedisError> {
        // Each call has a limit of its runtime.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let info = RedisConnectionInfo::default();
        let new = MultiplexedConnection::new_with_config(&info, stream, config);
        let (connection, driver) = new.await?;
        *self.lock() = Some(connection);
        let cache = self.clone();
        // In a box, because its type is said to borrow `info`.
        let driver: BoxFuture<'static, ()> = Box::pin(driver);
        Ok(Box::pin(async move {
            driver.await;
            *cache.lock() = None;
        }))
    }

    /// The result of a job, if it is known here.
    pub(crate) fn get(&self, key: &str) -> impl Future<Output = Option<i64>> + Send + 'static {
        let (connection, key) = (self.lock().clone(), format!("job:{key}"));
        async move { connection?.get(key).await.unwrap_or(None) }
    }

    /// Keeps a result, which never changes.
    pub(crate) fn set(&self, key: &str, sum: i64) -> impl Future<Output = ()> + Send + 'static {
        let (connection, key) = (self.lock().clone(), format!("job:{key}"));
        async move {
            let Some(mut connection) = connection else { return };
            let _may_fail: Result<(), _> = connection.set_ex(key, sum, KEPT.as_secs()).await;
        }
    }
}
