//! What a silent connection costs.

use std::io;

use kernel::{spawn, testing};
use net::{TcpListener, TcpStream};

use crate::{alone, blocks_in_use};

const CONNECTIONS: usize = 512;

/// Sends one byte, and is then silent.
async fn client(at: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at).await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}

/// N1: a connection of a server holds its handler's task and its registration, and nothing from its
/// accept.
#[test]
fn an_idle_connection_keeps_two_blocks() {
    let _alone = alone();
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let server = spawn(listener.serve(async |stream, _| {
            let mut byte = [0];
            while stream.read(&mut byte).await? != 0 {
                stream.write_all(&byte).await?;
            }
            Ok::<(), io::Error>(())
        }));
        let mut clients = Vec::with_capacity(1 + CONNECTIONS);
        clients.push(client(at).await?);
        let before = blocks_in_use();
        for _ in 0..CONNECTIONS {
            clients.push(client(at).await?);
        }
        // The client's end has a registration, too.
        let blocks = blocks_in_use() - before - CONNECTIONS;
        assert!(blocks <= 2 * CONNECTIONS + 64, "{blocks} blocks for {CONNECTIONS} connections");
        drop(clients);
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
