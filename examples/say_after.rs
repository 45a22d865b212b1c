//! Two waits, one after another and at once.
//!
//! The clock is virtual, so the printed seconds are exact and take no time.

use std::time::Duration;

use curium::kernel::{Kernel, Result, now, sleep, spawn};

async fn say_after(delay_secs: u64, what: &'static str) -> Result<()> {
    sleep(Duration::from_secs(delay_secs)).await?;
    println!("{what}");
    Ok(())
}

async fn one_after_another() -> Result<()> {
    say_after(1, "hello").await?;
    say_after(2, "world").await
}

async fn together() -> Result<()> {
    let hello = spawn(say_after(1, "hello"));
    let world = spawn(say_after(2, "world"));
    hello.await?;
    world.await
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let started = now();
        one_after_another().await?;
        println!("one after another: {} s", (now() - started).as_secs_f64());

        let started = now();
        together().await?;
        println!("together: {} s", (now() - started).as_secs_f64());
        Ok(())
    })
}
