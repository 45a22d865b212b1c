//! A task whose error type cannot be inferred.
//~ contains: cannot infer type of the type parameter `E` declared on the enum `Result`
//~ contains: Ok::<i32, E>(1)
//~ lacks: Debug

use curium::prelude::*;

async fn parent() -> Result<()> {
    spawn(async {
        sleep(Duration::ZERO).await?;
        Ok(1)
    });
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
