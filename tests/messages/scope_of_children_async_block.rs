//! An async block as the body of a scope, instead of an async closure.
//~ contains: the body of a scope is an async closure that takes the scope, `async |s| { .. }`
//~ contains: a closure that returns a future, `|s| async move { .. }`, works too

use curium::prelude::*;
use curium::scope;

async fn parent() -> Result<()> {
    scope(async { Ok(()) }).await
}

fn main() -> Result<()> {
    run(parent)
}
