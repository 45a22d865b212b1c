//! A chat from the terminal: each line goes to the peer, and each line of the peer to the terminal,
//! until Ctrl-D or until the peer leaves.
//!
//! `chat_stdin ADDRESS` connects to a peer, for example to `nc -l 4000`. Without an address it
//! chats with a peer of its own, which shouts.

use std::io;

use curium::io::{AsyncRead, AsyncWrite, BufReader, WriteExt, stdin, stdout};
use curium::prelude::*;

/// Sends what is typed. Ctrl-D ends the stream, and the peer may still answer.
async fn send(mut peer: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut lines = stdin().lines();
    while let Some(line) = lines.next().await? {
        peer.write_all(format!("{line}\n").as_bytes()).await?;
    }
    peer.close().await
}

/// Shows what the peer sends, until it leaves.
async fn receive(peer: impl AsyncRead + Unpin) -> io::Result<()> {
    let (mut peer, mut terminal) = (BufReader::new(peer), stdout());
    let mut line = String::new();
    while peer.read_line(&mut line).await? > 0 {
        terminal.write_all(line.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

async fn chat(mut stream: TcpStream) -> io::Result<()> {
    let (reads, writes) = stream.split();
    scope(async |s| {
        let sender = s.spawn(send(writes));
        receive(reads).await?;
        // If the peer has left first, this cancels the read from the terminal, which takes nothing.
        Ok(sender.cancel().await?)
    })
    .await
}

/// The peer of its own.
async fn shout(listener: TcpListener) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        stream.write_all(line.to_uppercase().as_bytes()).await?;
        line.clear();
    }
    stream.close().await
}

fn main() -> io::Result<()> {
    run(async || {
        if let Some(address) = std::env::args().nth(1) {
            return chat(TcpStream::connect(&*address).await?).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let peer = spawn(shout(listener));
        chat(TcpStream::connect(address).await?).await?;
        peer.await
    })
}
