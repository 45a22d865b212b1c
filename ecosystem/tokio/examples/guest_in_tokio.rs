//! A kernel inside a program of tokio, on the same thread: `guest_in_tokio`. Three downloads, which
//! tokio's task orders, run as tasks of a group; one is too slow, and cleans up.

use curium::kernel::cancellable;
use curium::prelude::*;
use tokio::sync::{mpsc, oneshot};

/// A job for the kernel, and the way back. `None`: it took too long.
type Order = (u64, oneshot::Sender<Option<u64>>);

/// A download that takes so many milliseconds.
async fn download(millis: u64) -> Result<u64> {
    let slept = sleep(Duration::from_millis(millis)).await;
    if slept.is_err() {
        println!("the download of {millis} ms removes its file");
    }
    slept.map(|()| millis)
}

async fn serve(mut orders: mpsc::Receiver<Order>) -> Result<()> {
    TaskGroup::scope(async |group| {
        // A future of tokio, which a cancellation reaches too.
        while let Some((millis, answer)) = cancellable(orders.recv()).await? {
            group.spawn(async move {
                let limit = Duration::from_millis(1000);
                let bytes = match timeout_after(limit, download(millis)).await {
                    Ok(ended) => Some(ended?),
                    Err(TaskTimeout { .. }) => None,
                };
                let _ = answer.send(bytes);
                Ok::<_, TaskCancelled>(())
            });
        }
        Ok(())
    })
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (order, orders) = mpsc::channel(8);
    let asks = async {
        for millis in [5, 100_000, 10] {
            let (answer, answered) = oneshot::channel();
            order.send((millis, answer)).await.expect("the kernel runs");
            println!("{millis} ms: {:?}", answered.await.expect("an answer"));
        }
        drop(order); // so the kernel ends
    };
    let (served, ()) = tokio::join!(curium_tokio::guest(|| serve(orders)), asks);
    println!("the kernel has ended with {:?}", served?);
    Ok(())
}
