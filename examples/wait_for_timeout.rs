//! A time limit for a call. On expiry the call gets an error where it waits, and may clean up.
//!
//! The clock is virtual, so the program takes no time.

use std::time::Duration;

use curium::kernel::{Kernel, Result, TaskTimeout, ignore_after, now, sleep, timeout_after};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn eternity() -> Result<&'static str> {
    if let Err(cancelled) = sleep(secs(3600)).await {
        println!("  eternity: {cancelled}");
        return Err(cancelled);
    }
    Ok("yay!")
}

async fn moment() -> Result<&'static str> {
    sleep(Duration::from_millis(500)).await?;
    Ok("yay!")
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let started = now();
        match timeout_after(secs(1), eternity()).await {
            Ok(ended) => println!("{}", ended?),
            Err(TaskTimeout { .. }) => println!("timeout!"),
        }
        match timeout_after(secs(1), moment()).await {
            Ok(ended) => println!("{}", ended?),
            Err(TaskTimeout { .. }) => println!("timeout!"),
        }
        // `ignore_after` returns `None` on expiry instead of an error.
        println!("{:?}", ignore_after(secs(1), eternity()).await?);
        println!("took {} s", (now() - started).as_secs_f64());
        Ok(())
    })
}
