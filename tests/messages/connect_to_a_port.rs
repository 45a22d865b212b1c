//! A port without a host.
//~ contains: `u16` is not an address
//~ contains: pass a `SocketAddr`, `"host:port"`, `("host", port)` or `(ip, port)`

use curium::prelude::*;

async fn parent() -> std::io::Result<()> {
    let port: u16 = 8080;
    TcpStream::connect(port).await?;
    Ok(())
}

fn main() -> std::io::Result<()> {
    run(parent)
}
