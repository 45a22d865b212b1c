//! redis over a stream of Curium.

use std::io;

use curium::kernel::cancellable;
use curium::prelude::*;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo};

/// Reads a command, which ends with `last`, and answers it.
async fn answer(server: &TcpStream, last: &str, text: &str) -> io::Result<()> {
    heard(server, last).await?;
    server.write_all(format!("${}\r\n{text}\r\n", text.len()).as_bytes()).await?;
    Ok(())
}

async fn heard(server: &TcpStream, last: &str) -> io::Result<()> {
    let mut command = Vec::new();
    while !command.ends_with(format!("{last}\r\n").as_bytes()) {
        let mut buf = [0; 256];
        let read = server.read(&mut buf).await?;
        assert_ne!(read, 0, "the client is gone after {command:?}");
        command.extend_from_slice(&buf[..read]);
    }
    Ok(())
}

/// E1, E2: a cancel while redis waits for an answer arrives, and the connection can be used: the
/// answer that comes late is not taken for that to the next command. The driver ends with its
/// group, and then the connection is closed.
#[test]
fn a_cancelled_command_leaves_the_connection_usable() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        TaskGroup::<io::Error>::scope(async |group| {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let info = RedisConnectionInfo::default().set_skip_set_lib_name();
            let new = MultiplexedConnection::new_with_config(&info, stream, config);
            let (connection, driver) = new.await.unwrap();
            group.spawn_daemon(async move { Ok(cancellable(driver).await?) });

            let mut theirs = connection.clone();
            let get = spawn(async move { cancellable(theirs.get::<_, String>("a")).await });
            heard(&server, "a").await?;
            get.cancel().await?;
            assert!(matches!(get.join().await?, Err(TaskError::Cancelled(_))));
            server.write_all(b"$4\r\nlate\r\n").await?;

            let mut theirs = connection.clone();
            let get = spawn(async move { cancellable(theirs.get::<_, String>("b")).await });
            answer(&server, "b", "good").await?;
            assert_eq!(get.join().await?.unwrap().unwrap(), "good");
            Ok(())
        })
        .await?;
        assert_eq!(server.read(&mut [0; 16]).await?, 0);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
