//! Reads and writes with empty buffers complete at once, whatever the state of the socket.

use std::io;

use kernel::{spawn, testing, yield_now};
use net::{TcpListener, TcpStream};

use crate::support::both;

/// The two ends of a connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// All these calls, each of which must complete without parking.
async fn all_of_nothing(stream: &TcpStream) -> io::Result<()> {
    assert_eq!(stream.read(&mut []).await?, 0);
    assert_eq!(stream.peek(&mut []).await?, 0);
    stream.read_exact(&mut []).await?;
    assert_eq!(stream.write(&[]).await?, 0);
    stream.write_all(&[]).await?;
    Ok(())
}

/// The same calls on the halves of a stream.
async fn all_of_nothing_by_halves(stream: &mut TcpStream) -> io::Result<()> {
    let (reads, writes) = stream.split();
    assert_eq!(reads.read(&mut []).await?, 0);
    reads.read_exact(&mut []).await?;
    assert_eq!(writes.write(&[]).await?, 0);
    writes.write_all(&[]).await?;
    Ok(())
}

/// Polls once. A future that parks is a failure.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    use futures::FutureExt;
    future.now_or_never().expect("it completes at once")
}

/// N1: on a socket that is neither readable nor writable, they do not wait.
#[test]
fn an_empty_buffer_waits_for_nothing() {
    both::run(async || {
        let (mut client, mut server) = pair().await?;
        at_once(all_of_nothing(&client))?;
        at_once(all_of_nothing_by_halves(&mut client))?;
        // Until there is no room left, and the stream has found that.
        let much = vec![7; 1 << 20];
        let write = async || client.write(&much).await;
        let mut sent = 0;
        while let Some(written) = futures::FutureExt::now_or_never(write()) {
            sent += written?;
        }
        at_once(all_of_nothing(&client))?;
        // None of them consumed a byte or the end of the stream.
        drop(client);
        let mut buf = vec![0; 1 << 16];
        while sent > 0 {
            assert_eq!(server.read(&mut []).await?, 0);
            sent -= server.read(&mut buf).await?;
        }
        assert_eq!(server.read(&mut buf).await?, 0);
        at_once(all_of_nothing(&server))?;
        at_once(all_of_nothing_by_halves(&mut server))
    })
    .unwrap();
}

/// N1, N3, N5: also beside a parked reader and a parked writer, after a reset and after a close,
/// because they do not look at the socket.
#[test]
fn an_empty_buffer_does_not_ask_the_socket() {
    both::run(async || {
        let (client, server) = pair().await?;
        let client = std::rc::Rc::new(client);
        let reader = spawn({
            let client = client.clone();
            async move { client.read(&mut [0]).await }
        });
        let writer = spawn({
            let client = client.clone();
            async move { client.write_all(&vec![7; 1 << 26]).await }
        });
        testing::settle().await?;
        assert!(!reader.is_done() && !writer.is_done());
        at_once(all_of_nothing(&client))?;
        // With bytes unread, so that the close resets the connection.
        drop(server);
        reader.join().await?.unwrap_err();
        writer.join().await?.unwrap_err();
        at_once(all_of_nothing(&client))?;
        client.close();
        at_once(all_of_nothing(&client))
    })
    .unwrap();
}

/// C1: a pending cancellation waits for a call that would park.
#[test]
fn an_empty_buffer_leaves_a_pending_cancel_to_the_next_call() {
    both::run(async || {
        let (client, _server) = pair().await?;
        let task = spawn(async move {
            all_of_nothing(&client).await?;
            let cut = client.read(&mut [0]).await.unwrap_err();
            assert!(kernel::cancelled(&cut).is_some(), "{cut}");
            Ok::<(), io::Error>(())
        });
        task.request_cancel();
        task.join().await?.unwrap();
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K2: an endless loop of calls with empty buffers lets other tasks run, and can be cancelled.
#[test]
fn empty_buffers_in_a_row_starve_nobody() {
    both::run(async || {
        let calls: [fn(TcpStream) -> kernel::Task<(), io::Error>; 5] = [
            |stream| {
                spawn::<_, io::Result<()>>(async move {
                    loop {
                        stream.read(&mut []).await?;
                    }
                })
            },
            |stream| {
                spawn::<_, io::Result<()>>(async move {
                    loop {
                        stream.peek(&mut []).await?;
                    }
                })
            },
            |stream| {
                spawn::<_, io::Result<()>>(async move {
                    loop {
                        stream.read_exact(&mut []).await?;
                    }
                })
            },
            |stream| {
                spawn::<_, io::Result<()>>(async move {
                    loop {
                        stream.write(&[]).await?;
                    }
                })
            },
            |stream| {
                spawn::<_, io::Result<()>>(async move {
                    loop {
                        stream.write_all(&[]).await?;
                    }
                })
            },
        ];
        for call in calls {
            let (client, _server) = pair().await?;
            let spinner = call(client);
            for _ in 0..10 {
                yield_now().await?;
            }
            spinner.cancel().await?;
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
