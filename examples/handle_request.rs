//! A request that needs two queries at once, and what happens when one of them fails.
//!
//! No member outlives its group: the first failure cancels the others, all members are awaited, and
//! the group returns the failure. The clock is virtual, so the program takes no time.

use std::fmt;
use std::time::Duration;

use curium::kernel::{Kernel, TaskCancelled, TaskGroup, sleep, unless_cancelled};

/// With the crate thiserror, one attribute each replaces the `Display` and `From` below.
#[derive(Debug)]
enum RequestError {
    NoSuchOrder(u32),
    Cancelled(TaskCancelled),
}

impl From<TaskCancelled> for RequestError {
    fn from(cancelled: TaskCancelled) -> Self {
        RequestError::Cancelled(cancelled)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::NoSuchOrder(id) => write!(f, "order {id} was never placed"),
            RequestError::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

type Result<T> = std::result::Result<T, RequestError>;

async fn query(what: &str, millis: u64) -> Result<()> {
    let done = sleep(Duration::from_millis(millis)).await;
    match &done {
        Ok(()) => println!("  {what}: found"),
        Err(cancelled) => println!("  {what}: given up, {}", cancelled.reason()),
    }
    Ok(done?)
}

async fn find_user(id: u32) -> Result<String> {
    query("user", 300).await?;
    Ok(format!("user {id}"))
}

async fn fetch_order(id: u32) -> Result<u32> {
    if id == 404 {
        sleep(Duration::from_millis(100)).await?;
        return Err(RequestError::NoSuchOrder(id));
    }
    query("order", 200).await?;
    Ok(id * 10)
}

async fn write_log() -> Result<()> {
    query("log", 400).await
}

async fn handle(user: u32, order: u32) -> Result<String> {
    TaskGroup::scope(async |g| {
        let user = g.spawn(find_user(user));
        let order = g.spawn(fetch_order(order));
        g.spawn(write_log());
        // Both run at once; the next step needs both.
        let (user, price) = (user.await?, order.await?);
        let tax = price / 5;
        Ok(format!("{user} pays {}", price + tax))
    })
    .await
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        for order in [7, 404] {
            println!("request for order {order}");
            // A failed request does not end this loop. A cancellation does, through the `?`.
            match unless_cancelled(handle(1, order).await)? {
                Ok(answer) => println!("answer: {answer}"),
                Err(error) => println!("error: {error}"),
            }
        }
        Ok(())
    })
}
