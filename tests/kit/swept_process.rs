//! A child process, swept (V4). The other task lets the system go on only when the subject is
//! parked, so that every run has the same suspensions.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use curium::kernel::testing::{self, Run};
use curium::kernel::{TaskCancelled, spawn, yield_now};
use curium::process::{Command, Stdio};

use crate::checks::{AtTheEnd, assert_tried, undisturbed};
use crate::support::process::{until_closed, until_gone};

/// A `cat`: what it reads, the start that it waits for, and what shows that it runs.
struct Cat {
    input: RefCell<Option<UnixStream>>,
    to_child: RefCell<Option<UnixStream>>,
    go: RefCell<Option<Sender<()>>>,
    start: RefCell<Option<Command>>,
    alive: UnixStream,
    id: Cell<u32>,
    has_read: Cell<bool>,
    has_ended: Cell<bool>,
    over: Cell<bool>,
}

fn given(end: UnixStream) -> Stdio {
    OwnedFd::from(end).into()
}

impl Cat {
    async fn new() -> Rc<Cat> {
        let (to_child, input) = UnixStream::pair().unwrap();
        let (alive, lives) = UnixStream::pair().unwrap();
        let (go, waits) = channel::<()>();
        let waits = Mutex::new(waits);
        let mut command = Command::new("cat");
        command.stdin(given(input)).stdout(Stdio::piped()).stderr(given(lives));
        command.configure(move |_| {
            let _ = waits.lock().unwrap().recv(); // the go is that its sender is dropped
        });
        let cat = Rc::new(Cat {
            input: RefCell::new(None),
            to_child: RefCell::new(Some(to_child)),
            go: RefCell::new(Some(go)),
            start: RefCell::new(Some(command)),
            alive,
            id: Cell::new(0),
            has_read: Cell::new(false),
            has_ended: Cell::new(false),
            over: Cell::new(false),
        });
        spawn(cat.clone().goes_on());
        cat
    }

    /// The system: starts the child, writes to it, and ends its input.
    async fn goes_on(self: Rc<Self>) -> Result<(), TaskCancelled> {
        self.until(|| self.start.borrow().is_none()).await?;
        drop(self.go.take());
        self.until(|| self.id.get() != 0).await?;
        if let Some(mut to_child) = self.to_child.borrow().as_ref() {
            // The child may have been killed.
            let _ = to_child.write_all(b"x");
        }
        self.until(|| self.has_read.get()).await?;
        drop(self.to_child.take());
        // The clock stands still until the subject has ended.
        self.until(|| self.over.get()).await
    }

    /// Goes on when `is_so` and the subject is parked, or when it has ended.
    async fn until(&self, is_so: impl Fn() -> bool) -> Result<(), TaskCancelled> {
        while !is_so() && !self.over.get() {
            // Without this the poll limit of a run is reached before the system has done anything.
            std::thread::sleep(Duration::from_micros(20));
            yield_now().await?;
        }
        for _ in 0..3 {
            yield_now().await?;
        }
        Ok(())
    }

    async fn subject(self: Rc<Self>) -> io::Result<()> {
        let _end = AtTheEnd(&self.over);
        let mut command = self.start.take().expect("it runs once");
        let run = command.run(async |child| {
            self.id.set(child.id());
            let mut buf = [0; 4];
            assert_eq!(child.stdout.as_ref().unwrap().read(&mut buf).await?, 1);
            self.has_read.set(true);
            assert!(child.wait().await?.success());
            self.has_ended.set(true);
            Ok::<(), io::Error>(())
        });
        run.await
    }

    fn check(&self, run: &Run) {
        assert!(!undisturbed(run) || self.has_ended.get());
        drop(self.go.take());
        drop(self.start.take());
        drop(self.input.take());
        until_closed(&self.alive);
        if self.id.get() != 0 {
            until_gone(self.id.get());
        }
    }
}

/// V4, O2: whatever happens to its task, while it is started, read from, waited for or stopped, a
/// child ends and is reaped, and no descriptor of it is left.
#[test]
fn a_child_never_outlives_the_call_that_runs_it() {
    let swept = testing::sweep().pairs().run(
        Cat::new,
        |cat: Rc<Rc<Cat>>| cat.as_ref().clone().subject(),
        async |cat, run| cat.check(run),
    );
    assert_tried(&swept, &["THREAD_WAIT", "READ", "PROCESS_WAIT"], 3, 35);
}
