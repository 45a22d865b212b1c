//! The results in Redis. It is a cache: without an answer the database is asked.

use std::time::Duration;

use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};

const KEPT: Duration = Duration::from_secs(600);

/// A connection, which many requests share.
#[derive(Clone)]
pub(crate) struct Cache(MultiplexedConnection);

impl Cache {
    /// The connection over a stream, and its driver.
    pub(crate) async fn connect(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Self, BoxFuture<'static, ()>), RedisError> {
        // Each call has a limit of its runtime.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let info = RedisConnectionInfo::default();
        let new = MultiplexedConnection::new_with_config(&info, stream, config);
        let (connection, driver) = new.await?;
        // In a box, because its type is said to borrow `info`.
        Ok((Cache(connection), Box::pin(driver)))
    }

    /// The result of a job, if it is known here.
    pub(crate) fn get(&self, key: &str) -> impl Future<Output = Option<i64>> + Send + 'static {
        let (mut connection, key) = (self.0.clone(), format!("job:{key}"));
        async move { connection.get(key).await.unwrap_or(None) }
    }

    /// Keeps a result, which never changes.
    pub(crate) fn set(&self, key: &str, sum: i64) -> impl Future<Output = ()> + Send + 'static {
        let (mut connection, key) = (self.0.clone(), format!("job:{key}"));
        async move {
            let _may_fail: Result<(), _> = connection.set_ex(key, sum, KEPT.as_secs()).await;
        }
    }
}
