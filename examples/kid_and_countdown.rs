//! Two tasks: a kid that plays, and a parent that counts down and then waits for the kid to end.
//!
//! The clock is virtual, so the thousand seconds of play take no time. With `kernel::run(parent)`
//! they would take a thousand seconds.

use std::time::Duration;

use curium::kernel::{Kernel, Result, sleep, spawn};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn countdown(from: u32) -> Result<()> {
    for n in (1..=from).rev() {
        println!("T-minus {n}");
        sleep(secs(1)).await?;
    }
    Ok(())
}

async fn kid() -> Result<&'static str> {
    println!("Building the Millenium Falcon in Minecraft");
    sleep(secs(1000)).await?;
    Ok("It flies!")
}

async fn parent() -> Result<()> {
    // The kid starts when the parent first waits.
    let kid = spawn(kid());
    sleep(secs(5)).await?;

    println!("Let's go");
    countdown(10).await?;

    println!("We're leaving!");
    // Parks until the kid has ended. The `?` passes on an error of the kid, or a cancellation of
    // the parent.
    let answer = kid.await?;
    println!("Kid: {answer}");
    println!("Leaving, at last");
    Ok(())
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(parent)
}
