//! A task that never ends, whose output type cannot be inferred.
//~ contains: a task returns a `Result` or `()`, and this future gives `!`
//~ contains: needs its type: `spawn::<_, Result<(), TaskCancelled>>(..)`

use curium::prelude::*;

async fn parent() -> Result<()> {
    spawn(async {
        loop {
            sleep(Duration::from_secs(1)).await?;
        }
    });
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
