//! One `?` too few after a timeout, in a function whose error is `io::Error`. The compiler gives
//! the right form.
//~ contains: expected `usize`, found `Result<usize, Error>`
//~ contains: timeout_after(Duration::ZERO, read()).await??

use curium::prelude::*;
use std::io;

async fn read() -> io::Result<usize> {
    Ok(1)
}

async fn parent() -> io::Result<()> {
    let _n: usize = timeout_after(Duration::ZERO, read()).await?;
    Ok(())
}

fn main() -> io::Result<()> {
    run(parent)
}
