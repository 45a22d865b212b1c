//! A supervisor: members that fail are started again, after a growing delay, and not for ever. A
//! cache must be ready before the workers begin, and at most two jobs run at once. When a worker
//! has failed too often, its group fails, and every other member is cancelled and cleans up.

use std::io;
use std::time::Duration;

use curium::prelude::*;
use curium::{Kernel, Report, RestartPolicy, kernel, task_local};

task_local!(static WORKER: &'static str);

const MS: Duration = Duration::from_millis(1);

/// Prints the worker that this code works for. Its jobs inherit the name.
fn say(text: &str) {
    let worker = WORKER.try_with(|name| format!("{name}: ")).unwrap_or_default();
    println!("{worker}{text}");
}

/// Is ready once it is filled. Then it serves until it is cancelled, and saves what it has.
async fn cache(ready: kernel::Ready<u32>) -> io::Result<()> {
    sleep(10 * MS).await?;
    ready.set(42);
    finally(async { Ok(sleep(Duration::MAX).await?) }, async |_| {
        sleep(5 * MS).await?;
        say("the cache is saved");
        Ok::<_, io::Error>(())
    })
    .await
}

/// Fails in its first attempts; a panic is a failure as well.
async fn flaky(attempt: u32) -> io::Result<()> {
    sleep(20 * MS).await?;
    match attempt {
        0 => Err(io::Error::other("no peer was found")),
        1 => panic!("the second attempt has a bug"),
        _ => Ok(()),
    }
}

async fn job(number: u32) -> io::Result<()> {
    say(&format!("job {number} begins"));
    Ok(sleep(30 * MS).await?)
}

async fn workers() -> io::Result<()> {
    TaskGroup::scope(async |g| {
        let entries = g.start(cache).await?;
        say(&format!("the cache is ready, with {entries} entries"));

        let policy = RestartPolicy::new(3, Duration::from_secs(10)).delays(100 * MS, 1000 * MS);
        let mut attempts = 0..;
        g.supervise(policy, async move || flaky(attempts.next().unwrap_or(0)).await).await?;
        say("the first worker has succeeded");

        let jobs = TaskGroup::scope(async |jobs| {
            jobs.limit(2);
            for number in 1..=3 {
                jobs.spawn_when_free(job(number)).await?;
            }
            Ok::<_, io::Error>(())
        });
        WORKER.scope("second", jobs).await?;

        g.supervise(policy, async || Err::<(), _>(io::Error::other("its disk is full")));
        Ok(sleep(Duration::MAX).await?)
    })
    .await
}

fn main() {
    let builder = Kernel::builder().on_report(|report| match report {
        Report::Restarted { failure, delay } => println!("again in {delay:?}: {}", failure.error),
        other => println!("{other}"),
    });
    let ended = builder.build().and_then(|kernel| kernel.run(workers));
    println!("the group has ended: {}", ended.expect_err("the last worker fails for good"));
}
