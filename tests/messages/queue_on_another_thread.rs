//! A queue and the ends of a channel that are sent to another thread.
//~ contains: stays on its thread: use `UniversalQueue` between threads
//~ contains: pub struct Queue<
//~ contains: pub struct Sender<
//~ contains: pub struct Receiver<

use std::thread;

use curium::prelude::*;
use curium::sync::channel;

async fn parent() -> Result<()> {
    let queue = Queue::<u32>::unbounded();
    let (sender, receiver) = channel::<u32>(1);
    thread::spawn(move || queue.try_put(1).is_ok());
    thread::spawn(move || sender.try_put(1).is_ok());
    thread::spawn(move || receiver.try_recv().is_ok());
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
