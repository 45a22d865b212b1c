//! The standard output, and the one for errors.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;
use std::time::Duration;

use curium::io::{BufWriter, WriteExt, stderr, stdout};
use curium::kernel::testing;
use curium::kernel::{cancelled, ignore_after, sleep, spawn};
use rustix::fs::{OFlags, fcntl_getfl};

use crate::support::children;
use crate::typist::{Input, Typist, next};

/// More than a pipe holds.
const MUCH: usize = 1 << 20;

/// How many of these bytes there are.
fn count(bytes: &[u8], byte: u8) -> usize {
    bytes.iter().filter(|other| **other == byte).count()
}

/// I5, N3: while a pipe is full, the writer waits and the other tasks go on; a second writer is
/// refused. A cancelled write_all says how much it has written, and the reader gets so much.
#[test]
fn a_full_pipe_holds_up_the_writer_alone() {
    if children::role().is_none() {
        let mut typist = Typist::start(children::this_test!(), children::ALONE, Input::Pipe);
        typist.next();
        let mut all = vec![0; MUCH];
        typist.output.read_exact(&mut all).unwrap();
        typist.next();
        all.extend(typist.ends());
        let text = String::from_utf8_lossy(&all);
        let written = text.split("written: ").nth(1).unwrap().split(';').next().unwrap();
        assert_eq!(count(&all, 1), MUCH + written.parse::<usize>().unwrap());
        return;
    }
    let written: io::Result<usize> = testing::run(async || {
        let ticks = Rc::new(Cell::new(0));
        let ticking = ticks.clone();
        let ticker = spawn(async move {
            while sleep(Duration::from_millis(1)).await.is_ok() {
                ticking.set(ticking.get() + 1);
            }
        });
        let first_is_written = Rc::new(Cell::new(false));
        let says = first_is_written.clone();
        let writer = spawn(async move {
            let mut out = stdout();
            out.write_all(&vec![1; MUCH]).await?;
            says.set(true);
            let error = out.write_all(&vec![1; MUCH]).await.unwrap_err();
            assert!(cancelled(&error).is_some());
            // The call has ended, so another handle may wait.
            let mut other = stdout();
            let more = ignore_after(Duration::from_millis(1), other.write(b"x")).await?;
            assert!(more.is_none());
            drop(out);
            Ok::<_, io::Error>(error.written)
        });
        sleep(Duration::from_millis(5)).await?;
        assert_eq!(writer.state().to_string(), "WRITE");
        assert!(ticks.get() >= 4);
        assert!(!fcntl_getfl(io::stdout()).unwrap().contains(OFlags::NONBLOCK));
        assert_eq!(stdout().write(b"x").await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        next();
        ticker.cancel().await?;
        while !first_is_written.get() {
            testing::advance(Duration::from_millis(20)).await?;
        }
        // The test reads no more, so the second part does not fit.
        writer.cancel().await?;
        next();
        writer.await
    });
    println!("written: {};", written.unwrap());
}

/// I5: what is written arrives in order, also through a buffer. To close the output does nothing to
/// it.
#[test]
fn what_is_written_to_the_output_arrives_in_order() {
    if children::role().is_none() {
        let written = Typist::start(children::this_test!(), children::ALONE, Input::Pipe).ends();
        let text = String::from_utf8_lossy(&written);
        assert!(text.contains("one\ntwo\nthree\n"), "{text}");
        return;
    }
    testing::run(async || {
        let mut out = BufWriter::new(stdout());
        out.write_all(b"one\n").await?;
        out.write_all(b"two\n").await?;
        out.close().await?;
        assert_eq!(stdout().write(b"").await?, 0);
        stdout().write_all(b"three\n").await?;
        stdout().flush().await?;
        stderr().write_all(b"an error\n").await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I5: a reader that is gone, and a full disk, are errors.
#[test]
fn an_output_that_takes_nothing_is_an_error() {
    let role = children::role();
    if role.is_none() {
        let this = children::this_test!();
        let mut typist = Typist::start(this, "gone", Input::Pipe);
        typist.next();
        typist.listens_no_more();
        typist.types("now");
        typist.closes();
        typist.ends();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = children::command(this, "full").stderr(full).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    testing::run(async || {
        if role.as_deref() == Some("full") {
            let full = stderr().write_all(b"x").await.unwrap_err();
            assert_eq!(full.kind(), ErrorKind::StorageFull);
        } else {
            next();
            let mut now = String::new();
            curium::io::ReadExt::read_to_string(&mut curium::io::stdin(), &mut now).await?;
            let gone = stderr().write_all(b"x").await.unwrap_err();
            assert_eq!((gone.kind(), &*now), (ErrorKind::BrokenPipe, "now"));
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
