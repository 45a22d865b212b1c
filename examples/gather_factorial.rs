//! Three computations at once. Their results come in the order in which the tasks were spawned.
//!
//! The clock is virtual, so the program takes no time.

use std::time::Duration;

use curium::kernel::{Kernel, Result, TaskGroup, now, sleep};

async fn factorial(name: &'static str, number: u64) -> Result<u64> {
    let mut product = 1;
    for i in 2..=number {
        println!("Task {name}: Compute factorial({number}), currently i={i}...");
        sleep(Duration::from_secs(1)).await?;
        product *= i;
    }
    println!("Task {name}: factorial({number}) = {product}");
    Ok(product)
}

async fn gather() -> Result<Vec<u64>> {
    TaskGroup::scope(async |g| {
        let tasks = [("A", 2), ("B", 3), ("C", 4)].map(|(name, n)| g.spawn(factorial(name, n)));
        let mut products = Vec::new();
        for task in tasks {
            products.push(task.await?);
        }
        Ok(products)
    })
    .await
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let started = now();
        println!("{:?}", gather().await?);
        println!("took {} s", (now() - started).as_secs_f64());
        Ok(())
    })
}
