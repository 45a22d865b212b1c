//! A task that returns no `Result`.
//~ contains: a task returns a `Result`, and this future gives `{integer}`
//~ contains: a task returns a `Result`, and this future gives `()`
//~ contains: end the async block with `Ok::<_, TaskCancelled>(value)`

use curium::prelude::*;

async fn work() {}

async fn parent() -> Result<()> {
    spawn(async { 1 });
    curium::spawn_named("worker", work());
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
