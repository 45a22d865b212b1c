//! Redis: `redis_pubsub ADDRESS`.
//!
//! Many tasks share one connection, whose driver is a daemon of a group. A subscriber has one of
//! its own, and so has a command that blocks, here with a time limit around it.

use std::env;
use std::error::Error;
use std::rc::Rc;

use curium::kernel::{GroupRef, cancellable, cancellable_after};
use curium::prelude::*;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Msg, ProtocolVersion, PushInfo, RedisConnectionInfo,
};

type Anything = Box<dyn Error + Send + Sync>;

/// A connection, and what the server sends on it that is no answer.
async fn connect(
    address: &str,
    group: GroupRef<Anything>,
) -> Result<(MultiplexedConnection, UnboundedReceiver<PushInfo>), Anything> {
    let stream = TcpStream::connect(address).await?;
    let (sender, pushed) = unbounded();
    let config = AsyncConnectionConfig::new()
        .set_push_sender(move |push| sender.unbounded_send(push))
        // Its own limits need tokio's timers. Curium's are around the calls.
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let new = MultiplexedConnection::new_with_config(&info, stream, config);
    let (connection, driver) = cancellable(new).await??;
    group.spawn_daemon(async move { Ok(cancellable(driver).await?) });
    Ok((connection, pushed))
}

/// The messages of a channel, until `count` have arrived.
async fn subscribe(
    (mut connection, mut pushed): (MultiplexedConnection, UnboundedReceiver<PushInfo>),
    subscribed: Rc<Event>,
    count: usize,
) -> Result<Vec<String>, Anything> {
    cancellable(connection.subscribe("news")).await??;
    subscribed.set();
    let mut heard = Vec::new();
    while heard.len() < count {
        let push = cancellable(pushed.next()).await?.ok_or("the server is gone")?;
        if let Some(message) = Msg::from_push_info(push) {
            heard.push(message.get_payload()?);
        }
    }
    Ok(heard)
}

fn main() -> Result<(), Anything> {
    let address = env::args().nth(1).ok_or("no ADDRESS")?;
    run(async || {
        TaskGroup::scope(async |group| {
            let (connection, _) = connect(&address, group).await?;
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let mut connection = connection.clone();
                    group.spawn(async move {
                        cancellable(connection.incr::<_, _, ()>("count", 1)).await??;
                        Ok(())
                    })
                })
                .collect();
            for task in tasks {
                task.await?;
            }
            let mut shared = connection.clone();
            println!("count: {}", cancellable(shared.get::<_, i64>("count")).await??);

            let subscribed = Rc::new(Event::new());
            let to = connect(&address, group).await?;
            let subscriber = group.spawn(subscribe(to, subscribed.clone(), 2));
            subscribed.wait().await?;
            for news in ["one", "two"] {
                cancellable(shared.publish::<_, _, ()>("news", news)).await??;
            }
            println!("heard: {}", subscriber.await?.join(" "));

            let (mut blocked, _) = connect(&address, group).await?;
            let pop = blocked.blpop::<_, Option<(String, String)>>("jobs", 0.0);
            let waited = cancellable_after(Duration::from_millis(200), pop).await;
            println!("nothing to pop: {}", waited.is_err());
            // The connection still waits for an answer, so it is given up. What is pushed now is
            // popped for a client that is gone, unless the server has noticed that.
            drop(blocked);
            println!("count: {}", cancellable(shared.get::<_, i64>("count")).await??);
            Ok(())
        })
        .await
    })
}
