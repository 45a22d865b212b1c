//! `GET` by redis, over its multiplexed connection.

use curium::kernel::{TaskGroup, cancellable};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo};

use crate::{Anything, TASKS};

/// Without the limits, whose timers need a runtime of tokio.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

pub(crate) fn on_curium(address: &str, queries: usize) -> Result<(), Anything> {
    curium::run(async || {
        TaskGroup::scope(async |group| {
            let stream = curium::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let info = RedisConnectionInfo::default();
            let new = MultiplexedConnection::new_with_config(&info, stream, config());
            let (connection, driver) = cancellable(new).await??;
            group.spawn_daemon(async move { Ok(cancellable(driver).await?) });
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let mut connection = connection.clone();
                    group.spawn(async move {
                        for _ in 0..queries / TASKS {
                            cancellable(connection.get::<_, Option<i64>>("count")).await??;
                        }
                        Ok::<_, Anything>(())
                    })
                })
                .collect();
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
        .await
    })
}

async fn ask(mut connection: MultiplexedConnection, queries: usize) -> Result<(), Anything> {
    for _ in 0..queries {
        connection.get::<_, Option<i64>>("count").await?;
    }
    Ok(())
}

pub(crate) async fn on_tokio(address: &str, queries: usize) -> Result<(), Anything> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let info = RedisConnectionInfo::default();
    let new = MultiplexedConnection::new_with_config(&info, stream, config());
    let (connection, driver) = new.await?;
    tokio::task::spawn_local(driver);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| tokio::task::spawn_local(ask(connection.clone(), queries / TASKS)))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
