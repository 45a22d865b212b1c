//! The whole tutorial: events, groups, timeouts, and a cancellation that cleans up after itself.
//!
//! A second of the tutorial takes 100 ms; with `--real` it takes a second.

use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{self, Result, TaskGroup, TaskTimeout, sleep, spawn, timeout_after};
use curium::sync::Event;

fn secs(n: u64) -> Duration {
    let real = std::env::args().any(|arg| arg == "--real");
    Duration::from_millis(n * if real { 1000 } else { 100 })
}

async fn friend(name: &'static str) -> Result<()> {
    println!("Hi, my name is {name}");
    println!("Playing Minecraft");
    if let Err(cancelled) = sleep(secs(1000)).await {
        println!("{name} going home");
        return Err(cancelled);
    }
    Ok(())
}

async fn kid(start: Rc<Event>) -> Result<()> {
    loop {
        println!("Can I play?");
        match timeout_after(secs(1), start.wait()).await {
            Ok(waited) => break waited?,
            Err(TaskTimeout { .. }) => println!("Wha!?!"),
        }
    }
    println!("Building the Millenium Falcon in Minecraft");
    TaskGroup::scope(async |friends| {
        friends.spawn(friend("Max"));
        friends.spawn(friend("Lillian"));
        friends.spawn(friend("Thomas"));
        if let Err(cancelled) = sleep(secs(1000)).await {
            println!("Fine. Saving my work.");
            // Cleanup may await, because the cancellation is delivered only once.
            sleep(secs(1)).await?;
            println!("Saved.");
            return Err(cancelled);
        }
        Ok(())
    })
    .await
}

async fn countdown(from: u32) -> Result<()> {
    for n in (1..=from).rev() {
        println!("T-minus {n}");
        sleep(secs(1)).await?;
    }
    Ok(())
}

async fn parent() -> Result<()> {
    let start = Rc::new(Event::new());
    let kid = spawn(kid(start.clone()));
    sleep(secs(5)).await?;
    println!("Yes, go play");
    start.set();
    sleep(secs(5)).await?;
    println!("Let's go");
    countdown(10).await?;
    println!("We're leaving!");
    match timeout_after(secs(10), &kid).await {
        // The `?` passes on an error of the kid, or a cancellation of the parent.
        Ok(ended) => ended?,
        Err(TaskTimeout { .. }) => {
            println!("I warned you!");
            // Returns only when the kid has saved its work and all friends have ended.
            kid.cancel().await?;
        }
    }
    println!("Leaving!");
    Ok(())
}

fn main() -> Result<()> {
    kernel::run(parent)
}
