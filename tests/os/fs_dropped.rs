//! Files that are dropped during a write: it is finished, and its error is reported.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use curium::fs::{File, OpenOptions};
use curium::kernel::{self, Kernel, Report, spawn, testing, yield_now};
use futures::FutureExt;
use futures::io::AsyncWriteExt;

use super::fs_files::run;
use crate::support::children;
use crate::support::dirs::TempDir;
use crate::support::pool::{Occupied, hold_up};
use crate::support::process::is_open;
use crate::support::reports;

/// O3: a write that was begun through the traits is finished when the file is dropped.
#[test]
fn a_dropped_file_finishes_its_write() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        let occupied = Occupied::new().await;
        AsyncWriteExt::write_all(&mut file, b"0123").await?;
        drop(file);
        assert_eq!(std::fs::read(&path)?, b"");
        let waits = kernel::tasks();
        let waits = waits.iter().find(|task| task.name.contains("the last write to")).unwrap();
        assert!(waits.name.contains("/file"), "{waits}");
        occupied.release().await;
        while kernel::tasks().iter().any(|task| task.name.contains("the last write to")) {
            yield_now().await?;
        }
        assert_eq!(std::fs::read(&path)?, b"0123");
        Ok(())
    });
}

/// O3: the same for a write whose call is dropped, as that of the loser of a `select!`, and for one
/// whose task is aborted.
#[test]
fn a_dropped_call_finishes_its_write() {
    run(async |dir| {
        let path = dir.of("file");
        let mut file = File::create_new(&path).await?;
        let occupied = Occupied::new().await;
        assert!(file.write_all(b"0123").now_or_never().is_none());
        let task = spawn(async move {
            let mut file = file;
            file.flush().await?;
            file.write_all(b"45").await?;
            io::Result::Ok(())
        });
        occupied.release().await;
        while std::fs::read(&path)?.len() < 4 {
            yield_now().await?;
        }
        let occupied = Occupied::new().await;
        task.abort();
        occupied.release().await;
        assert!(std::fs::read(&path)?.starts_with(b"0123"));
        Ok(())
    });
}

/// O3, K5: the shutdown of the kernel waits for the write of a file that was dropped.
#[test]
fn a_shutdown_waits_for_a_write_that_was_begun() {
    let dir = TempDir::new();
    let path = dir.of("file");
    let opens = testing::run(async || -> io::Result<_> {
        let mut file = File::create_new(&path).await?;
        let occupied = Occupied::new().await;
        AsyncWriteExt::write_all(&mut file, b"0123").await?;
        // The jobs at the gate hold up no shutdown.
        let gate = occupied.leave();
        Ok(thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            gate.open();
        }))
    });
    assert_eq!(std::fs::read(&path).unwrap(), b"0123");
    opens.unwrap().join().unwrap();
}

/// O3: a kernel that is dropped leaves the write to its thread.
#[test]
fn a_dropped_kernel_leaves_the_write_to_its_thread() {
    let dir = TempDir::new();
    let path = dir.of("file");
    let kernel = Kernel::new().unwrap();
    let gate = kernel.run(async || {
        let mut file = File::create_new(&path).await.unwrap();
        // These jobs stay in the queue when the kernel goes, as the write does.
        let gate = hold_up();
        AsyncWriteExt::write_all(&mut file, b"0123").await.unwrap();
        spawn(async move {
            file.flush().await?;
            file.write_all(b"45").await?;
            io::Result::Ok(())
        });
        yield_now().await.unwrap();
        gate
    });
    drop(kernel);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    gate.open();
    while is_open(&path) {
        thread::yield_now();
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"0123");
}

/// O3, K6: the error of such a write is reported as that of a task that was not joined, with the
/// path.
#[test]
fn the_error_of_a_write_of_a_dropped_file_is_reported() {
    let (result, texts) = reports::texts(async || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open("/dev/full").await?;
        AsyncWriteExt::write_all(&mut file, b"0123").await
    });
    result.unwrap();
    let [text] = texts.as_slice() else { panic!("{texts:?}") };
    assert!(text.contains("the last write to /dev/full failed and no task joined it"), "{text}");
    assert!(text.contains("cannot write /dev/full: No space left on device"), "{text}");
}

/// O3: an error that a call has returned is not reported again, and a file without an open write
/// leaves no task.
#[test]
fn a_file_whose_calls_have_returned_leaves_nothing() {
    let (result, texts) = reports::texts(async || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open("/dev/full").await?;
        AsyncWriteExt::write_all(&mut file, b"0123").await?;
        file.flush().await.unwrap_err();
        file.write(b"0123").await.unwrap_err();
        drop(file);
        assert_eq!(kernel::tasks().len(), 1);
        Ok(())
    });
    result.unwrap();
    assert!(texts.is_empty(), "{texts:?}");
}

/// O3, C10: a grace for the shutdown ends the wait for a write that is stuck.
#[test]
fn a_grace_ends_the_wait_for_a_stuck_write() {
    let dir = TempDir::new();
    let path = dir.fifo("pipe");
    let aborted = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = aborted.clone();
    let builder = Kernel::builder().shutdown_grace(Duration::from_millis(10));
    let builder = builder.on_report(move |report| match report {
        Report::OutOfGrace(task) => {
            assert!(task.to_string().contains("FILE_WRITE"), "{task}");
            counter.set(counter.get() + 1);
        }
        // Its thread runs on.
        Report::Abandoned([thread]) => assert_eq!(thread.name, "a write to a file"),
        other => panic!("not expected: {other}"),
    });
    let kernel = builder.build().unwrap();
    let reader = kernel.run(async || -> io::Result<_> {
        let mut file = OpenOptions::new().read(true).write(true).open(&path).await?;
        let reader = std::fs::File::open(&path)?;
        // More than a pipe holds.
        AsyncWriteExt::write_all(&mut file, &vec![0; 1 << 20]).await?;
        drop(file);
        Ok(reader)
    });
    kernel.shutdown();
    assert_eq!(aborted.get(), 1);
    // Lets the thread go on.
    io::copy(&mut reader.unwrap(), &mut io::sink()).unwrap();
}

/// O3: outside a kernel the write of a dropped file is finished, too, and its error is written to
/// standard error.
#[test]
fn outside_a_kernel_an_error_is_written_to_standard_error() {
    let name = children::this_test!();
    if children::role().is_some() {
        let plain = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut file = File::from_std(plain);
        futures::executor::block_on(async {
            AsyncWriteExt::write_all(&mut file, b"0123").await.unwrap();
        });
        drop(file);
        // The thread of the pool reports the error before it closes the file.
        while is_open(Path::new("/dev/full")) {
            thread::yield_now();
        }
        return;
    }
    let text = children::run(name, children::ALONE);
    assert!(text.contains("a file was dropped, and this error with it: cannot write"), "{text}");
}
