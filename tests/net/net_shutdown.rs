//! `shutdown` of a connection that has already ended.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use kernel::testing;
use net::{TcpListener, TcpStream};

use crate::support::both;

const ALL: [Shutdown; 3] = [Shutdown::Read, Shutdown::Write, Shutdown::Both];

/// The two ends of a connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// Resets the connection, and waits until the other end knows.
async fn reset(server: TcpStream, client: &TcpStream) -> io::Result<()> {
    server.as_fd(|fd| Ok(rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO))?))?;
    drop(server);
    let gone = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionReset);
    Ok(())
}

/// N7: after the peer's reset a shutdown is `Ok`.
#[test]
fn a_shutdown_after_the_peers_reset_is_well() {
    testing::run(async || {
        for how in ALL {
            let (mut client, server) = pair().await?;
            reset(server, &client).await?;
            client.shutdown(how)?;
            client.shutdown(how)?;
            client.split().1.shutdown()?;
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N7: so is a second shutdown, in any order, with the peer connected or gone.
#[test]
fn a_second_shutdown_is_well() {
    both::run(async || {
        for first in ALL {
            for second in ALL {
                let (client, server) = pair().await?;
                client.shutdown(first)?;
                client.shutdown(second)?;
                if first != Shutdown::Read || second != Shutdown::Read {
                    assert_eq!(server.read(&mut [0]).await?, 0);
                }
                server.shutdown(Shutdown::Both)?;
                drop(server);
                // Both directions have ended by now.
                assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
                client.shutdown(first)?;
                client.shutdown(second)?;
            }
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N5, N7: on a stream that was closed here it is an error, like every other call.
#[test]
fn a_shutdown_after_ones_own_close_is_an_error() {
    both::run(async || {
        for how in ALL {
            let (client, _server) = pair().await?;
            client.close();
            let closed = client.shutdown(how).unwrap_err();
            assert_eq!(closed.kind(), io::ErrorKind::NotConnected);
            assert_eq!(closed.to_string(), "this handle is closed");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
