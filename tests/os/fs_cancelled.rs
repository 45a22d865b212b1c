//! Calls on files that are cancelled: what they have done, and what the next call finds.

use std::ffi::OsString;
use std::fs::OpenOptions as Plain;
use std::io::{self, ErrorKind, SeekFrom, Write};
use std::rc::Rc;

use curium::fs::{self, File, OpenOptions, WriteAllError};
use curium::kernel::{self, TaskCancelled, cancelled, check_cancellation, spawn, yield_now};

use super::fs_files::{rest, run};
use crate::support::limits::within;
use crate::support::pool::Occupied;
use crate::support::process::is_open;

/// Runs `call` in a task that is cancelled when it is parked. Returns what it gave, and whether the
/// cancellation is still pending then.
pub(crate) async fn cancel<T: 'static>(call: impl Future<Output = T> + 'static) -> (T, bool) {
    let task = spawn(async {
        let result = call.await;
        Ok::<_, TaskCancelled>((result, check_cancellation().is_some()))
    });
    while task.state() == kernel::TaskState::Ready {
        yield_now().await.unwrap();
    }
    task.cancel().await.unwrap();
    task.join().await.unwrap().unwrap()
}

pub(crate) fn is_cancelled<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| cancelled(error).is_some())
}

/// O3, C1: a cancelled read moves no position, whether a thread has read the bytes or not.
#[test]
fn a_cancelled_read_moves_no_position() {
    run(async |_| {
        // A file of the system is always read by a thread.
        let expected = std::fs::read("/proc/version")?;
        let mut file = File::open("/proc/version").await?;
        file.read(&mut [0; 5]).await?;
        let occupied = Occupied::new().await;
        let (mut file, read) = cancel_read(file).await;
        assert!(is_cancelled(&read), "{read:?}");
        assert_eq!(file.stream_position().await?, 5);
        occupied.release().await;
        assert_eq!(file.stream_position().await?, 5);
        assert_eq!(rest(&mut file).await?, expected[5..]);
        Ok(())
    });
}

async fn cancel_read(mut file: File) -> (File, io::Result<usize>) {
    let (ended, pending) = cancel(async move {
        let read = file.read(&mut [0; 64]).await;
        (file, read)
    })
    .await;
    assert!(!pending);
    ended
}

/// O3: a read of a pipe that is cancelled returns at once, although its thread is stuck. The bytes
/// that the thread takes later come out of the next reads, also if these are smaller.
#[test]
fn a_cancelled_read_of_a_pipe_returns_at_once_and_loses_nothing() {
    run(async |dir| {
        let path = dir.fifo("pipe");
        let file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let (file, read) = cancel_read(file).await;
        assert!(is_cancelled(&read), "{read:?}");
        // Twice, so that no second thread is stuck.
        let (mut file, read) = cancel_read(file).await;
        assert!(is_cancelled(&read), "{read:?}");
        // Writing does not wait for the read.
        file.write_all(b"0123456789").await?;
        let mut all = Vec::<u8>::new();
        while all.len() < 10 {
            let mut buf = [0; 4];
            let n = file.read(&mut buf).await?;
            all.extend(&buf[..n]);
        }
        assert_eq!(all, b"0123456789");
        Ok(())
    });
}

/// O3: a plain file is not given back while a cancelled read may hold bytes that were not returned.
#[test]
fn a_plain_file_is_not_given_back_before_its_bytes_are_read() {
    run(async |dir| {
        let path = dir.fifo("pipe");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let mut other = file.try_clone().await?;
        let (file, read) = cancel_read(file).await;
        assert!(is_cancelled(&read), "{read:?}");
        let refused = file.into_std().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        assert!(refused.to_string().contains("read them first"), "{refused}");
        other.write_all(b"x").await?;
        drop(other.into_std().await?);
        Ok(())
    });
}

/// O3, C1: a write that was begun when its task is cancelled is finished. The call returns the
/// number of bytes, and the cancellation stays pending.
#[test]
fn a_begun_write_is_finished_and_the_cancellation_stays_pending() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        file.write_all(b"0123").await?;
        let occupied = Occupied::new().await;
        let ((file, wrote), pending) = cancel(async move {
            let wrote = file.write(b"4567").await;
            (file, wrote)
        })
        .await;
        assert_eq!(wrote?, 4);
        assert!(pending);
        assert_eq!(std::fs::read(&path)?, b"0123");
        let next = spawn(position(file));
        occupied.release().await;
        assert_eq!(next.await?, 8);
        assert_eq!(std::fs::read(&path)?, b"01234567");
        Ok(())
    });
}

async fn position(mut file: File) -> io::Result<u64> {
    file.stream_position().await
}

/// O3, C1: a write of a task that is already cancelled has written nothing when it says so.
#[test]
fn a_write_that_returns_the_cancellation_has_written_nothing() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        file.write_all(b"0123").await?;
        let task = spawn(async move {
            let first = file.write(b"4567").await;
            let second = file.write(b"89").await;
            let at = file.write_at(b"ab", 0).await;
            Ok::<_, TaskCancelled>((first, second, at))
        });
        task.request_cancel();
        let (first, second, at) = task.await?;
        assert!(is_cancelled(&first), "{first:?}");
        assert_eq!((second?, at?), (2, 2));
        assert_eq!(std::fs::read(&path)?, b"ab2389");
        Ok(())
    });
}

/// O3: `write_all` that is cancelled says how many bytes are written; a part that was begun counts.
#[test]
fn a_cancelled_write_all_says_how_much_is_written() {
    const PART: usize = 2 << 20;
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        let occupied = Occupied::new().await;
        let ((mut file, wrote), pending) = cancel(async move {
            let wrote = file.write_all(&vec![1; PART + 1]).await;
            (file, wrote)
        })
        .await;
        let WriteAllError { written, len, source, .. } = wrote.unwrap_err();
        assert_eq!((written, len, pending), (PART, PART + 1, false));
        assert!(cancelled(&source).is_some(), "{source}");
        occupied.release().await;
        file.flush().await?;
        assert_eq!(file.metadata().await?.len(), PART as u64);
        Ok(())
    });
}

/// O3: a cancelled seek moves no position, and a cancelled wait for a write leaves it to the next.
#[test]
fn a_cancelled_seek_moves_no_position() {
    run(async |dir| {
        let mut file = File::create_new(dir.of("file")).await?;
        file.write_all(b"0123").await?;
        let occupied = Occupied::new().await;
        let ((file, sought), _) = cancel(async move {
            let sought = file.seek(SeekFrom::End(-1)).await;
            (file, sought)
        })
        .await;
        assert!(is_cancelled(&sought), "{sought:?}");
        let ((file, wrote), _) = cancel(async move {
            let mut file = file;
            let wrote = file.write(b"45").await;
            (file, wrote)
        })
        .await;
        assert_eq!(wrote?, 2);
        let ((mut file, sought), _) = cancel(async move {
            let mut file = file;
            let sought = file.seek(SeekFrom::Start(1)).await;
            (file, sought)
        })
        .await;
        assert!(is_cancelled(&sought), "{sought:?}");
        occupied.release().await;
        assert_eq!(file.stream_position().await?, 6);
        Ok(())
    });
}

/// O3: the error of a write that was begun and given up comes out of the next call, and once.
#[test]
fn the_error_of_a_begun_write_comes_out_of_the_next_call() {
    run(async |_| {
        let file = OpenOptions::new().read(true).write(true).open("/dev/full").await?;
        let occupied = Occupied::new().await;
        let ((mut file, wrote), _) = cancel(async move {
            let mut file = file;
            let wrote = file.write(b"0123").await;
            (file, wrote)
        })
        .await;
        assert_eq!(wrote?, 4);
        occupied.release().await;
        let error = file.flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("cannot write /dev/full: "), "{error}");
        file.flush().await?;
        file.read(&mut [0; 4]).await?;
        Ok(())
    });
}

/// O3: the same for a write at an offset, whose file other tasks use meanwhile.
#[test]
fn the_error_of_a_begun_write_at_an_offset_comes_out_of_the_next_call() {
    run(async |_| {
        let file = Rc::new(OpenOptions::new().write(true).open("/dev/full").await?);
        let occupied = Occupied::new().await;
        let theirs = file.clone();
        let (wrote, pending) = cancel(async move { theirs.write_at(b"0123", 0).await }).await;
        assert_eq!((wrote?, pending), (4, true));
        occupied.release().await;
        let mut file = Rc::into_inner(file).unwrap();
        let error = file.flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        Ok(())
    });
}

/// O3: opening a pipe that has no other end returns at once when it is cancelled. A file that is
/// opened all the same is closed.
#[test]
fn a_cancelled_open_returns_at_once_and_closes_the_file() {
    run(async |dir| {
        let path = dir.fifo("pipe");
        let theirs = path.clone();
        let (opened, _) = cancel(async move { File::open(&theirs).await }).await;
        assert!(is_cancelled(&opened), "{opened:?}");
        // This lets the thread go on, if it was stuck. A write fails when no reader is left.
        let both = Plain::new().read(true).write(true).open(&path)?;
        let mut other = Plain::new().write(true).open(&path)?;
        drop(both);
        while other.write(b"x").is_ok() {
            std::thread::yield_now();
        }
        Ok(())
    });
}

/// O3: a whole file that is being read or written is given up at once. A write that still waits for
/// a thread is not begun.
#[test]
fn the_functions_return_at_once_when_they_are_cancelled() {
    run(async |dir| {
        let (file, pipe) = (dir.file("file", "old"), dir.fifo("pipe"));
        let theirs = pipe.clone();
        let (read, _) = cancel(async move { fs::read(&theirs).await }).await;
        assert!(is_cancelled(&read), "{read:?}");
        // This lets the thread go on, if it was stuck.
        drop(Plain::new().read(true).write(true).open(&pipe)?);
        let occupied = Occupied::new().await;
        let theirs = file.clone();
        let (wrote, _) = cancel(async move { fs::write(&theirs, "new").await }).await;
        assert!(is_cancelled(&wrote), "{wrote:?}");
        occupied.release().await;
        assert_eq!(fs::read(&file).await?, b"old");
        Ok(())
    });
}

/// O3: a cancelled `next` of a directory loses no entry.
#[test]
fn a_cancelled_next_loses_no_entry() {
    run(async |dir| {
        let names: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        names.iter().for_each(|name| drop(dir.file(name, "")));
        let mut entries = fs::read_dir(dir.path()).await?;
        let mut found = Vec::new();
        for _ in 0..256 {
            found.push(entries.next().await?.unwrap().file_name());
        }
        let occupied = Occupied::new().await;
        let ((mut entries, next), _) = cancel(async move {
            let mut entries = entries;
            let next = entries.next().await;
            (entries, next)
        })
        .await;
        assert!(is_cancelled(&next), "{next:?}");
        occupied.release().await;
        while let Some(entry) = entries.next().await? {
            found.push(entry.file_name());
        }
        assert!(entries.next().await?.is_none());
        found.sort();
        let mut expected: Vec<OsString> = names.into_iter().map(OsString::from).collect();
        expected.sort();
        assert_eq!(found, expected);
        Ok(())
    });
}

/// O3, K8: the virtual clock waits for a call on a file, and not for one that was given up.
#[test]
fn the_virtual_clock_waits_for_a_call_that_is_waited_for() {
    run(async |dir| {
        let path = dir.fifo("pipe");
        let file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let (mut file, read) = cancel_read(file).await;
        assert!(is_cancelled(&read), "{read:?}");
        let hour = std::time::Duration::from_secs(3600);
        kernel::sleep(hour).await?;
        let late = spawn(kernel::sleep(hour));
        let writes = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Plain::new().write(true).open(&path)?.write_all(b"x")
        });
        let mut buf = [0; 4];
        assert_eq!(file.read(&mut buf).await?, 1);
        assert!(!late.is_done());
        writes.join().unwrap()?;
        Ok(())
    });
}

/// O3: a copy of a large file stops when it is cancelled, and closes both files.
#[test]
fn a_cancelled_copy_stops() {
    run(async |dir| {
        // It would take minutes.
        let path = dir.of("large");
        std::fs::File::create(&path)?.set_len(1 << 40)?;
        let from = path.clone();
        let task = spawn(async move { fs::copy(&from, "/dev/null").await });
        while !is_open(&path) {
            yield_now().await?;
        }
        task.cancel().await?;
        let error = task.join().await?.unwrap_err().to_string();
        assert!(error.contains("cancelled"), "{error}");
        within(move || {
            while is_open(&path) {
                std::thread::yield_now();
            }
        });
        Ok(())
    });
}
