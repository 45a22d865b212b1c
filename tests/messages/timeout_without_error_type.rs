//! A body of a timeout whose error type cannot be inferred.
//~ contains: cannot infer type of the type parameter `E` declared on the enum `Result`
//~ contains: Ok::<i32, E>(1)

use curium::prelude::*;

async fn parent() -> Result<()> {
    let late = timeout_after(Duration::ZERO, async {
        sleep(Duration::ZERO).await?;
        Ok(1)
    });
    drop(late.await);
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
