//! A task that returns neither a `Result` nor `()`.
//~ contains: a task returns a `Result` or `()`, and this future gives `{integer}`
//~ contains: a task returns a `Result` or `()`, and this future gives `&'static str`
//~ contains: end the async block with `Ok::<_, TaskCancelled>(value)`

use curium::prelude::*;

async fn work() -> &'static str {
    "done"
}

async fn parent() -> Result<()> {
    spawn(async { 1 });
    curium::spawn_named("worker", work());
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
