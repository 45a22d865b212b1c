//! The standard input: a pipe, a terminal, a file and `/dev/null`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use curium::io::{AsyncBufRead, BufReadExt, ReadExt, stdin};
use curium::kernel::testing;
use curium::kernel::{Kernel, cancelled, ignore_after, spawn, yield_now};
use futures::future::poll_fn;
use rustix::fs::{OFlags, fcntl_getfl};

use crate::support::children;
use crate::typist::{Input, Typist, next};

const SECOND: Duration = Duration::from_secs(1);

fn inputs() -> [Input; 2] {
    [Input::Pipe, Input::Terminal]
}

fn is_blocking() -> bool {
    !fcntl_getfl(io::stdin()).unwrap().contains(OFlags::NONBLOCK)
}

/// I5: reads that are cancelled take nothing: what was typed before and later goes to the next
/// read, of the same handle or of another one. At the end there is none.
#[test]
fn cancelled_reads_of_the_input_lose_no_byte() {
    if children::role().is_none() {
        for input in inputs() {
            let mut typist = Typist::start(children::this_test!(), children::ALONE, input);
            typist.next();
            typist.types("ty");
            typist.next();
            typist.types("ped grün\nsecond\nthird\n");
            typist.next();
            typist.types("\u{4}"); // ends the input at a terminal
            typist.closes();
            typist.ends();
        }
        return;
    }
    testing::run(async || {
        let mut line = String::new();
        let mut input = stdin();
        assert!(ignore_after(SECOND, input.read_line(&mut line)).await?.is_none());
        next();
        assert!(ignore_after(SECOND, input.read_line(&mut line)).await?.is_none());
        drop(input);
        next();
        let mut other = stdin();
        assert_eq!(other.read_line(&mut line).await?, 12);
        assert_eq!(line, "typed grün\n");
        drop(other);
        let mut lines = stdin().lines();
        assert_eq!(lines.next().await?.as_deref(), Some("second"));
        assert_eq!(lines.next().await?.as_deref(), Some("third"));
        let waiting = spawn(async move {
            let error = lines.next().await.unwrap_err();
            assert!(cancelled(&error).is_some());
            next();
            let end = lines.next().await?.filter(|line| line != "\u{4}");
            Ok::<_, io::Error>((end, lines.next().await?))
        });
        testing::settle().await?;
        assert_eq!(waiting.state().to_string(), "READ");
        waiting.request_cancel();
        assert_eq!(waiting.await?, (None, None));
        assert!(is_blocking());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I5: a file is read at once, to its end, and so is `/dev/null`. All calls on streams work.
#[test]
fn a_file_and_dev_null_are_read_at_once() {
    let role = children::role();
    if role.is_none() {
        let this = children::this_test!();
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("stdio-input-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntwo;three").unwrap();
        file.write_all(&vec![b'x'; 100_000]).unwrap();
        Typist::start(this, "file", Input::File(File::open(&path).unwrap())).ends();
        Typist::start(this, "null", Input::File(File::open("/dev/null").unwrap())).ends();
        fs::remove_file(path).unwrap();
        return;
    }
    testing::run(async || {
        let mut input = stdin();
        let mut line = String::new();
        if role.as_deref() == Some("null") {
            assert_eq!(input.read_line(&mut line).await?, 0);
            assert_eq!(input.read(&mut [0]).await?, 0);
            return Ok(());
        }
        assert_eq!(input.read_line(&mut line).await?, 4);
        let mut piece = Vec::new();
        assert_eq!(input.read_until(b';', &mut piece).await?, 4);
        let mut word = [0; 5];
        input.read_exact(&mut word).await?;
        assert_eq!((&*line, &*piece, &word), ("one\n", &b"two;"[..], b"three"));
        let buffered = poll_fn(|cx| {
            let input = std::pin::Pin::new(&mut input);
            input.poll_fill_buf(cx).map_ok(<[u8]>::len)
        });
        assert!(buffered.await? > 0);
        let mut rest = Vec::new();
        assert_eq!(BufReadExt::read_until(&mut input, b'\n', &mut rest).await?, 100_000);
        assert_eq!(input.read_to_end(&mut rest).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I5, N3: one handle is used at a time. Another one is refused while it waits, or holds what it
/// has read ahead, and the first is unharmed.
#[test]
fn one_handle_of_the_input_is_used_at_a_time() {
    if children::role().is_none() {
        for input in inputs() {
            let mut typist = Typist::start(children::this_test!(), children::ALONE, input);
            typist.next();
            typist.types("one\n");
            typist.next();
            typist.types("two\n");
            typist.ends();
        }
        return;
    }
    testing::run(async || {
        let (mut first, mut second) = (stdin(), stdin());
        let reader = spawn(async move {
            let mut line = String::new();
            first.read_line(&mut line).await?;
            Ok::<_, io::Error>((first, line))
        });
        testing::settle().await?;
        let mut line = String::new();
        let busy = second.read_line(&mut line).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        assert!(busy.to_string().contains("the standard input"), "{busy}");
        next();
        let (mut first, read) = reader.await?;
        assert_eq!(read, "one\n");
        next();
        let mut byte = [0];
        assert_eq!(BufReadExt::read_until(&mut second, b't', &mut Vec::new()).await?, 1);
        assert_eq!(first.read(&mut byte).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(second);
        assert_eq!(first.read_line(&mut line).await?, 3);
        assert_eq!(line, "wo\n");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I5, N2: a handle, and what was read ahead, go on in another kernel.
#[test]
fn the_input_goes_on_in_another_kernel() {
    if children::role().is_none() {
        for input in inputs() {
            let mut typist = Typist::start(children::this_test!(), children::ALONE, input);
            typist.next();
            typist.types("one\ntwo\n");
            typist.next();
            typist.types("three\n");
            typist.ends();
        }
        return;
    }
    let mut input = curium::run(async || {
        let mut input = stdin();
        let mut line = String::new();
        // It waits, and the handle stays registered.
        let read = ignore_after(Duration::ZERO, input.read_line(&mut line)).await;
        assert!(read.unwrap().is_none());
        next();
        input.read_line(&mut line).await.unwrap();
        assert_eq!(line, "one\n");
        input
    });
    let lines = std::thread::spawn(move || {
        testing::run(async || {
            let mut line = String::new();
            input.read_line(&mut line).await?;
            next();
            input.read_line(&mut line).await?;
            drop(input);
            Ok::<_, io::Error>(line)
        })
    });
    assert_eq!(lines.join().unwrap().unwrap(), "two\nthree\n");
}

/// I5: a program ends although it waits for its input, without a thread that is left, and with all
/// descriptors given back.
#[test]
fn a_program_ends_while_it_waits_for_its_input() {
    if children::role().is_none() {
        for input in inputs() {
            Typist::start(children::this_test!(), children::ALONE, input).ends();
        }
        return;
    }
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let before = [count("fd"), count("task")];
    let ended = Kernel::builder().virtual_clock().run(async || {
        let waiting = spawn(async { stdin().lines().next().await });
        testing::settle().await.unwrap();
        assert_eq!(waiting.state().to_string(), "READ");
        assert!(is_blocking());
        assert_eq!(count("task"), before[1]);
        waiting
    });
    assert!(ended.is_done());
    assert_eq!([count("fd"), count("task")], before);
}

/// I5, K2: reads of a file that is always ready count against the budget.
#[test]
fn reads_of_a_file_hold_up_no_task() {
    if children::role().is_none() {
        let zeros = Input::File(File::open("/dev/zero").unwrap());
        Typist::start(children::this_test!(), children::ALONE, zeros).ends();
        return;
    }
    testing::run(async || {
        let reader = spawn(async {
            let mut input = stdin();
            let ended = loop {
                if let Err(error) = input.read_exact(&mut [1; 10_000]).await {
                    break error;
                }
            };
            Err::<(), _>(ended)
        });
        yield_now().await?;
        reader.cancel().await
    })
    .unwrap();
}

/// I5, N3: a call of the traits for streams that has ended, by a cancellation or as the loser of a
/// race, keeps no other handle out.
#[test]
fn a_call_that_was_given_up_keeps_no_other_handle_out() {
    if children::role().is_none() {
        for input in inputs() {
            let mut typist = Typist::start(children::this_test!(), children::ALONE, input);
            typist.next();
            typist.types("one\n");
            typist.ends();
        }
        return;
    }
    testing::run(async || {
        let (mut first, mut second) = (stdin(), stdin());
        let mut byte = [0];
        assert!(ignore_after(SECOND, first.read(&mut byte)).await?.is_none());
        assert!(ignore_after(SECOND, second.read_until(b'n', &mut Vec::new())).await?.is_none());
        let loser = Box::pin(first.read(&mut byte));
        drop(futures::future::select(loser, std::future::ready(())).await);
        next();
        // What the second one has read ahead keeps the first one out.
        assert_eq!(second.read_until(b'n', &mut Vec::new()).await?, 2);
        let busy = first.read(&mut byte).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
