//! A body of a timeout that returns no `Result`.
//~ contains: the body of a timeout returns a `Result`, and this one gives `{integer}`
//~ contains: end the async block with `Ok::<_, TaskCancelled>(value)`

use curium::prelude::*;

async fn parent() -> Result<()> {
    drop(timeout_after(Duration::ZERO, async { 1 }).await);
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
