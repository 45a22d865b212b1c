//! Other programs: a pipeline of three, a time limit, and a graceful stop. None is left behind.

use std::io;

use curium::io::{BufReadExt, BufReader};
use curium::prelude::*;
use curium::process::{Command, Stdio};

/// `printf .. | sort | uniq`: the output of each is the input of the next.
async fn pipeline() -> io::Result<()> {
    let mut printf = Command::new("printf");
    printf.arg("pear\napple\nfig\napple\n").stdout(Stdio::piped());
    let mut printf = printf.spawn().await?;

    let mut sort = Command::new("sort");
    sort.stdin(printf.stdout.take().expect("it is piped")).stdout(Stdio::piped());
    let mut sort = sort.spawn().await?;

    let mut uniq = Command::new("uniq");
    uniq.stdin(sort.stdout.take().expect("it is piped"));
    let fruit = uniq.output().await?.check()?;

    print!("{}", String::from_utf8_lossy(&fruit.stdout));
    for (name, child) in [("printf", &mut printf), ("sort", &mut sort)] {
        println!("{name}: {}", child.wait().await?);
    }
    Ok(())
}

/// A command that takes too long is stopped. The error has what it has printed.
async fn time_limit() {
    let mut slow = Command::new("sh");
    slow.args(["-c", "echo still at it; exec sleep 60"]).timeout(Duration::from_secs(1));
    match slow.output().await {
        Ok(output) => println!("it has ended: {}", output.status),
        Err(error) => {
            print!("{error}, and has printed: {}", String::from_utf8_lossy(&error.stdout));
        }
    }
}

/// A child cleans up when it is asked to end, as a task does when it is cancelled. Whatever leaves
/// the body of `run` stops the child: its end, an error, or a cancellation.
async fn graceful_stop() -> io::Result<()> {
    const WORKER: &str =
        "trap 'echo saving; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut worker = Command::new("sh");
    worker.args(["-c", WORKER]).stdout(Stdio::piped());
    let status = worker.run(async |child| {
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        println!("the worker is {}", lines.next().await?.unwrap_or_default());
        let status = child.stop().await?;
        println!("the worker is {}", lines.next().await?.unwrap_or_default());
        Ok::<_, io::Error>(status)
    });
    println!("{}", status.await?);
    Ok(())
}

fn main() -> io::Result<()> {
    run(async || {
        pipeline().await?;
        time_limit().await;
        graceful_stop().await?;
        let unknown = Command::new("curium-no-such-program").status().await;
        println!("{}", unknown.unwrap_err());
        Ok(())
    })
}
