//! The future of the main function given to `run`, instead of the function.
//~ contains: `run` takes an async function or closure, which it calls itself, not `impl Future
//~ contains: `run(parent)` instead of `run(parent())`

use curium::prelude::*;

async fn parent() -> Result<()> {
    Ok(())
}

fn main() -> Result<()> {
    run(parent())
}
