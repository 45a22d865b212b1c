//! `SELECT 1`, prepared, by tokio-postgres.

use std::rc::Rc;

use curium::kernel::{TaskGroup, cancellable};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::{Anything, TASKS};

fn config() -> Config {
    let mut config = Config::new();
    config.user("curium").dbname("postgres");
    config
}

pub(crate) fn on_curium(address: &str, queries: usize) -> Result<(), Anything> {
    curium::run(async || {
        TaskGroup::scope(async |group| {
            let stream = curium::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (client, driver) = cancellable(config().connect_raw(stream, NoTls)).await??;
            group.spawn_daemon(async move { Ok(cancellable(driver).await??) });
            let statement = cancellable(client.prepare("SELECT 1")).await??;
            let shared = Rc::new((client, statement));
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let shared = shared.clone();
                    group.spawn(async move {
                        let (client, statement) = &*shared;
                        for _ in 0..queries / TASKS {
                            cancellable(client.query_one(statement, &[])).await??;
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

async fn ask(shared: Rc<(Client, Statement)>, queries: usize) -> Result<(), Anything> {
    let (client, statement) = &*shared;
    for _ in 0..queries {
        client.query_one(statement, &[]).await?;
    }
    Ok(())
}

pub(crate) async fn on_tokio(address: &str, queries: usize) -> Result<(), Anything> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (client, driver) = config().connect_raw(stream, NoTls).await?;
    tokio::task::spawn_local(driver);
    let statement = client.prepare("SELECT 1").await?;
    let shared = Rc::new((client, statement));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| tokio::task::spawn_local(ask(shared.clone(), queries / TASKS)))
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
