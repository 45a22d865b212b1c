//! A server on a Unix socket that returns every line in capitals, and knows its clients.
//!
//! `unix_echo PATH` serves until Ctrl-C and removes the file at the end. Without a path it serves
//! one client of its own, at a path of its own, and ends.

use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use curium::net::{UnixListener, UnixStream};
use curium::prelude::*;
use curium::signal::ctrl_c;

/// A read need not return whole lines, which does not matter for capitals.
async fn echo(stream: UnixStream, _peer: SocketAddr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if stream.peer_cred()?.pid == std::process::id() {
        stream.write_all(b"you are this process\n").await?;
    }
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        buf[..n].make_ascii_uppercase();
        stream.write_all(&buf[..n]).await?;
    }
}

async fn client(path: &Path) -> io::Result<()> {
    use curium::io::{BufReader, ReadExt};
    let mut stream = BufReader::new(UnixStream::connect(path).await?);
    for text in ["hello\n", "is anybody there?\n"] {
        stream.get_ref().write_all(text.as_bytes()).await?;
    }
    stream.get_ref().shutdown(std::net::Shutdown::Write)?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await?;
    print!("{answers}");
    Ok(())
}

/// Removes the file that a server leaves when it ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn demo() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("unix_echo-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    let removed = Removed(path);
    TaskGroup::scope(async |g| {
        // A daemon: the group cancels it when the client has ended.
        g.spawn_daemon(listener.serve(echo));
        client(&removed.0).await
    })
    .await
}

async fn serve(path: PathBuf) -> io::Result<()> {
    // A path that exists may belong to a server that still runs, so it is not removed here.
    let listener = UnixListener::bind(&path)?;
    let _removed = Removed(path);
    TaskGroup::scope(async |g| {
        g.spawn_daemon(listener.serve(echo));
        ctrl_c().await
    })
    .await
}

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        None => run(demo)?,
        Some(path) => run(async || serve(path.into()).await)?,
    }
    Ok(())
}
