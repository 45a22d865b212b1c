//! A producer and two consumers with a queue, as in curio: the producer waits until every item is
//! *done*, not only taken, and then cancels the consumers.

use std::rc::Rc;

use curium::prelude::*;

async fn producer(queue: Rc<Queue<u32>>) -> Result<()> {
    for item in 1..=6 {
        queue.put(item).await?; // waits while the queue is full
        println!("put {item}");
    }
    queue.join().await?;
    println!("every item is done");
    Ok(())
}

async fn consumer(name: &str, queue: Rc<Queue<u32>>) -> Result<()> {
    loop {
        let item = match queue.get().await {
            Ok(item) => item,
            Err(cancelled) => {
                println!("{name} goes home");
                return Err(cancelled);
            }
        };
        println!("{name} works on {item}");
        sleep(Duration::from_millis(10)).await?;
        queue.task_done().expect("an item was got");
    }
}

fn main() -> Result<()> {
    run(async || {
        let queue = Rc::new(Queue::bounded(2));
        let consumers = ["Ada", "Bob"].map(|name| spawn(consumer(name, queue.clone())));
        spawn(producer(queue)).await?;
        for consumer in consumers {
            consumer.cancel().await?;
        }
        Ok(())
    })
}
