//! A main function that is not async.
//~ contains: `run` takes an async function or closure, which it calls itself, not `fn() ->
//~ contains: not an async function without parameters

use curium::prelude::*;

fn parent() -> Result<()> {
    Ok(())
}

fn main() -> Result<()> {
    run(parent)
}
