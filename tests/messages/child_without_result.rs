//! A child of a scope that returns neither a `Result` nor `()`.
//~ contains: a child of a `Scope<_>` returns
//~ contains: `Result<_, _>` or `()`, not `{integer}`
//~ contains: end the async block with `Ok(value)`

use curium::prelude::*;
use curium::scope;

async fn parent() -> Result<()> {
    scope(async |s| {
        s.spawn(async { 1 });
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    run(parent)
}
