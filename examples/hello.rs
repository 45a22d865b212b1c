//! The smallest program: a main task that waits a little.

use std::time::Duration;

use curium::kernel::{self, Result, sleep};

fn main() -> Result<()> {
    kernel::run(async || {
        println!("Hello,");
        sleep(Duration::from_millis(100)).await?;
        println!("world!");
        Ok(())
    })
}
