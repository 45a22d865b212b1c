//! Go's channels: without a buffer and with one, closed, ranged over, and in a `select`.

use curium::prelude::*;
use curium::sync::{Closed, channel};
use futures::{FutureExt, select};

/// `make(chan int)`: a send waits for a receive.
async fn unbuffered() -> Result<()> {
    let (sender, receiver) = channel(0);
    let producer = spawn(async move {
        for n in 1..=3 {
            sender.put(n).await?.expect("the receiver is there");
            println!("sent {n}");
        }
        Ok(()) // `close(ch)`: the last sender is dropped
    });
    // `for n := range ch`
    while let Some(n) = receiver.recv().await? {
        println!("received {n}");
    }
    producer.await
}

/// `make(chan int, 2)`: two sends do not wait, and the items outlive the close.
async fn buffered() -> Result<()> {
    let (sender, receiver) = channel(2);
    sender.put(1).await?.expect("the receiver is there");
    sender.put(2).await?.expect("the receiver is there");
    println!("sent two, received none");
    sender.close();
    assert_eq!(sender.put(3).await?, Err(Closed(3))); // in Go a panic
    while let Some(n) = receiver.recv().await? {
        println!("received {n}");
    }
    println!("after the end: {:?}", receiver.recv().await?); // in Go: 0, false
    Ok(())
}

/// `select` with a default: no case is ready, so it does not wait. `try_recv` does the same.
async fn select_with_default() -> Result<()> {
    let (sender, receiver) = channel(1);
    for _ in 0..2 {
        select! {
            item = receiver.recv().fuse() => println!("received {}", item?.expect("it is open")),
            default => println!("nothing to receive"),
        }
        sender.try_put("an item").expect("there is room");
    }
    Ok(())
}

/// `select` with `time.After`. The case that loses leaves its item to the next call.
async fn select_with_time_out() -> Result<()> {
    let (sender, receiver) = channel(0);
    let producer = spawn(async move {
        sleep(Duration::from_millis(30)).await?;
        sender.put("a late item").await.map(drop)
    });
    loop {
        select! {
            item = receiver.recv().fuse() => {
                println!("received {}", item?.expect("it is open"));
                return producer.await;
            }
            woken = sleep(Duration::from_millis(20)).fuse() => {
                woken?; // an error if this task is cancelled
                println!("timed out");
            }
        }
    }
}

fn main() -> Result<()> {
    run(async || {
        unbuffered().await?;
        buffered().await?;
        select_with_default().await?;
        select_with_time_out().await
    })
}
