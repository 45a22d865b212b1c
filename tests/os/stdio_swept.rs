//! Reads of the standard input, cancelled at every suspension (V4).

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::rc::Rc;

use curium::io::stdin;
use curium::kernel::testing;
use curium::kernel::{TaskCancelled, ignore_after, spawn, yield_now};

use crate::support::children;
use crate::typist::{Input, Typist};

/// What is typed, in pieces.
const PIECES: [&str; 4] = ["one\ntw", "o\n", "gr\u{fc}", "n\nfour\n"];

/// After so many polls the kernel has looked at its sources twice.
const LOOK: usize = 140;

struct Typed {
    keys: RefCell<File>,
    pieces: Cell<usize>,
    lines: RefCell<Vec<String>>,
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
        let (pieces, lines) = Default::default();
        let state = Rc::new(Typed { keys: RefCell::new(keys), pieces, lines });
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
        |state: Rc<Rc<Typed>>| async move {
            let mut lines = stdin().lines();
            while state.lines.borrow().len() < 4 {
                let line = lines.next().await?.expect("the other end is open");
                state.lines.borrow_mut().push(line);
            }
            Ok::<_, io::Error>(())
        },
        async |state, _| {
            // The typist may go on meanwhile, unless it was cancelled.
            let rest = async {
                let mut lines = stdin().lines();
                while state.lines.borrow().len() < 4 {
                    let line = lines.next().await?.expect("the other end is open");
                    state.lines.borrow_mut().push(line);
                }
                Ok::<_, io::Error>(())
            };
            let second = std::time::Duration::from_secs(1);
            if ignore_after(second, rest).await.unwrap().is_none() {
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
