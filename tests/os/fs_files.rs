//! Open files: their positions, and that they do what those of `std` do.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::pin::Pin;

use curium::fs::{self, File, OpenOptions};
use curium::kernel::{self, spawn, testing};
use futures::FutureExt;
use futures::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::support::dirs::TempDir;
use crate::support::pool::Occupied;

/// Runs a test of files on the virtual clock.
pub(crate) fn run(main: impl AsyncFnOnce(&TempDir) -> io::Result<()>) {
    let dir = TempDir::new();
    testing::run(async || main(&dir).await).unwrap();
}

/// Everything from the position to the end.
pub(crate) async fn rest(file: &mut File) -> io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match file.read(&mut buf).await? {
            0 => return Ok(all),
            n => all.extend(&buf[..n]),
        }
    }
}

/// O3: reads and writes go on at the position, which starts at 0 and can be set.
#[test]
fn reads_and_writes_move_the_position() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        assert_eq!(file.write(b"hello").await?, 5);
        file.write_all(b", world").await?;
        assert_eq!(file.stream_position().await?, 12);
        assert_eq!(file.read(&mut [0; 4]).await?, 0);
        file.rewind().await?;
        let mut buf = [0; 5];
        assert_eq!(file.read(&mut buf).await?, 5);
        assert_eq!(&buf, b"hello");
        assert_eq!(rest(&mut file).await?, b", world");
        assert_eq!(file.seek(SeekFrom::End(-5)).await?, 7);
        assert_eq!(rest(&mut file).await?, b"world");
        assert_eq!(file.seek(SeekFrom::Current(-12)).await?, 0);
        file.write_all(b"J").await?;
        assert_eq!(rest(&mut file).await?, b"ello, world");
        assert_eq!(std::fs::read(dir.of("file"))?, b"Jello, world");
        Ok(())
    });
}

/// O3: there is no position before the file, and the position stays where it was. Behind the end
/// there is one, and a write there leaves zeros between.
#[test]
fn a_position_is_not_before_the_file_and_may_be_behind_it() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        file.write_all(b"ab").await?;
        for to in [SeekFrom::Current(-3), SeekFrom::End(-3), SeekFrom::Start(u64::MAX)] {
            let error = file.seek(to).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().starts_with("cannot seek in "), "{error}");
        }
        assert_eq!(file.stream_position().await?, 2);
        assert_eq!(file.seek(SeekFrom::End(2)).await?, 4);
        file.write_all(b"c").await?;
        assert_eq!(std::fs::read(dir.of("file"))?, b"ab\0\0c");
        Ok(())
    });
}

/// O3: in append mode every write goes to the end of the file, also of what others have written,
/// and the position follows it.
#[test]
fn appended_bytes_go_to_the_end() {
    run(async |dir| {
        let path = dir.file("log", "one ");
        let mut log = OpenOptions::new().append(true).read(true).open(&path).await?;
        let mut buf = [0; 2];
        log.read(&mut buf).await?;
        log.write_all(b"two ").await?;
        assert_eq!(log.stream_position().await?, 8);
        std::fs::OpenOptions::new().append(true).open(&path)?.write_all(b"three ")?;
        log.rewind().await?;
        log.write_all(b"four").await?;
        assert_eq!(log.stream_position().await?, 18);
        assert_eq!(std::fs::read(&path)?, b"one two three four");
        // Also of a file that was made elsewhere.
        let plain = std::fs::OpenOptions::new().append(true).open(&path)?;
        File::from_std(plain).write_all(b" five").await?;
        assert_eq!(std::fs::read(&path)?, b"one two three four five");
        Ok(())
    });
}

/// O3: calls with an offset leave the position alone, and several tasks make them at once.
#[test]
fn calls_with_an_offset_take_no_part_in_the_position() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        file.write_all(b"0123456789").await?;
        let mut buf = [0; 3];
        assert_eq!(file.read_at(&mut buf, 8).await?, 2);
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(&mut buf, 10).await?, 0);
        assert_eq!(file.write_at(b"ab", 2).await?, 2);
        assert_eq!(file.write_at(b"", 2).await?, 0);
        assert_eq!(file.stream_position().await?, 10);
        let file = std::rc::Rc::new(file);
        let tasks: Vec<_> = (0..10)
            .map(|at| {
                let file = file.clone();
                spawn(async move {
                    let mut byte = [0];
                    file.read_at(&mut byte, at).await?;
                    Ok::<_, io::Error>(byte[0])
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await?);
        }
        assert_eq!(all, b"01ab456789");
        Ok(())
    });
}

/// O3: the length and the permissions of a file can be set and read.
#[test]
fn a_file_has_a_length_and_permissions() {
    run(async |dir| {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .mode(0o600)
            .truncate(true)
            .open(dir.of("file"))
            .await?;
        file.write_all(b"0123456789").await?;
        file.set_len(4).await?;
        assert_eq!(file.stream_position().await?, 10);
        file.rewind().await?;
        assert_eq!(rest(&mut file).await?, b"0123");
        file.set_len(6).await?;
        file.sync_all().await?;
        file.sync_data().await?;
        let metadata = file.metadata().await?;
        assert_eq!((metadata.len(), metadata.is_file()), (6, true));
        let mut permissions = metadata.permissions();
        assert!(!permissions.readonly());
        permissions.set_readonly(true);
        file.set_permissions(permissions).await?;
        assert!(fs::metadata(dir.of("file")).await?.permissions().readonly());
        Ok(())
    });
}

/// O3: a plain file becomes one with its position, and back. A duplicate has a position of its own.
#[test]
fn a_plain_file_becomes_one_and_back() {
    run(async |dir| {
        let mut plain = std::fs::File::open(dir.file("file", "0123456789"))?;
        plain.read_exact(&mut [0; 2])?;
        let mut file = File::from_std(plain);
        assert_eq!(file.stream_position().await?, 2);
        file.read(&mut [0; 3]).await?;
        let mut other = file.try_clone().await?;
        assert_eq!(rest(&mut other).await?, b"56789");
        let mut plain = file.into_std().await?;
        assert_eq!(plain.stream_position()?, 5);
        plain.read_exact(&mut [0; 1])?;
        assert_eq!(plain.stream_position()?, 6);
        Ok(())
    });
}

/// O3: one call reads and writes at most 2 MiB, and `write_all` makes as many as are needed. Bytes
/// far behind the end of what 32 bits can count are read and written.
#[test]
fn a_large_file_is_written_and_read_in_parts() {
    run(async |dir| {
        const MIB: usize = 1 << 20;
        let bytes: Vec<u8> = (0..5 * MIB).map(|at| (at / 4099) as u8).collect();
        let mut file = File::create_new(dir.of("file")).await?;
        assert_eq!(file.write(&bytes).await?, 2 * MIB);
        file.write_all(&bytes[2 * MIB..]).await?;
        file.rewind().await?;
        let (mut all, mut buf) = (Vec::<u8>::new(), vec![0; 3 * MIB]);
        while all.len() < bytes.len() {
            let n = file.read(&mut buf).await?;
            assert!(0 < n && n <= 2 * MIB, "{n}");
            all.extend(&buf[..n]);
        }
        assert!(all == bytes);
        let far = 5 << 32;
        file.seek(SeekFrom::Start(far)).await?;
        file.write_all(b"far").await?;
        assert_eq!(file.metadata().await?.len(), far + 3);
        file.seek(SeekFrom::Start(far + 1)).await?;
        assert_eq!(rest(&mut file).await?, b"ar");
        Ok(())
    });
}

/// O3, N1: a call with an empty buffer does nothing, and its 0 is not the end of the file.
#[test]
fn an_empty_buffer_reads_and_writes_nothing() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        file.write_all(b"").await?;
        assert_eq!(file.write(b"").await?, 0);
        file.write_all(b"x").await?;
        file.rewind().await?;
        assert_eq!(file.read(&mut []).await?, 0);
        assert_eq!(rest(&mut file).await?, b"x");
        Ok(())
    });
}

/// O3, K2: a loop of reads that are ready at once lets other tasks run.
#[test]
fn a_loop_of_reads_lets_other_tasks_run() {
    run(async |dir| {
        let mut file = File::open(dir.file("file", "x")).await?;
        let other = spawn(async { Ok::<_, kernel::TaskCancelled>(()) });
        while !other.is_done() {
            file.read(&mut []).await?;
        }
        Ok(())
    });
}

/// O3: the system's files that have no length of their own are read to their end, and a pipe has
/// no position.
#[test]
fn files_of_the_system_are_read() {
    run(async |dir| {
        let mut status = File::open("/proc/self/status").await?;
        assert!(rest(&mut status).await?.starts_with(b"Name:"));
        let mut zero = File::open("/dev/zero").await?;
        let mut buf = [1; 8];
        assert_eq!(zero.read(&mut buf).await?, 8);
        assert_eq!(buf, [0; 8]);
        let pipe = OpenOptions::new().read(true).write(true).open(dir.fifo("pipe"));
        let mut pipe = pipe.await?;
        let error = pipe.seek(SeekFrom::Start(0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable, "{error}");
        pipe.write_all(b"bytes").await?;
        let mut buf = [0; 8];
        assert_eq!(pipe.read(&mut buf).await?, 5);
        assert_eq!(&buf[..5], b"bytes");
        Ok(())
    });
}

/// O3, I1: through the traits a write is done when a thread has it. The next call, a flush or the
/// drop of the file finishes it.
#[test]
fn writes_through_the_traits_are_finished_by_the_next_call() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        AsyncWriteExt::write_all(&mut file, b"0123456789").await?;
        assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Start(2)).await?, 2);
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut file, &mut all).await?;
        assert_eq!(all, b"23456789");
        AsyncWriteExt::write_all(&mut file, b"a").await?;
        AsyncWriteExt::flush(&mut file).await?;
        assert_eq!(std::fs::read(&path)?, b"0123456789a");
        AsyncWriteExt::write_all(&mut file, b"b").await?;
        AsyncWriteExt::close(&mut file).await?;
        assert_eq!(std::fs::read(&path)?, b"0123456789ab");
        AsyncWriteExt::write_all(&mut file, b"c").await?;
        assert_eq!(file.stream_position().await?, 13);
        AsyncWriteExt::write_all(&mut file, b"d").await?;
        let mut plain = file.into_std().await?;
        assert_eq!(plain.stream_position()?, 14);
        assert_eq!(std::fs::read(&path)?, b"0123456789abcd");
        Ok(())
    });
}

/// O3, C12: under another executor a file is read and written as in a kernel.
#[test]
fn a_file_works_under_another_executor() {
    let dir = TempDir::new();
    let plain = std::fs::File::create_new(dir.of("file")).unwrap();
    let mut file = File::from_std(plain);
    futures::executor::block_on(async {
        file.write_all(b"0123456789").await?;
        AsyncWriteExt::write_all(&mut file, b"ab").await?;
        assert_eq!(file.seek(SeekFrom::End(-3)).await?, 9);
        let mut buf = [0; 4];
        file.write_at(b"X", 1).await?;
        assert_eq!(file.read_at(&mut buf, 0).await?, 4);
        Ok::<_, io::Error>(())
    })
    .unwrap();
    drop(file);
    assert_eq!(std::fs::read(dir.of("file")).unwrap(), b"0X23456789ab");
}

/// O3: a read through the traits that is polled with another buffer gives each byte once.
#[test]
fn a_poll_with_a_smaller_buffer_loses_no_byte() {
    run(async |_| {
        // A file of the system is always read by a thread.
        let expected = std::fs::read("/proc/version")?;
        let mut file = File::open("/proc/version").await?;
        let mut large = [0; 64];
        let occupied = Occupied::new().await;
        let begun = poll_fn(|cx| {
            let polled = Pin::new(&mut file).poll_read(cx, &mut large);
            std::task::Poll::Ready(polled.is_ready())
        });
        assert!(!begun.await);
        occupied.release().await;
        let mut all = Vec::<u8>::new();
        let mut small = [0; 5];
        loop {
            match poll_fn(|cx| Pin::new(&mut file).poll_read(cx, &mut small)).await? {
                0 => break,
                n => all.extend(&small[..n]),
            }
        }
        assert_eq!(all, expected);
        Ok(())
    });
}

/// O3: a file moves to the kernel of another thread, also while a write that was begun has no
/// thread yet, and while a read of a pipe is under way.
#[test]
fn a_file_moves_to_another_kernel() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        let mut pipe = OpenOptions::new().read(true).write(true).open(dir.fifo("pipe")).await?;
        let mut other = pipe.try_clone().await?;
        assert!(pipe.read(&mut [0; 4]).now_or_never().is_none());
        let occupied = Occupied::new().await;
        AsyncWriteExt::write_all(&mut file, b"0123").await?;
        assert!(file.flush().now_or_never().is_none());
        let elsewhere = std::thread::spawn(move || {
            kernel::run(async || {
                file.write_all(b"45").await?;
                let mut buf = [0; 8];
                let n = pipe.read(&mut buf).await?;
                io::Result::Ok((buf[..n].to_vec(), file.stream_position().await?))
            })
        });
        occupied.release().await;
        other.write_all(b"bytes").await?;
        let (read, position) = elsewhere.join().unwrap()?;
        assert_eq!((read, position), (b"byte".to_vec(), 6));
        assert_eq!(std::fs::read(&path)?, b"012345");
        Ok(())
    });
}

/// O3: a read through the traits that was begun is forgotten by a seek.
#[test]
fn a_seek_forgets_a_read_that_was_begun() {
    run(async |dir| {
        let mut file = File::open(dir.file("file", "0123")).await?;
        assert_eq!(file.read(&mut [0; 8]).await?, 4);
        // The end of the file is left to a thread.
        let occupied = Occupied::new().await;
        let mut buf = [0; 8];
        assert!(AsyncReadExt::read(&mut file, &mut buf).now_or_never().is_none());
        file.rewind().await?;
        occupied.release().await;
        assert_eq!(AsyncReadExt::read(&mut file, &mut buf).await?, 4);
        assert_eq!(&buf[..4], b"0123");
        Ok(())
    });
}
