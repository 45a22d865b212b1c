//! An arm of a `select!` that is written as in a `match`, a `select!` without an arm, and one with
//! seventeen.
//~ contains: an arm of `select!` is `pattern = future => code`
//~ contains: with a comma after code that is no block
//~ contains: select! {}
//~ contains: a `select!` has up to sixteen arms
//~ lacks: no rules expected

use std::future::ready;

use curium::prelude::*;
use curium::select;

async fn first(queue: &Queue<u32>) -> Result<u32> {
    select! {
        item = queue.get() => item,
        sleep(Duration::from_secs(1)) => Ok(0),
    }
}

async fn second() -> Result<()> {
    select! {}
}

async fn third() {
    select! {
        _ = ready(0) => (),
        _ = ready(1) => (),
        _ = ready(2) => (),
        _ = ready(3) => (),
        _ = ready(4) => (),
        _ = ready(5) => (),
        _ = ready(6) => (),
        _ = ready(7) => (),
        _ = ready(8) => (),
        _ = ready(9) => (),
        _ = ready(10) => (),
        _ = ready(11) => (),
        _ = ready(12) => (),
        _ = ready(13) => (),
        _ = ready(14) => (),
        _ = ready(15) => (),
        _ = ready(16) => (),
    }
}

fn main() -> Result<()> {
    run(async || {
        first(&Queue::unbounded()).await?;
        third().await;
        second().await
    })
}
