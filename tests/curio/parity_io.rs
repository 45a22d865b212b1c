//! What curio's tests of buffered streams check, over TCP.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::io::{self, ErrorKind, Read, Write};

use curium::io::{BufReadExt, BufReader, BufWriter, ReadExt, WriteExt};
use curium::kernel::testing;
use curium::kernel::{cancelled, ignore_after, timeout_after};

use crate::support::connections;
use crate::support::time::SECOND;

/// I2: lines come one by one although they arrived together. What a line leaves in the buffer is
/// read first, without the socket, and then bulk data into a buffer of the caller.
#[test]
fn what_a_line_leaves_in_the_buffer_is_read_first() {
    testing::run(async || {
        let (stream, mut theirs) = connections::to_std().await?;
        theirs.write_all(b"hello\nworld\nrest")?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        assert_eq!(stream.read_line(&mut line).await?, 6);
        stream.get_ref().shutdown(std::net::Shutdown::Read)?;
        let mut two = [0; 2];
        stream.read_exact(&mut two).await?;
        assert_eq!((&*line, &two), ("hello\n", b"wo"));
        assert_eq!(stream.read_line(&mut line).await?, 4);

        let (stream, mut theirs) = connections::to_std().await?;
        let much: Vec<u8> = (0..1 << 20).map(|at: u32| at as u8).collect();
        let sent = much.clone();
        let sender = std::thread::spawn(move || {
            theirs.write_all(b"size\n")?;
            theirs.write_all(&sent)?;
            theirs.write_all(b"\none\ntwo")
        });
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut line).await?;
        assert_eq!(line, "hello\nrld\nsize\n");
        let mut bulk = vec![0; much.len()];
        stream.read_exact(&mut bulk).await?;
        assert!(bulk == much);
        let mut lines = stream.lines();
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line);
        }
        assert_eq!(all, ["", "one", "two"]);
        sender.join().unwrap()
    })
    .unwrap();
}

/// I2: everything is read until the peer closes, what was buffered first. Too early an end says how
/// much was read.
#[test]
fn everything_is_read_until_the_peer_closes() {
    testing::run(async || {
        let (stream, mut theirs) = connections::to_std().await?;
        theirs.write_all(b"line\nbuffered ")?;
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut String::new()).await?;
        let sender = std::thread::spawn(move || theirs.write_all(&[b'x'; 300_000]));
        let mut all = Vec::new();
        assert_eq!(stream.read_to_end(&mut all).await?, 300_009);
        assert!(all.starts_with(b"buffered xxx"));
        sender.join().unwrap()?;

        let (stream, mut theirs) = connections::to_std().await?;
        theirs.write_all(b"short")?;
        drop(theirs);
        let mut buf = [0; 100];
        let early = BufReader::new(stream).read_exact(&mut buf).await.unwrap_err();
        assert_eq!(
            (early.kind(), early.read, &buf[..5]),
            (ErrorKind::UnexpectedEof, 5, &b"short"[..])
        );
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a timeout keeps what was read before: in the caller's buffer, with the number where the
/// caller asks for it, and whole lines with the caller.
#[test]
fn a_timeout_keeps_what_was_read() {
    testing::run(async || {
        let (stream, mut theirs) = connections::to_std().await?;
        theirs.write_all(b"some bytes")?;
        let mut stream = BufReader::new(stream);
        let mut all = Vec::new();
        assert!(ignore_after(SECOND, stream.read_to_end(&mut all)).await?.is_none());
        assert_eq!(all, b"some bytes");

        theirs.write_all(b"more")?;
        let mut buf = [0; 100];
        let body = async {
            let early = stream.read_exact(&mut buf).await.unwrap_err();
            assert!(cancelled(&early).is_some());
            Ok::<_, io::Error>(early.read)
        };
        assert_eq!(timeout_after(SECOND, body).await.unwrap()?, 4);
        assert_eq!(&buf[..4], b"more");

        theirs.write_all(b"one\ntwo\nthr")?;
        let (mut lines, mut got) = (stream.lines(), Vec::new());
        let body = async {
            while let Some(line) = lines.next().await? {
                got.push(line);
            }
            Ok::<_, io::Error>(())
        };
        assert!(timeout_after(SECOND, body).await.is_err());
        assert_eq!(got, ["one", "two"]);
        theirs.write_all(b"ee\n")?;
        assert_eq!(lines.next().await?.as_deref(), Some("three"));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: many lines are written in order, and a timeout says how much of them the peer gets.
#[test]
fn many_lines_are_written_in_order() {
    testing::run(async || {
        let (stream, mut theirs) = connections::to_std().await?;
        let mut stream = BufWriter::new(stream);
        for line in ["one\n", "two\n", "three\n"] {
            stream.write_all(line.as_bytes()).await?;
        }
        stream.close().await?;
        let mut all = String::new();
        theirs.read_to_string(&mut all)?;
        assert_eq!(all, "one\ntwo\nthree\n");

        let (mut stream, mut theirs) = connections::to_std().await?;
        let line = [b'x'; 100_000];
        let mut sent = 0;
        let body = async {
            loop {
                match WriteExt::write_all(&mut stream, &line).await {
                    Ok(()) => sent += line.len(),
                    Err(error) => {
                        sent += error.written;
                        return Err::<(), io::Error>(error.into());
                    }
                }
            }
        };
        assert!(timeout_after(SECOND, body).await.is_err());
        drop(stream);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got)?;
        assert_eq!(got.len(), sent);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
