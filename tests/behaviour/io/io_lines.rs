//! Lines of streams.

use std::io::{self, ErrorKind};

use curium::io::{BufReadExt, BufReader, ReadExt, WriteExt, duplex};
use curium::kernel::testing;
use curium::kernel::{cancelled, ignore_after, spawn};

use crate::support::time::SECOND;

/// I2: a line that comes in pieces, cut within a character, with a cancelled call after each piece:
/// nothing is lost, and nothing comes twice.
#[test]
fn a_line_outlives_the_cancelled_calls_that_wait_for_it() {
    testing::run(async || {
        let text = "grün ist alle Theorie\nund".as_bytes();
        for piece in 1..text.len() {
            let (ours, mut theirs) = duplex(64);
            let mut reader = BufReader::with_capacity(4, ours);
            let mut line = String::new();
            for bytes in text.chunks(piece) {
                theirs.write_all(bytes).await?;
                if line.is_empty() {
                    ignore_after(SECOND, reader.read_line(&mut line)).await?;
                }
            }
            assert_eq!(line, "grün ist alle Theorie\n", "pieces of {piece}");
            theirs.close().await?;
            assert_eq!(reader.read_line(&mut line).await?, 3);
            assert_eq!(reader.read_line(&mut line).await?, 0);
            assert_eq!(line, "grün ist alle Theorie\nund");
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: the same for the lines of a stream, and for pieces up to a delimiter.
#[test]
fn lines_and_pieces_go_on_after_a_cancel() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut lines = BufReader::with_capacity(4, ours).lines();
        for bytes in ["ein".as_bytes(), &"ü".as_bytes()[..1], &"ü".as_bytes()[1..]] {
            theirs.write_all(bytes).await?;
            assert!(ignore_after(SECOND, lines.next()).await?.is_none());
        }
        theirs.write_all(b"\r\n\n\xff\nlast").await?;
        theirs.close().await?;
        assert_eq!(lines.next().await?.as_deref(), Some("einü"));
        assert_eq!(lines.next().await?.as_deref(), Some(""));
        assert_eq!(lines.next().await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(lines.next().await?.as_deref(), Some("last"));
        assert_eq!(lines.next().await?, None);
        assert_eq!(lines.next().await?, None);

        let (ours, mut theirs) = duplex(64);
        let mut reader = BufReader::new(ours);
        let mut bytes = Vec::new();
        theirs.write_all(b"ab").await?;
        assert!(ignore_after(SECOND, reader.read_until(b';', &mut bytes)).await?.is_none());
        theirs.write_all(b"c;d;").await?;
        assert_eq!(reader.read_until(b';', &mut bytes).await?, 2);
        assert_eq!(bytes, b"abc;");
        assert_eq!(reader.buffer(), b"d;");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a line that is not UTF-8 is skipped, and `line` is as it was.
#[test]
fn a_line_that_is_no_text_is_skipped() {
    testing::run(async || {
        let mut reader = BufReader::new(&b"a\xff\nb\n"[..]);
        let mut line = String::from("<");
        let wrong = reader.read_line(&mut line).await.unwrap_err();
        assert_eq!((wrong.kind(), &*line), (ErrorKind::InvalidData, "<"));
        assert_eq!(reader.read_line(&mut line).await?, 2);
        assert_eq!(line, "<b\n");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2, C2: a task that waits for a line is cancelled there, and the incomplete line can be taken.
#[test]
fn a_task_that_waits_for_a_line_is_cancelled() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let reader = spawn(async move {
            let mut lines = BufReader::new(ours).lines();
            let error = lines.next().await.unwrap_err();
            assert!(cancelled(&error).is_some());
            let (reader, line) = lines.into_parts();
            Ok::<_, io::Error>((reader, line))
        });
        theirs.write_all(b"half").await?;
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        reader.cancel().await?;
        let (mut reader, line) = reader.await?;
        assert_eq!(line, b"half");
        theirs.write_all(b" line\n").await?;
        let mut rest = [0; 6];
        reader.read_exact(&mut rest).await?;
        assert_eq!(&rest, b" line\n");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a line that is longer than the buffer enlarges it until the line is read.
#[test]
fn a_buffer_is_as_large_as_the_longest_line_only_while_it_is_read() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(1 << 16);
        let mut reader = BufReader::with_capacity(16, ours);
        let long = "x".repeat(10_000);
        theirs.write_all(format!("{long}\nshort\n").as_bytes()).await?;
        let mut line = String::new();
        assert_eq!(reader.read_line(&mut line).await?, long.len() + 1);
        assert_eq!(reader.read_line(&mut line).await?, 6);
        assert_eq!(line, format!("{long}\nshort\n"));
        theirs.write_all(&[b'y'; 100]).await?;
        assert!(ignore_after(SECOND, reader.read_until(b'!', &mut Vec::new())).await?.is_none());
        theirs.write_all(&[b'z'; 100]).await?;
        reader.read(&mut [0]).await?;
        assert_eq!(reader.buffer().len(), 15, "it reads in pieces of its capacity again");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
