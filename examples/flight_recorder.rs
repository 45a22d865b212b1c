//! A flight recorder that explains a delay: one task computes for too long in one poll, and the
//! kernel writes down what all tasks have done until then.
//!
//! With a path as its argument, the record stays there; open it in <https://ui.perfetto.dev>.

use std::path::PathBuf;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use curium::kernel::{Kernel, Report, flight_record, metrics, spawn_named};
use curium::prelude::*;
use curium::sync::Queue;

const MS: Duration = Duration::from_millis(1);

async fn parser(requests: Rc<Queue<u32>>) -> Result<u32> {
    let mut parsed = 0;
    while let Some(_request) = requests.next().await? {
        parsed += 1;
    }
    Ok(parsed)
}

/// Resizes images; one of them is large.
async fn resizer() -> Result<()> {
    for size in [1, 1, 100, 1] {
        sleep(2 * MS).await?;
        if size > 1 {
            // A mistake: this belongs into `run_in_thread`.
            thread::sleep(size * MS);
        }
    }
    Ok(())
}

async fn front() -> Result<u32> {
    let requests = Rc::new(Queue::bounded(2));
    let parser = spawn_named("parser", parser(requests.clone()));
    let resizer = spawn_named("resizer", resizer());
    for request in 0..8 {
        requests.put(request).await?;
        sleep(MS).await?;
    }
    requests.close();
    resizer.await?;
    parser.await
}

fn main() -> Result<()> {
    let kept = std::env::args().nth(1).map(PathBuf::from);
    let name = format!("curium-flight-recorder-{}.pftrace", std::process::id());
    let path = kept.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let kernel = Kernel::builder()
        .flight_recorder(1 << 20)
        .flight_record_to(&path)
        .report_long_polls(50 * MS)
        .on_report(|report| match report {
            Report::LongPoll { task, .. } => println!("{} has blocked the kernel", task.name),
            Report::FlightRecord { why, error: None, .. } => println!("recorded: {why}"),
            other => println!("{other}"),
        });
    kernel.run(async || {
        let parsed = spawn_named("front", front()).await?;
        println!("{parsed} requests were parsed");
        let record = flight_record().expect("the kernel has a recorder");
        let busy = metrics().longest_poll.is_some_and(|poll| poll >= 100 * MS);
        println!("events lost: {}, longest poll at least 100 ms: {busy}", record.lost());
        Ok::<_, TaskCancelled>(())
    })?;
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!("the file has more than a kilobyte: {}", size > 1024);
    if kept.is_none() {
        std::fs::remove_file(&path).ok();
    }
    Ok(())
}
