//! tokio-postgres over a stream of Curium.

use std::io;
use std::rc::Rc;

use curium::io::ReadExt;
use curium::kernel::{self, cancellable};
use curium::prelude::*;
use tokio_postgres::{Config, NoTls};

const KEY: [u8; 8] = *b"pid_key_";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// Reads the rest of a message, which begins with its length.
async fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Reads a simple query.
async fn query(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut kind = [0];
    stream.read_exact(&mut kind).await?;
    assert_eq!(kind, *b"Q");
    message(stream).await
}

/// The side of the server of the beginning of a connection.
async fn greet(listener: &TcpListener) -> io::Result<TcpStream> {
    let (mut server, _) = listener.accept().await?;
    message(&mut server).await?;
    let mut greeting = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c".to_vec();
    greeting.extend_from_slice(&KEY);
    greeting.extend_from_slice(READY);
    server.write_all(&greeting).await?;
    Ok(server)
}

/// E1, E2: a cancel while a query runs arrives, its cleanup cancels the query on the server over a
/// second connection, and the first one can be used. The driver ends with its group, and then the
/// connection is closed.
#[test]
fn a_cancelled_query_is_cancelled_on_the_server() {
    run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let theirs = listener.clone();
        let greeting = spawn(async move { greet(&theirs).await });
        let stream = TcpStream::connect(address).await?;
        let (client, connection) =
            Config::new().user("curium").connect_raw(stream, NoTls).await.unwrap();
        let mut server = greeting.await?;
        TaskGroup::<io::Error>::scope(async |group| {
            group.spawn_daemon(
                async move { cancellable(connection).await?.map_err(io::Error::other) },
            );
            let client = Rc::new(client);
            let theirs = client.clone();
            let task = spawn(async move {
                let query = async { Ok(cancellable(theirs.simple_query("long")).await?) };
                finally(query, async |_| {
                    let stream = TcpStream::connect(address).await?;
                    let token = theirs.cancel_token();
                    cancellable(token.cancel_query_raw(stream, NoTls))
                        .await?
                        .map_err(io::Error::other)
                })
                .await
                .map(drop)
            });
            assert_eq!(query(&mut server).await?, b"long\0");
            let cancel = spawn(async move { task.cancel().await });
            let (mut second, _) = listener.accept().await?;
            let request = message(&mut second).await?;
            assert_eq!(request, [80877102_u32.to_be_bytes().as_slice(), &KEY].concat());
            drop(second);
            cancel.await?;
            server.write_all(b"E\0\0\0\x1eSERROR\0C57014\0Mcancelled\0\0").await?;
            server.write_all(READY).await?;

            let theirs = client.clone();
            let next = spawn(async move { cancellable(theirs.simple_query("next")).await });
            assert_eq!(query(&mut server).await?, b"next\0");
            server.write_all(b"I\0\0\0\x04").await?;
            server.write_all(READY).await?;
            assert!(next.join().await?.unwrap().is_ok());
            Ok(())
        })
        .await?;
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await?;
        assert_eq!(kernel::tasks().len(), 1);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
