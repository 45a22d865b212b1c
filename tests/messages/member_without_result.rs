//! A member of a group that returns neither a `Result` nor `()`.
//~ contains: a member of a `TaskGroup<curium::TaskCancelled>` returns
//~ contains: `Result<_, curium::TaskCancelled>` or `()`, not `{integer}`
//~ contains: end the async block with `Ok(value)`

use curium::prelude::*;

async fn parent() -> Result<()> {
    TaskGroup::<TaskCancelled>::scope(async |g| {
        g.spawn(async { 1 });
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    run(parent)
}
