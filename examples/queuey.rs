//! One queue for two worlds: a synchronous producer in a thread and an asynchronous consumer in a
//! task, and the other three pairings.
//!
//! The name is that of a talk by the author of curio about such a queue.

use std::thread;
use std::time::Duration;

use curium::kernel::{self, Result};
use curium::sync::UniversalQueue;

type Numbers = UniversalQueue<u32>;

/// No time limit.
const MAX: Duration = Duration::MAX;

fn produce(queue: &Numbers) {
    for n in 0..3 {
        queue.put_blocking(n, MAX).expect("the queue is open");
    }
    queue.close();
}

async fn produce_async(queue: &Numbers) -> Result<()> {
    for n in 0..3 {
        queue.put(n).await?;
    }
    queue.close();
    Ok(())
}

fn consume(queue: &Numbers) {
    while let Ok(Some(n)) = queue.next_blocking(MAX) {
        println!("  got {n}");
    }
}

async fn consume_async(queue: &Numbers) -> Result<()> {
    while let Some(n) = queue.next().await? {
        println!("  got {n}");
    }
    Ok(())
}

/// Runs the producer on a thread of its own, and the consumer here.
fn pair(ends: &str, producer: fn(&Numbers), consumer: fn(&Numbers)) {
    println!("{ends}");
    let queue = Numbers::bounded(1);
    thread::scope(|scope| {
        scope.spawn(|| producer(&queue));
        consumer(&queue);
    });
}

fn main() {
    let producing_task =
        |queue: &Numbers| kernel::run(async || produce_async(queue).await).expect("not cancelled");
    let consuming_task =
        |queue: &Numbers| kernel::run(async || consume_async(queue).await).expect("not cancelled");
    pair("from a thread to a task", produce, consuming_task);
    pair("from a task to a thread", producing_task, consume);
    pair("from a task to a task of another kernel", producing_task, consuming_task);
    pair("from a thread to a thread", produce, consume);
}
