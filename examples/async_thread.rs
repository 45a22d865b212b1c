//! Synchronous code waits for a queue of the kernel, as with curio's `AWAIT`. It runs in a thread
//! that is a task, so it is cancelled where it waits, cleans up, and ends.

use std::rc::Rc;

use curium::prelude::*;
use curium::{Here, spawn_thread, task_local};

task_local! {
    /// A queue belongs to its kernel and cannot be sent to a thread. But what the kernel runs for
    /// the thread sees the values of the task that has started it.
    static ORDERS: Rc<Queue<u32>>;
}

/// Code that blocks. It needs no `async`, only `here`, its way into the kernel.
fn clerk(here: &Here) -> Result<()> {
    let mut filled = 0;
    loop {
        match here.wait(|| async { ORDERS.get().get().await })? {
            Ok(order) => {
                println!("clerk: fills order {order}");
                filled += 1;
                here.wait(|| async { ORDERS.get().task_done() })?.expect("it was taken");
            }
            Err(cancelled) => {
                println!("clerk: cancelled, {}", cancelled.reason());
                here.wait(|| sleep(Duration::from_millis(20)))??; // a cleanup may wait, too
                println!("clerk: has swept the floor, and has filled {filled} orders");
                return Err(cancelled);
            }
        }
    }
}

async fn shop(orders: Rc<Queue<u32>>) -> Result<()> {
    let clerk = spawn_thread(clerk);
    for order in 1..=3 {
        println!("shop: order {order} comes in");
        orders.put(order).await?;
        orders.join().await?;
    }
    println!("shop: closes");
    clerk.cancel().await?; // returns when the thread has ended
    println!("shop: the clerk is {:?}", clerk.end());
    Ok(())
}

fn main() -> Result<()> {
    run(async || {
        let orders = Rc::new(Queue::unbounded());
        ORDERS.scope(orders.clone(), shop(orders)).await
    })
}
