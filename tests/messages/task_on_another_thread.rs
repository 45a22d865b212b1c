//! A task sent to another thread.
//~ contains: Task<(), TaskCancelled>`
//~ contains: stays on its thread: send `kernel::handle()` and its `id()` instead

use curium::prelude::*;

async fn parent() -> Result<()> {
    let task = spawn(sleep(Duration::MAX));
    std::thread::spawn(move || task.request_cancel());
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
