//! A call of an async function. It can be cancelled at every await, and `?` passes that on.

use std::time::Duration;

use curium::kernel::{self, Result, sleep};

async fn countdown(from: u32) -> Result<()> {
    for n in (1..=from).rev() {
        println!("T-minus {n}");
        sleep(Duration::from_millis(100)).await?;
    }
    println!("Lift-off!");
    Ok(())
}

fn main() -> Result<()> {
    kernel::run(async || countdown(5).await)
}
