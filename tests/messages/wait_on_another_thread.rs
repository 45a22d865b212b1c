//! The future of a `join` sent to another thread.
//~ contains: Join<(), TaskCancelled>`
//~ contains: stays on its thread: send `kernel::handle()` and the task's `id()`

use curium::prelude::*;

async fn parent() -> Result<()> {
    let join = spawn(sleep(Duration::MAX)).join();
    std::thread::spawn(move || drop(join));
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
