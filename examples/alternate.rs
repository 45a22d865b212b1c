//! In which order do two tasks run? Only an await that parks or yields lets another task run.
//!
//! gevent's workers take turns with `sleep(0)`; here that is `yield_now`. gevent's `put` lets a
//! getter that waits run at once. Here a `put` never switches: it gives the item to the getter,
//! which runs when the putter parks or yields.

use std::rc::Rc;

use curium::prelude::*;
use curium::sync::channel;

async fn worker(name: &str) -> Result<()> {
    for turn in 1..=3 {
        println!("{name}: turn {turn}");
        yield_now().await?; // gevent.sleep(0)
    }
    Ok(())
}

/// A getter that waits, and a putter that yields after each put, or does not.
async fn with_a_queue(yields: bool) -> Result<()> {
    let queue = Rc::new(Queue::unbounded());
    let getter = spawn({
        let queue = queue.clone();
        async move {
            for _ in 1..=3 {
                println!("  got {}", queue.get().await?);
            }
            Ok::<_, TaskCancelled>(())
        }
    });
    yield_now().await?; // the getter runs, and waits
    for item in 1..=3 {
        println!("put {item}");
        queue.put(item).await?;
        if yields {
            yield_now().await?;
        }
    }
    getter.await
}

/// Without places, a put that finds no getter waiting parks, and that lets the getter run. The next
/// put finds it waiting again, and does not park.
async fn with_a_channel() -> Result<()> {
    let (sender, receiver) = channel(0);
    let getter = spawn(async move {
        while let Some(item) = receiver.recv().await? {
            println!("  got {item}");
        }
        Ok::<_, TaskCancelled>(())
    });
    for item in 1..=3 {
        println!("put {item}");
        sender.put(item).await?.expect("the getter is there");
    }
    drop(sender);
    getter.await
}

fn main() -> Result<()> {
    run(async || {
        println!("two workers that yield");
        let workers = ["ping", "pong"].map(|name| spawn(worker(name)));
        for worker in workers {
            worker.await?;
        }
        println!("a put does not switch, so the putter is done before the getter runs");
        with_a_queue(false).await?;
        println!("a putter that yields lets the getter run");
        with_a_queue(true).await?;
        println!("a put without places waits for the getter");
        with_a_channel().await
    })
}
