//! The way of a thread into its kernel, sent to another thread.
//~ contains: stays on its thread: send `kernel::handle()` and use `Handle::call`

use curium::prelude::*;
use curium::spawn_thread;

async fn parent() -> Result<()> {
    spawn_thread(|here| std::thread::scope(|s| s.spawn(|| here.check()).join().unwrap())).await
}

fn main() -> Result<()> {
    run(parent)
}
