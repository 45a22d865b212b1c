//! Calls on the standard input and output, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;
use std::time::Duration;

use curium::io::{ReadExt, WriteExt, stdin, stdout};
use curium::kernel::testing;
use curium::kernel::{TaskCancelled, TaskEnd, ignore_after, spawn, yield_now};
use rustix::fs::OFlags;
use rustix::io::dup;
use rustix::pipe::{fcntl_setpipe_size, pipe};
use rustix::stdio::dup2_stdout;

use crate::support::children;
use crate::typist::{Input, Typist};

/// What is typed, in pieces.
const PIECES: [&str; 4] = ["one\ntw", "o\n", "gr\u{fc}", "n\nfour\n"];

const SECOND: Duration = Duration::from_secs(1);

/// After so many polls the kernel has looked at its sources twice.
const LOOK: usize = 140;

struct Typed {
    keys: RefCell<File>,
    pieces: Cell<usize>,
    lines: RefCell<Vec<String>>,
    bytes: RefCell<Vec<u8>>,
}

impl Typed {
    /// Types the pieces, each when the subject has had time to wait for it.
    async fn new() -> Rc<Self> {
        // The other end of the pipe that is the input of this process.
        let mut keys = OpenOptions::new().write(true).open("/proc/self/fd/0").unwrap();
        // Of a run without a check something may be left.
        keys.write_all(b"\nbegin\n").unwrap();
        let mut lines = stdin().lines();
        while lines.next().await.unwrap().as_deref() != Some("begin") {}
        let (pieces, lines, bytes) = Default::default();
        let state = Rc::new(Typed { keys: RefCell::new(keys), pieces, lines, bytes });
        let types = state.clone();
        spawn(async move {
            for (at, piece) in PIECES.iter().enumerate() {
                for _ in 0..LOOK {
                    yield_now().await?;
                }
                types.keys.borrow_mut().write_all(piece.as_bytes()).unwrap();
                types.pieces.set(at + 1);
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    async fn read_lines(&self) -> io::Result<()> {
        let mut lines = stdin().lines();
        while self.lines.borrow().len() < 4 {
            let line = lines.next().await?.expect("the other end is open");
            self.lines.borrow_mut().push(line);
        }
        Ok(())
    }

    async fn read_bytes(&self) -> io::Result<()> {
        while self.bytes.borrow().len() < PIECES.concat().len() {
            let mut buf = [0; 5];
            let n = stdin().read(&mut buf).await?;
            self.bytes.borrow_mut().extend(&buf[..n]);
        }
        Ok(())
    }
}

/// V4, I5: a read of a line that is cancelled, dropped or timed out takes nothing from the input.
#[test]
fn cancelled_reads_of_the_input_are_made_again() {
    if children::role().is_none() {
        Typist::start(children::this_test!(), children::ALONE, Input::Pipe).ends();
        return;
    }
    let swept = testing::sweep().run(
        Typed::new,
        |state: Rc<Rc<Typed>>| async move { state.read_lines().await },
        async |state, _| {
            // The typist may go on meanwhile, unless it was cancelled.
            if ignore_after(SECOND, state.read_lines()).await.unwrap().is_none() {
                state.keys.borrow_mut().write_all(b"\n").unwrap();
                let line = stdin().lines().next().await.unwrap().expect("the other end is open");
                state.lines.borrow_mut().push(line);
            }
            let typed = PIECES[..state.pieces.get()].concat();
            assert_eq!(state.lines.borrow().concat(), typed.replace('\n', ""));
        },
    );
    assert!(swept.suspensions >= 4, "{:?}", swept.sites);
}

/// V4, I2, I5: so are reads of bytes.
#[test]
fn cancelled_reads_of_bytes_of_the_input_are_made_again() {
    if children::role().is_none() {
        Typist::start(children::this_test!(), children::ALONE, Input::Pipe).ends();
        return;
    }
    let swept = testing::sweep().run(
        Typed::new,
        |state: Rc<Rc<Typed>>| async move { state.read_bytes().await },
        async |state, _| {
            // The typist may go on meanwhile, unless it was cancelled.
            drop(ignore_after(SECOND, state.read_bytes()).await);
            let typed = PIECES[..state.pieces.get()].concat();
            assert_eq!(*state.bytes.borrow(), typed.as_bytes());
        },
    );
    assert!(swept.suspensions >= 4, "{:?}", swept.sites);
}

/// What the subject writes, in two calls of several pieces.
const WRITTEN: usize = 2 * 5000;

/// The pipe that is the output of this process. It is full at first, and emptied now and then.
struct Pipe {
    reads: RefCell<File>,
    got: RefCell<Vec<u8>>,
    accepted: Cell<usize>,
}

fn byte(at: usize) -> u8 {
    b'a' + (at % 23) as u8
}

impl Pipe {
    async fn new() -> Rc<Self> {
        let open = |write: bool| {
            let mut options = OpenOptions::new();
            // These flags are not those of the output itself.
            options.read(!write).write(write).custom_flags(OFlags::NONBLOCK.bits() as i32);
            options.open("/proc/self/fd/1").unwrap()
        };
        let (reads, mut fills) = (RefCell::new(open(false)), open(true));
        let (got, accepted) = Default::default();
        let state = Rc::new(Pipe { reads, got, accepted });
        // What the test kit or an earlier run has written.
        state.empty();
        state.got.take();
        while fills.write(&[0; 1024]).is_ok() {}
        let empties = state.clone();
        spawn(async move {
            for _ in 0..8 {
                for _ in 0..LOOK {
                    yield_now().await?;
                }
                empties.empty();
            }
            Ok::<_, TaskCancelled>(())
        });
        state
    }

    fn empty(&self) {
        let end = self.reads.borrow_mut().read_to_end(&mut self.got.borrow_mut());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    async fn write(&self) -> io::Result<()> {
        let data: Vec<u8> = (0..WRITTEN).map(byte).collect();
        for part in data.chunks(5000) {
            let written = stdout().write_all(part).await;
            let n = written.as_ref().map_or_else(|error| error.written, |()| part.len());
            self.accepted.set(self.accepted.get() + n);
            written?;
        }
        Ok(())
    }
}

/// V4, I2, I5: the pipe has what the calls say they wrote, however one of them ended, and the next
/// call can write.
#[test]
fn cancelled_writes_to_the_output_say_what_they_wrote() {
    if children::role().is_none() {
        Typist::start(children::this_test!(), children::ALONE, Input::Pipe).ends();
        return;
    }
    let before = dup(io::stdout()).unwrap();
    let (_ours, theirs) = pipe().unwrap();
    fcntl_setpipe_size(&theirs, 4096).unwrap();
    dup2_stdout(&theirs).unwrap();
    let swept = testing::sweep().run(
        Pipe::new,
        |state: Rc<Rc<Pipe>>| async move { state.write().await },
        async |state, run| {
            state.empty();
            stdout().write_all(b"!").await.unwrap();
            state.empty();
            let got: Vec<u8> = state.got.take().into_iter().filter(|byte| *byte != 0).collect();
            let (last, written) = got.split_last().unwrap();
            assert_eq!(*last, b'!');
            assert!(written.iter().enumerate().all(|(at, is)| *is == byte(at)));
            // A call that was dropped does not say it.
            let dropped = run.end == TaskEnd::Aborted && written.len() > state.accepted.get();
            assert!(dropped || written.len() == state.accepted.get());
        },
    );
    // The test kit writes to it.
    dup2_stdout(&before).unwrap();
    assert!(swept.suspensions >= 4, "{:?}", swept.sites);
}
