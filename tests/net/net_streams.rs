//! Connections as streams for the traits of `futures-io`.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use ::hyper::rt as hyper;
use ::tokio::io as tokio;
use curium::io::{AsyncRead, AsyncWrite, BufReader, BufWriter, ReadExt, WriteExt};
use curium::kernel::testing;
use curium::kernel::{cancellable_after, cancelled, spawn};
use curium::net::TcpStream;
#[cfg(unix)]
use curium::net::UnixStream;
use futures::join;

use crate::support::both;
use crate::support::connections;

/// Sends `text` back line by line, whatever the stream is.
async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut stream = BufReader::new(BufWriter::new(stream));
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await?;
        line.clear();
    }
    stream.close().await
}

/// I1, I2: a connection is a stream like any other. Its `close` ends the writing direction alone.
#[test]
fn a_connection_is_a_stream() {
    async fn check<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        mut client: S,
        server: S,
    ) -> io::Result<()> {
        let server = spawn(echo(server));
        let client = &mut client;
        let mut lines = BufReader::new(client);
        for line in ["one\n", "two\n"] {
            lines.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            lines.read_line(&mut answer).await?;
            assert_eq!(answer, line);
        }
        lines.write_all(b"last").await?;
        WriteExt::close(&mut lines).await?;
        let mut rest = Vec::new();
        lines.read_to_end(&mut rest).await?;
        assert_eq!(rest, b"last");
        server.await
    }
    both::run(async || {
        let (client, server) = connections::ours().await?;
        check(client, server).await?;
        #[cfg(unix)]
        {
            let (client, server) = UnixStream::pair()?;
            check(client, server).await?;
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I1, N3: each half has a buffer of its own, and both wait at once.
#[test]
fn the_halves_of_a_connection_are_streams() {
    async fn check(
        read: impl AsyncRead + Unpin,
        write: impl AsyncWrite + Unpin,
        server: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> io::Result<()> {
        let server = spawn(echo(server));
        let (mut read, mut write) = (BufReader::new(read), BufWriter::new(write));
        let lines = 10_000;
        let writing = async {
            for number in 0..lines {
                write.write_all(format!("{number}\n").as_bytes()).await?;
            }
            write.close().await
        };
        let reading = async {
            let mut line = String::new();
            for number in 0..lines {
                line.clear();
                read.read_line(&mut line).await?;
                assert_eq!(line.trim_end().parse(), Ok(number));
            }
            read.read_line(&mut line).await
        };
        let (written, left) = join!(writing, reading);
        written?;
        assert_eq!(left?, 0);
        server.await
    }
    both::run(async || {
        let (mut client, server) = connections::ours().await?;
        let (read, write) = client.split();
        check(read, write, server).await?;
        #[cfg(unix)]
        {
            let (mut client, server) = UnixStream::pair()?;
            let (read, write) = client.split();
            check(read, write, server).await?;
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// I1, I2: the calls of the traits and the methods of the connection go on where the other left
/// off, also after a cancellation.
#[test]
fn poll_functions_and_methods_of_a_connection_mix() {
    both::run(async || {
        let (mut stream, mut theirs) = both::from_peer().await?;
        let reader = spawn(async move {
            let mut buf = [0; 4];
            let error = ReadExt::read(&mut stream, &mut buf).await.unwrap_err();
            assert!(cancelled(&error).is_some());
            let method = stream.read(&mut buf).await?;
            assert_eq!((method, &buf[..1]), (1, &b"a"[..]));
            let exact = ReadExt::read_exact(&mut stream, &mut buf).await.unwrap_err();
            assert_eq!((exact.kind(), exact.read), (ErrorKind::UnexpectedEof, 2));
            Ok::<_, io::Error>(())
        });
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        reader.request_cancel();
        testing::settle().await?;
        theirs.write_all(b"a")?;
        testing::settle().await?;
        theirs.write_all(b"bc")?;
        drop(theirs);
        reader.await
    })
    .unwrap();
}

/// I1: a stream of another crate over a connection works: its poll functions are woken, and an
/// error of the peer comes through.
#[test]
fn the_streams_of_other_crates_run_over_a_connection() {
    both::run(async || {
        let (client, server) = connections::ours().await?;
        let copier = spawn(async move {
            let (read, mut write) = futures::AsyncReadExt::split(server);
            futures::io::copy(futures::io::BufReader::new(read), &mut write).await
        });
        let much = Rc::new(vec![7; 1 << 20]);
        let (client, sent) = (Rc::new(client), much.clone());
        let writes = client.clone();
        let writer = spawn(async move {
            writes.write_all(&sent).await?;
            writes.shutdown(std::net::Shutdown::Write)
        });
        let mut got = vec![0; much.len()];
        client.read_exact(&mut got).await?;
        writer.await?;
        assert!(got == *much);
        assert_eq!(copier.await?, 1 << 20);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1, I1: a read or a write of nothing completes at once.
#[test]
fn an_empty_buffer_of_a_stream_waits_for_nothing() {
    both::run(async || {
        let (mut stream, _theirs): (TcpStream, _) = both::from_peer().await?;
        assert_eq!(ReadExt::read(&mut stream, &mut []).await?, 0);
        assert_eq!(WriteExt::write(&mut stream, &[]).await?, 0);
        ReadExt::read_exact(&mut stream, &mut []).await?;
        WriteExt::write_all(&mut stream, &[]).await?;
        WriteExt::flush(&mut stream).await
    })
    .unwrap();
}

/// N1: a read into a large buffer that is not initialized takes what there is in parts, and the
/// next read goes on with the rest.
#[test]
fn a_read_through_the_trait_of_another_crate_leaves_the_rest_to_the_next() {
    async fn check(by_tokio: bool) -> Result<(), Box<dyn std::error::Error>> {
        const ALL: usize = 200_000;
        let (mut stream, peer) = connections::ours().await?;
        let writer = spawn(async move { peer.write_all(&[7; ALL]).await.map(|()| peer) });
        testing::settle().await?;
        let (mut room, mut got) = (Box::new_uninit_slice(ALL), 0);
        while got < ALL {
            let read = poll_fn(|cx| {
                let stream = Pin::new(&mut stream);
                if by_tokio {
                    let mut buf = tokio::ReadBuf::uninit(&mut room);
                    ready!(tokio::AsyncRead::poll_read(stream, cx, &mut buf))?;
                    Poll::Ready(Ok::<usize, io::Error>(buf.filled().len()))
                } else {
                    let mut buf = hyper::ReadBuf::uninit(&mut room);
                    ready!(hyper::Read::poll_read(stream, cx, buf.unfilled()))?;
                    Poll::Ready(Ok(buf.filled().len()))
                }
            });
            // Sockets that are silent let the virtual clock go on to the limit.
            got += cancellable_after(Duration::from_secs(60), read).await???;
        }
        assert_eq!(got, ALL);
        writer.await?;
        Ok(())
    }

    testing::run(async || check(true).await).unwrap();
    testing::run(async || check(false).await).unwrap();
}
