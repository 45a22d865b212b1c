//! A client of HTTP that runs on tokio, in tasks of Curium: `reqwest_get URL`.
//!
//! It asks for `URL/`, then for `URL/slow` within a time limit that is too short, and again in a
//! task that is cancelled. In both cases the request is dropped, and reqwest closes its connection.

use std::env;
use std::error::Error;

use curium::kernel::{cancellable, cancellable_after};
use curium::prelude::*;

type Anything = Box<dyn Error + Send + Sync>;

async fn get(client: &reqwest::Client, url: &str) -> reqwest::Result<String> {
    client.get(url).send().await?.error_for_status()?.text().await
}

fn main() -> Result<(), Anything> {
    let url = env::args().nth(1).ok_or("no URL")?;
    curium_tokio::run(async || {
        let client = reqwest::Client::new();
        print!("{}", cancellable(get(&client, &url)).await??);

        let slow = format!("{url}/slow");
        match cancellable_after(Duration::from_millis(200), get(&client, &slow)).await {
            Ok(ended) => print!("{}", ended??),
            Err(TaskTimeout { .. }) => println!("too slow"),
        }

        let task = spawn(async move {
            let ended = finally(cancellable(get(&client, &slow)), async |_| {
                // Cleanup may use tokio as well, here a timer.
                tokio::time::sleep(Duration::from_millis(1)).await;
                println!("cleaned up");
                Ok::<_, TaskCancelled>(())
            });
            ended.await?.map_err(Anything::from)
        });
        sleep(Duration::from_millis(200)).await?;
        task.cancel().await?;
        println!("cancelled");
        Ok(())
    })
}
