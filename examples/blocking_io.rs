//! Many files are read by the pool of threads, while a ticker ticks on time.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::time::Instant;

use curium::fs;
use curium::kernel::{gather_all, interval};
use curium::prelude::*;

const FILES: usize = 300;

/// Ticks every millisecond, until it is cancelled, and notes how late the latest tick was.
async fn ticker(latest: &Cell<Duration>) -> io::Result<()> {
    let mut ticks = interval(Duration::from_millis(1));
    loop {
        let due = ticks.tick().await?;
        latest.set(latest.get().max(Instant::now().saturating_duration_since(due)));
    }
}

/// How many bytes the files have, and how many lines.
async fn read_all(dir: &Path) -> io::Result<(usize, usize)> {
    let texts = gather_all((0..FILES).map(|n| fs::read_to_string(dir.join(n.to_string())))).await?;
    let bytes = texts.iter().map(String::len).sum();
    let lines = texts.iter().map(|text| text.lines().count()).sum();
    Ok((bytes, lines))
}

async fn parent() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("curium-blocking-io-{}", std::process::id()));
    fs::create_dir(&dir).await?;
    for n in 0..FILES {
        fs::write(dir.join(n.to_string()), "a line of a file\n".repeat(n)).await?;
    }

    let latest = Cell::new(Duration::ZERO);
    let read = scope(async |s| {
        let ticker = s.spawn(ticker(&latest));
        let read = read_all(&dir).await;
        ticker.cancel().await?;
        read
    });
    let (bytes, lines) = read.await?;
    println!("{FILES} files, {bytes} bytes, {lines} lines");
    eprintln!("no tick was later than {:?}", latest.get());

    let mut entries = fs::read_dir(&dir).await?;
    let mut count = 0;
    while entries.next().await?.is_some() {
        count += 1;
    }
    println!("{count} entries of the directory");
    fs::remove_dir_all(&dir).await
}

fn main() -> io::Result<()> {
    run(parent)
}
