//! Two pieces of code that switch to each other by hand, as greenlets do: values to and fro, an
//! error that is thrown in, and the return to the parent.
//!
//! A switch is a hand-over and a wait: exactly one side runs. The child borrows the link.

use curium::prelude::*;

/// Thrown into the child instead of a value.
#[derive(Debug)]
struct Thrown(&'static str);

/// What the two sides hand over to each other.
struct Link {
    to_child: Queue<std::result::Result<u32, Thrown>>,
    to_parent: Queue<String>,
}

impl Link {
    fn new() -> Self {
        Link { to_child: Queue::bounded(1), to_parent: Queue::bounded(1) }
    }

    /// Called in the parent: runs the child until it switches back.
    async fn switch(&self, value: u32) -> Result<String> {
        self.to_child.put(Ok(value)).await?;
        self.to_parent.get().await
    }

    /// Called in the parent: the switch in which the child waits gives this error.
    async fn throw(&self, error: Thrown) -> Result<String> {
        self.to_child.put(Err(error)).await?;
        self.to_parent.get().await
    }

    /// Called in the child: runs the parent until it switches here again.
    async fn switch_back(&self, value: String) -> Result<std::result::Result<u32, Thrown>> {
        self.to_parent.put(value).await?;
        self.to_child.get().await
    }
}

/// Adds what it is given. It survives one error, and ends with the second.
async fn adder(link: &Link) -> Result<u32> {
    let mut received = link.to_child.get().await?;
    let (mut sum, mut errors) = (0, 0);
    loop {
        match received {
            Ok(value) => {
                println!("  child: {value} came in");
                sum += value;
                received = link.switch_back(format!("sum {sum}")).await?;
            }
            Err(Thrown(why)) => {
                println!("  child: {why} was thrown in");
                errors += 1;
                if errors == 2 {
                    return Ok(sum); // the return to the parent
                }
                received = link.switch_back("still here".to_owned()).await?;
            }
        }
    }
}

fn main() -> Result<()> {
    run(async || {
        let link = Link::new();
        scope(async |s| {
            let child = s.spawn(adder(&link));
            println!("parent: {}", link.switch(20).await?);
            println!("parent: {}", link.switch(22).await?);
            println!("parent: {}", link.throw(Thrown("a complaint")).await?);
            println!("parent: {}", link.switch(58).await?);
            link.to_child.put(Err(Thrown("the end"))).await?;
            println!("parent: the child has returned {}", child.await?);
            Ok(())
        })
        .await
    })
}
