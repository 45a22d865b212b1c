//! `?` on a timeout in a function whose error is `TaskCancelled`.
//~ contains: the trait `From<TaskTimeout>` is not implemented for `TaskCancelled`

use curium::prelude::*;

async fn parent() -> Result<()> {
    timeout_after(Duration::ZERO, sleep(Duration::MAX)).await??;
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
