//! Several jobs at once, with one time limit for all: the results that came in time, and nothing of
//! the others. In gevent this is `joinall(jobs, timeout=2)` and then `job.value`.
//!
//! The clock is virtual, so the program takes no time.

use std::time::Duration;

use curium::kernel::{
    Kernel, Result, Task, TaskCancelled, TaskGroup, finally, ignore_after, now, sleep,
};

/// A look-up that takes some time.
async fn look_up(name: &'static str, seconds: u64) -> Result<String> {
    let answer = async {
        sleep(Duration::from_secs(seconds)).await?;
        Ok(format!("the address of {name}"))
    };
    finally(answer, async |end| {
        println!("{name}: {end:?}");
        Ok(())
    })
    .await
}

/// Waits until all jobs have ended, at most for the time limit.
async fn join_all<T: 'static>(jobs: &[Task<T, TaskCancelled>], limit: Duration) -> Result<()> {
    let all = async {
        for job in jobs {
            job.wait().await?;
        }
        Ok(())
    };
    ignore_after(limit, all).await.map(drop)
}

async fn program() -> Result<()> {
    let names = [("one.example", 1), ("three.example", 3), ("two.example", 2), ("now.example", 0)];
    TaskGroup::scope(async |g| {
        let jobs = names.map(|(name, seconds)| g.spawn(look_up(name, seconds)));
        join_all(&jobs, Duration::from_millis(2500)).await?;
        for job in jobs {
            if job.is_done() {
                println!("value: {}", job.await?);
            } else {
                // Left running in gevent. Here the group would wait for it.
                job.cancel().await?;
                println!("no value");
            }
        }
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let started = now();
        program().await?;
        println!("took {} s", (now() - started).as_secs_f64());
        Ok(())
    })
}
