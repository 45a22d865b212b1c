//! A limit on how long something may take. What runs out of time is told so, and may clean up.
//!
//! On a virtual clock, so it takes no time.

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
        // Where running out of time is as good an answer as any: `None`.
        println!("{:?}", ignore_after(secs(1), eternity()).await?);
        println!("took {} s", (now() - started).as_secs_f64());
        Ok(())
    })
}
