//! Files as streams: what works on every stream works on them.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::fs::{File, OpenOptions};
use curium::io::{BufReadExt, BufReader, BufWriter, ReadExt, WriteExt};
use curium::kernel::{self, cancelled, spawn, yield_now};
use futures::StreamExt;
use rustix::io::ReadWriteFlags;

use super::fs_cancelled::{cancel, is_cancelled};
use super::fs_files::run;
use crate::support::pool::{Occupied, hold_up};

/// O3, I2: the lines of a file come in order, also where lines are longer than the buffer.
#[test]
fn the_lines_of_a_file_come_in_order() {
    run(async |dir| {
        let expected: Vec<String> =
            (0..200).map(|n| "x".repeat(n * n % 301) + &n.to_string()).collect();
        let path = dir.file("text", expected.join("\n"));
        for capacity in [1, 64, 1 << 16] {
            let file = File::open(&path).await?;
            let mut lines = BufReader::with_capacity(capacity, file).lines();
            let mut found = Vec::new();
            while let Some(line) = lines.next().await? {
                found.push(line);
            }
            assert_eq!(found, expected);
        }
        Ok(())
    });
}

/// O3, I2: a line of a pipe that is cancelled in its middle is complete in the next call.
#[test]
fn a_cancelled_line_of_a_pipe_loses_nothing() {
    run(async |dir| {
        let path = dir.fifo("pipe");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let mut other = file.try_clone().await?;
        let mut lines = BufReader::new(file).lines();
        other.write_all(b"one\ntw").await?;
        let first = Rc::new(Cell::new(false));
        let came = first.clone();
        let task = spawn(async move {
            assert_eq!(lines.next().await?.as_deref(), Some("one"));
            first.set(true);
            let cut = lines.next().await;
            io::Result::Ok((lines, cut))
        });
        while !came.get() || task.state().to_string() != "READ" {
            yield_now().await?;
        }
        task.request_cancel();
        let (mut lines, cut) = task.await?;
        assert!(cancelled(&cut.unwrap_err()).is_some());
        other.write_all(b"o\n").await?;
        assert_eq!(lines.next().await?.as_deref(), Some("two"));
        Ok(())
    });
}

/// O3, I2: bytes go through a buffer to a file and back, and the leaves of `io` find its end.
#[test]
fn bytes_go_through_a_buffer_to_a_file_and_back() {
    run(async |dir| {
        let path = dir.of("file");
        let mut writer = BufWriter::with_capacity(100, File::create(&path).await?);
        let bytes: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
        for part in bytes.chunks(77) {
            writer.write_all(part).await?;
        }
        writer.flush().await?;
        assert_eq!(std::fs::read(&path)?, bytes);
        let mut file = File::open(&path).await?;
        let mut first = [0; 300];
        file.read_exact(&mut first).await?;
        assert_eq!(first, bytes[..300]);
        let mut rest = Vec::new();
        assert_eq!(file.read_to_end(&mut rest).await?, bytes.len() - 300);
        assert_eq!(rest, bytes[300..]);
        let error = file.read_exact(&mut first).await.unwrap_err();
        assert_eq!((error.read, error.kind()), (0, io::ErrorKind::UnexpectedEof));
        Ok(())
    });
}

/// O3, I2: an error behind a write through the traits comes out of the flush.
#[test]
fn an_error_behind_a_write_comes_out_of_the_flush() {
    run(async |_| {
        let mut file = OpenOptions::new().write(true).open("/dev/full").await?;
        WriteExt::write_all(&mut file, b"0123").await?;
        let error = WriteExt::flush(&mut file).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        WriteExt::write_all(&mut file, b"0123").await?;
        let error = WriteExt::close(&mut file).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        Ok(())
    });
}

/// O3: bytes that are in memory are read while no thread is free, if the file system can do that;
/// and if it cannot, when a thread is.
#[test]
fn bytes_in_memory_are_read_without_a_thread() {
    run(async |dir| {
        let path = dir.file("file", vec![7; 200_000]);
        let plain = std::fs::File::open(&path)?;
        let mut buf = [0; 100];
        let mut parts = [io::IoSliceMut::new(&mut buf)];
        let able = rustix::io::preadv2(&plain, &mut parts, 0, ReadWriteFlags::NOWAIT) == Ok(100);
        let mut file = File::open(&path).await?;
        let other = File::open(&path).await?;
        let occupied = Occupied::new().await;
        let reads = spawn(async move {
            let mut buf = vec![0; 150_000];
            // More than one poll may complete (K2).
            for _ in 0..300 {
                file.read(&mut buf[..1]).await?;
            }
            file.rewind().await?;
            let mut sum = other.read_at(&mut buf, 100_000).await?;
            while sum < 150_000 {
                sum += file.read(&mut buf).await?;
            }
            io::Result::Ok((buf, file.stream_position().await?))
        });
        for _ in 0..20 {
            yield_now().await?;
        }
        assert_eq!(reads.is_done(), able);
        occupied.release().await;
        let (buf, position) = reads.await?;
        assert!(buf[..1000].iter().all(|byte| *byte == 7));
        assert!((50_000..=150_000).contains(&position), "{position}");
        Ok(())
    });
}

/// O3: the end of a file is left to a thread, because some systems report it too early.
#[test]
fn the_end_of_a_file_is_left_to_a_thread() {
    run(async |dir| {
        let mut file = File::open(dir.file("file", "0123")).await?;
        assert_eq!(file.read(&mut [0; 8]).await?, 4);
        let occupied = Occupied::new().await;
        let end = spawn(async move { file.read(&mut [0; 8]).await });
        for _ in 0..20 {
            yield_now().await?;
        }
        assert_eq!(end.state().to_string(), "FILE_READ");
        occupied.release().await;
        assert_eq!(end.await?, 0);
        Ok(())
    });
}

/// O3, K8: the virtual clock waits for a read of a leaf, and not for one whose leaf has ended,
/// although the thread is still stuck in it.
#[test]
fn the_virtual_clock_does_not_wait_for_a_read_of_a_stream_that_was_given_up() {
    run(async |dir| {
        let hour = Duration::from_secs(3600);
        let path = dir.fifo("pipe");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let mut other = file.try_clone().await?;
        let (mut file, read) = cancel(async move {
            let read = ReadExt::read(&mut file, &mut [0; 4]).await;
            (file, read)
        })
        .await
        .0;
        assert!(is_cancelled(&read), "{read:?}");
        kernel::sleep(hour).await?;
        // The loser of a race, whose winner is ready in the same poll.
        let mut buf = [0; 4];
        let read = Box::pin(ReadExt::read(&mut file, &mut buf));
        drop(futures::future::select(read, std::future::ready(())).await);
        kernel::sleep(hour).await?;
        // The next one counts again.
        let late = spawn(kernel::sleep(hour));
        let reads = spawn(async move { ReadExt::read(&mut file, &mut [0; 4]).await });
        for _ in 0..200 {
            yield_now().await?;
        }
        assert!(!late.is_done());
        other.write_all(b"x").await?;
        assert_eq!(reads.await?, 1);
        assert!(!late.is_done());
        Ok(())
    });
}

/// O3, K8: the same for the stream of a directory.
#[test]
fn the_virtual_clock_does_not_wait_for_an_entry_that_was_given_up() {
    run(async |dir| {
        (0..300).for_each(|name| drop(dir.file(&name.to_string(), "")));
        let mut entries = curium::fs::read_dir(dir.path()).await?;
        for _ in 0..256 {
            entries.next().await?;
        }
        let gate = hold_up();
        let (mut entries, next) = cancel(async move {
            let next = StreamExt::next(&mut entries).await.unwrap();
            (entries, next)
        })
        .await
        .0;
        assert!(is_cancelled(&next), "{next:?}");
        kernel::sleep(Duration::from_secs(3600)).await?;
        gate.open();
        assert!(entries.next().await?.is_some());
        Ok(())
    });
}

/// O3, K2: a file that is read through the traits alone holds up no other task, although its bytes
/// are in memory.
#[test]
fn reads_of_bytes_in_memory_count_against_the_budget() {
    run(async |dir| {
        let mut file = File::open(dir.file("file", vec![0; 1000])).await?;
        let other = spawn(yield_now());
        for _ in 0..900 {
            assert_eq!(futures::io::AsyncReadExt::read(&mut file, &mut [1]).await?, 1);
        }
        assert!(other.is_done());
        Ok(())
    });
}
