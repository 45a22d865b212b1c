//! An async block as the body of a group, and a closure that is not async.
//~ contains: the body of a group is an async closure that takes the group, `async |g| { .. }`
//~ contains: and returns `Result<_, curium::TaskCancelled>`
//~ contains: a closure that returns a future, `|g| async move { .. }`, works too

use curium::prelude::*;

async fn parent() -> Result<()> {
    TaskGroup::<TaskCancelled>::scope(async { Ok(()) }).await?;
    TaskGroup::<TaskCancelled>::scope(|g| {
        g.spawn(sleep(Duration::ZERO));
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    run(parent)
}
