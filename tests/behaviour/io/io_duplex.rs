//! Connections in memory.

use std::io::{self, ErrorKind};

use curium::io::{ReadExt, WriteExt, duplex};
use curium::kernel::{spawn, testing, yield_now};
use futures::FutureExt;

/// I3: each direction holds what was not read, up to its capacity. A writer waits for room, a
/// reader for bytes.
#[test]
fn a_direction_holds_its_capacity() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        assert_eq!(ours.write(b"012345").await?, 4);
        assert!(ours.write(b"45").now_or_never().is_none());
        assert_eq!(ours.write(b"").await?, 0);
        assert_eq!(theirs.write(b"ab").await?, 2);
        let writer = spawn(async move {
            ours.write_all(b"45").await?;
            Ok::<_, io::Error>(ours)
        });
        testing::settle().await?;
        assert!(!writer.is_done());
        let mut buf = [0; 3];
        assert_eq!(theirs.read(&mut buf).await?, 3);
        let mut ours = writer.await?;
        assert_eq!(ours.read(&mut buf).await?, 2);
        assert_eq!(&buf, b"ab2");
        assert_eq!(theirs.read(&mut buf).await?, 3);
        assert_eq!(&buf, b"345");
        assert_eq!(theirs.read(&mut []).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: an end that is closed or dropped wakes the other one. That reads what is left, and then the
/// end of the stream; it writes on to an end that is only closed.
#[test]
fn the_end_of_a_direction_comes_after_its_bytes() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        let reader = spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await?;
            theirs.write_all(b"back").await?;
            Ok::<_, io::Error>((theirs, all))
        });
        testing::settle().await?;
        ours.write_all(b"x").await?;
        ours.close().await?;
        ours.close().await?;
        let (mut theirs, all) = reader.await?;
        assert_eq!(all, b"x");
        assert_eq!(ours.write(b"y").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut back = [0; 4];
        ours.read_exact(&mut back).await?;
        let writer = spawn(async move { theirs.write_all(b"more than fits").await });
        testing::settle().await?;
        drop(ours);
        let broken = writer.await.unwrap_err();
        assert_eq!((broken.kind(), broken.written), (ErrorKind::BrokenPipe, 4));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I3: a connection works under another executor, where nothing is cancelled.
#[test]
fn a_connection_in_memory_needs_no_kernel() {
    futures::executor::block_on(async {
        let (mut ours, mut theirs) = duplex(1);
        let mut buf = [0; 5];
        let (written, read) = futures::join!(ours.write_all(b"hello"), theirs.read_exact(&mut buf));
        written.unwrap();
        read.unwrap();
        assert_eq!(&buf, b"hello");
    });
}

/// I3: without room nothing could ever be written.
#[test]
#[should_panic(expected = "room for at least one byte")]
fn a_connection_without_room_is_a_panic() {
    drop(duplex(0));
}

/// I3, K2: connections that are used through the traits alone count against the budget, so they
/// hold up no other task.
#[test]
fn a_connection_in_memory_holds_up_no_task() {
    testing::run(async || {
        let (mut ours, mut theirs) = duplex(4);
        let other = spawn(yield_now());
        for _ in 0..500 {
            futures::io::AsyncWriteExt::write_all(&mut ours, b"x").await?;
            futures::io::AsyncReadExt::read_exact(&mut theirs, &mut [0]).await?;
        }
        assert!(other.is_done());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
