//! reqwest inside tasks of Curium.

use curium::io::{BufReader, ReadExt};
use curium::kernel::{cancellable, cancellable_after};
use curium::net::{TcpListener, TcpStream};
use curium::prelude::*;

/// Reads the head of a request.
async fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).await?, 0, "a request is cut: {head:?}");
    }
    Ok(head)
}

/// E2, E3: a cancel while reqwest waits for the answer drops the request, and reqwest closes its
/// connection. The client can be used again.
#[test]
fn a_cancelled_request_closes_its_connection() {
    curium_tokio::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let client = reqwest::Client::new();
        let (theirs, to) = (client.clone(), url.clone());
        let request = spawn(async move { cancellable(theirs.get(to).send()).await.map(drop) });
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        assert!(head(&mut stream).await?.starts_with("GET / HTTP/1.1\r\n"));
        request.cancel().await?;
        assert!(matches!(request.join().await?, Err(TaskError::Cancelled(_))));
        assert_eq!(stream.read(&mut [0; 16]).await?, 0);

        let request = spawn(async move { cancellable(client.get(url).send()).await });
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        head(&mut stream).await?;
        stream.get_ref().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        let answer = request.join().await?.unwrap().unwrap();
        assert_eq!(answer.status(), 204);
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
}

/// E2: a time limit around a request ends it as well, and is told from an error of reqwest.
#[test]
fn a_request_that_is_too_slow_closes_its_connection() {
    curium_tokio::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let request = spawn(async move {
            let limit = Duration::from_millis(20);
            cancellable_after(limit, reqwest::get(url)).await.map(drop)
        });
        let (mut stream, _) = listener.accept().await?;
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await?;
        let ended = request.join().await?;
        assert!(matches!(ended, Err(TaskError::Failed(TaskTimeout { .. }))), "{ended:?}");
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
}
