//! A group sent to another thread.
//~ contains: TaskGroup<curium::TaskCancelled>`
//~ contains: stays on its thread: send `kernel::handle()` instead

use curium::prelude::*;

async fn parent() -> Result<()> {
    let group = TaskGroup::<TaskCancelled>::new();
    std::thread::spawn(move || drop(group));
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
