//! Buffers for reading and writing.

use std::io;

use curium::io::{BufReader, BufWriter, ReadExt, WriteExt, duplex};
use curium::kernel::testing;
use curium::kernel::{cancelled, spawn};
use futures::FutureExt;

/// I2: small reads come out of the buffer without touching the stream, a large one passes it by.
#[test]
fn what_is_in_the_buffer_is_read_first() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut reader = BufReader::with_capacity(8, ours);
        theirs.write_all(b"0123456789abcdefghijkl").await?;
        let mut buf = [0; 3];
        assert_eq!(reader.read(&mut buf).await?, 3);
        assert_eq!((&buf, reader.buffer()), (b"012", &b"34567"[..]));
        let mut large = [0; 16];
        assert_eq!(reader.read(&mut large).await?, 5);
        assert_eq!(reader.buffer(), b"");
        assert_eq!(reader.read(&mut large).await?, 14);
        assert_eq!(&large[..14], b"89abcdefghijkl");
        assert_eq!(reader.read(&mut []).await?, 0);
        let (mut inner, mut answer) = (reader.into_inner(), [0; 1]);
        theirs.write_all(b"m").await?;
        inner.read_exact(&mut answer).await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: small writes are gathered until a flush, a close, or a write that has no room.
#[test]
fn small_writes_are_gathered() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut writer = BufWriter::with_capacity(8, ours);
        let mut buf = [0; 32];
        writer.write_all(b"abc").await?;
        writer.write_all(b"def").await?;
        assert!(theirs.read(&mut buf).now_or_never().is_none());
        assert_eq!(writer.buffer(), b"abcdef");
        writer.write_all(b"ghi").await?;
        assert_eq!(theirs.read(&mut buf).await?, 6);
        writer.flush().await?;
        assert_eq!(theirs.read(&mut buf).await?, 3);
        writer.write_all(b"j").await?;
        writer.write_all(b"a large piece").await?;
        assert_eq!((theirs.read(&mut buf).await?, writer.buffer()), (14, &b""[..]));
        assert_eq!(&buf[..14], b"ja large piece");
        writer.write_all(b"k").await?;
        writer.close().await?;
        assert_eq!((theirs.read(&mut buf).await?, theirs.read(&mut buf).await?), (1, 0));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I2: a write that is cancelled while it makes room is not in the buffer, a cancelled flush leaves
/// the rest, and each byte goes out once.
#[test]
fn a_cancelled_flush_goes_on() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(4);
        let writer = spawn(async move {
            let mut writer = BufWriter::with_capacity(8, ours);
            writer.write_all(b"0123456").await?;
            let error = writer.write_all(b"xy").await.unwrap_err();
            assert!(cancelled(&error).is_some());
            assert_eq!((error.written, writer.buffer()), (0, &b"456"[..]));
            writer.write_all(b"789").await?;
            writer.flush().await?;
            Ok::<_, io::Error>(())
        });
        testing::settle().await?;
        writer.cancel().now_or_never();
        testing::settle().await?;
        let mut all = [0; 10];
        theirs.read_exact(&mut all).await?;
        assert_eq!(&all, b"0123456789");
        writer.await
    })
    .unwrap();
}

/// I2: a buffer for each direction, one inside the other, passes the other direction on.
#[test]
fn both_directions_have_a_buffer() {
    testing::run(async || {
        let (ours, mut theirs) = duplex(64);
        let mut stream = BufWriter::new(BufReader::new(ours));
        theirs.write_all(b"question").await?;
        let mut question = [0; 8];
        stream.read_exact(&mut question).await?;
        stream.write_all(b"answer").await?;
        let mut answer = [0; 6];
        assert!(theirs.read(&mut answer).now_or_never().is_none());
        stream.flush().await?;
        theirs.read_exact(&mut answer).await?;
        assert_eq!((&question, &answer), (b"question", b"answer"));
        let mut stream = BufReader::new(stream.into_inner().into_inner());
        stream.write_all(b"!").await?;
        stream.close().await?;
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await?;
        assert_eq!(rest, b"!");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
