//! Child processes, swept (V4). The other task lets the system go on only when the subject is
//! parked, and by one event at a time, so that every run has the same suspensions.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use curium::kernel::testing;
use curium::kernel::{self, TaskCancelled, TaskId, TaskInfo, spawn, yield_now};
use curium::process::{Child, ChildStdin, Command, SIGWINCH, Stdio, Stop};

use crate::checks::{AtTheEnd, aborts, assert_tried, undisturbed};
use crate::support::process::{until_closed, until_gone};

fn given(end: UnixStream) -> Stdio {
    OwnedFd::from(end).into()
}

/// A command, and what the system does meanwhile: it starts the child, and then makes one step
/// after the other, each when the subject is parked again.
struct Staged {
    command: RefCell<Option<Command>>,
    subject: Cell<Option<TaskId>>,
    go: RefCell<Option<Sender<()>>>,
    /// What the child reads as its standard input, and as its standard error.
    ends: RefCell<[Option<UnixStream>; 2]>,
    over: Cell<bool>,
}

/// A step of the system: writes to an end, or closes it.
#[derive(Clone, Copy)]
enum Step {
    Write(usize),
    Close(usize),
}

impl Staged {
    async fn new(script: &str, steps: &'static [Step], set: impl FnOnce(&mut Command)) -> Rc<Self> {
        let [(to_stdin, stdin), (to_stderr, stderr)] =
            [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
        let (go, waits) = channel::<()>();
        let waits = Mutex::new(waits);
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(given(stdin)).stderr(given(stderr));
        command.configure(move |_| {
            let _ = waits.lock().unwrap().recv(); // the go is that its sender is dropped
        });
        set(&mut command);
        let staged = Rc::new(Staged {
            command: RefCell::new(Some(command)),
            subject: Cell::new(None),
            go: RefCell::new(Some(go)),
            ends: RefCell::new([Some(to_stdin), Some(to_stderr)]),
            over: Cell::new(false),
        });
        let system = staged.clone();
        spawn(async move {
            let (mut cycles, _) = system.parked_after(0, true).await;
            drop(system.go.take());
            for step in steps {
                let (now, reads) = system.parked_after(cycles, false).await;
                if matches!(step, Step::Write(_)) && !reads {
                    // The subject stops the child.
                    continue;
                }
                cycles = now;
                system.make(*step);
            }
            while !system.over.get() {
                system.turn().await;
            }
            Ok::<_, TaskCancelled>(())
        });
        staged
    }

    /// Waits until the subject is parked after more polls than these, for a thread or for something
    /// else, or has ended. Returns how many polls it has had, and whether it reads.
    async fn parked_after(&self, cycles: u64, for_thread: bool) -> (u64, bool) {
        let is_parked = |it: &TaskInfo| {
            it.parked.first().is_some_and(|at| (at.kind == "THREAD_WAIT") == for_thread)
        };
        // One that is woken still shows where it was parked, but not for two turns.
        let mut seen = None;
        loop {
            let subject = kernel::tasks().into_iter().find(|it| Some(it.id) == self.subject.get());
            match subject {
                _ if self.over.get() => return (cycles, false),
                Some(it) if it.cycles > cycles && is_parked(&it) => {
                    if seen.replace(it.cycles) != Some(it.cycles) {
                        self.turn().await;
                        continue;
                    }
                    return (it.cycles, it.parked.iter().any(|at| at.kind == "READ"));
                }
                // Without this the poll limit of a run is reached before the system has done it.
                _ => std::thread::sleep(Duration::from_micros(20)),
            }
            self.turn().await;
        }
    }

    /// A shutdown ends the system if the subject has not begun.
    async fn turn(&self) {
        if yield_now().await.is_err() {
            self.over.set(self.over.get() || self.subject.get().is_none());
            // No other task has run meanwhile.
            let _ = yield_now().await;
        }
    }

    fn make(&self, step: Step) {
        let mut ends = self.ends.borrow_mut();
        match step {
            Step::Write(at) => {
                if let Some(mut end) = ends[at].as_ref() {
                    // The child may have been killed.
                    let _ = end.write_all(b"x\n");
                }
            }
            Step::Close(at) => ends[at] = None,
        }
    }

    /// The command, for the subject.
    fn begin(&self) -> Command {
        self.subject.set(kernel::current_task_id());
        self.command.take().expect("it runs once")
    }

    /// Lets what is left of the child end, and waits for it.
    fn leave(&self) {
        drop(self.go.take());
        drop(self.command.take());
        let [stdin, stderr] = self.ends.take();
        drop(stdin);
        if let Some(stderr) = stderr {
            stderr.shutdown(Shutdown::Write).unwrap();
            until_closed(&stderr);
        }
    }
}

/// V4, O2: whatever happens to its task, while it is started, read from, waited for or stopped, a
/// child ends and is reaped, and no descriptor of it is left.
#[test]
fn a_child_never_outlives_the_call_that_runs_it() {
    // It ends with its input, and not by the signal that asks it. Otherwise it is a matter of the
    // system's speed whether a stop waits for it.
    const STEPS: [Step; 2] = [Step::Write(0), Step::Close(0)];
    let swept = testing::sweep().pairs().run(
        async || {
            let staged = Staged::new("exec cat", &STEPS, |command| {
                let stop = Stop { signal: SIGWINCH, ..Stop::default() };
                command.stdout(Stdio::piped()).stop_with(stop);
            });
            (staged.await, Cell::new(0))
        },
        |state: Rc<(Rc<Staged>, Cell<u32>)>| async move {
            let (staged, id) = &*state;
            let _end = AtTheEnd(&staged.over);
            let run = staged.begin().run(async |child| {
                id.set(child.id());
                let mut buf = [0; 4];
                let n = child.stdout.as_ref().unwrap().read(&mut buf).await?;
                assert_eq!(&buf[..n], b"x\n");
                assert!(child.wait().await?.success());
                io::Result::Ok(())
            });
            run.await
        },
        async |(staged, id), run| {
            undisturbed(run);
            staged.leave();
            if id.get() != 0 {
                until_gone(id.get());
            }
        },
    );
    assert_tried(&swept, &["THREAD_WAIT", "READ", "PROCESS_WAIT"], 3, 35);
}

/// V4, O2: whatever happens to its task, the child of a command that is run to its end ends, and
/// what it has printed is there.
#[test]
fn a_command_that_is_cancelled_stops_its_child() {
    // It prints, closes its output, and ends: three events.
    const STEPS: [Step; 3] = [Step::Write(0), Step::Close(0), Step::Close(1)];
    let swept = testing::sweep().run(
        || Staged::new("cat; exec >&-; read end <&2; exit 0", &STEPS, |_| ()),
        |staged: Rc<Rc<Staged>>| async move {
            let _end = AtTheEnd(&staged.over);
            let output = staged.begin().output().await.map_err(io::Error::from)?;
            assert!(output.status.success() && output.stdout == b"x\n");
            Ok::<_, io::Error>(())
        },
        async |staged, run| {
            undisturbed(run);
            staged.leave();
        },
    );
    assert_tried(&swept, &["THREAD_WAIT", "READ", "PROCESS_WAIT"], 4, 40);

    let swept = testing::sweep().run(
        || Staged::new("read end; exit 3", &[Step::Close(0)], |_| ()),
        |staged: Rc<Rc<Staged>>| async move {
            let _end = AtTheEnd(&staged.over);
            assert_eq!(staged.begin().status().await?.code(), Some(3));
            Ok::<_, io::Error>(())
        },
        async |staged, run| {
            undisturbed(run);
            staged.leave();
        },
    );
    assert_tried(&swept, &["THREAD_WAIT", "PROCESS_WAIT"], 2, 25);
}

/// V4, O2: a stop is not cut short by a cancellation: the child and its whole group have ended.
#[test]
fn a_stop_ends_the_whole_group_in_any_case() {
    // The child ends with its standard input, and another member of its group with its standard
    // error. The signal that asks them is ignored.
    const SCRIPT: &str = "(read end <&2) & read end; exit 0";
    const STEPS: [Step; 2] = [Step::Close(0), Step::Close(1)];
    let swept = testing::sweep().run(
        async || {
            let (alive, lives) = UnixStream::pair().unwrap();
            let stop = Stop { signal: SIGWINCH, whole_group: true, ..Stop::default() };
            let staged = Staged::new(SCRIPT, &STEPS, |command| {
                command.stdout(given(lives)).stop_with(stop);
            });
            (staged.await, alive)
        },
        |state: Rc<(Rc<Staged>, UnixStream)>| async move {
            let (staged, alive) = &*state;
            let _end = AtTheEnd(&staged.over);
            let mut child: Child = staged.begin().spawn().await?;
            let ended = child.stop().await?;
            assert!(ended.success());
            until_closed(alive);
            Ok::<_, io::Error>(())
        },
        async |(staged, alive), run| {
            undisturbed(run);
            staged.leave();
            until_closed(alive);
        },
    );
    assert_tried(&swept, &["THREAD_WAIT", "PROCESS_WAIT"], 5, 50);
}

/// The input of a child that counts it, and reads nothing before it may.
struct Counted {
    child: RefCell<Option<Child>>,
    input: RefCell<Option<ChildStdin>>,
    go: UnixStream,
    counts: UnixStream,
    written: Cell<usize>,
    parked: Cell<bool>,
}

/// How much a pipe takes while nothing reads it.
const ROOM: usize = 65_536;

impl Counted {
    /// With a pipe that is `full`, or empty.
    async fn new(full: bool) -> Rc<Counted> {
        let [(go, waits), (counts, count)] =
            [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
        let mut command = Command::new("sh");
        command.args(["-c", "read go <&2; exec wc -c"]).stdin(Stdio::piped());
        let mut child = command.stdout(given(count)).stderr(given(waits)).spawn().await.unwrap();
        let input = child.stdin.take().expect("it is piped");
        let written = if full { input.write(&[b'x'; ROOM]).await.unwrap() } else { 0 };
        let counted = Rc::new(Counted {
            child: RefCell::new(Some(child)),
            input: RefCell::new(Some(input)),
            go,
            counts,
            written: Cell::new(written),
            parked: Cell::new(false),
        });
        let system = counted.clone();
        spawn(async move {
            while !system.parked.get() {
                yield_now().await?;
            }
            for _ in 0..3 {
                yield_now().await?;
            }
            system.go();
            Ok::<_, TaskCancelled>(())
        });
        counted
    }

    fn go(&self) {
        // The child has ended if it was written to before.
        let _ = (&self.go).write_all(b"go\n");
    }

    /// Writes one page more than there is room for. The page fits when the child reads.
    #[allow(clippy::await_holding_refcell_ref, reason = "the check borrows it after the subject")]
    async fn write(&self, full: bool) -> io::Result<()> {
        let _end = AtTheEnd(&self.parked);
        let input = self.input.borrow();
        let input = input.as_ref().expect("it is open");
        let bytes = [b'x'; ROOM + 4096];
        let add = |written| self.written.set(self.written.get() + written);
        self.parked.set(true);
        if full {
            add(input.write(&bytes[ROOM..]).await?);
        } else {
            input.write_all(&bytes).await.inspect_err(|error| add(error.written))?;
            add(bytes.len());
        }
        Ok(())
    }
}

/// V4, O2, N4: whatever happens to its task, a write to a child knows how much the child gets.
#[test]
fn the_bytes_that_a_child_gets_are_counted() {
    for full in [true, false] {
        let swept = testing::sweep().run(
            || Counted::new(full),
            |counted: Rc<Rc<Counted>>| async move { counted.write(full).await },
            async |counted, run| {
                drop(counted.input.take());
                counted.go();
                let mut count = String::new();
                (&counted.counts).read_to_string(&mut count).unwrap();
                let count: usize = count.trim().parse().unwrap();
                let written = counted.written.get();
                assert!(count == written || aborts(run) && !full && count == ROOM);
                assert!(!undisturbed(run) || written == ROOM + 4096);
                let mut child = counted.child.take().expect("it is there");
                assert!(child.wait().await.unwrap().success());
            },
        );
        assert_tried(&swept, &["WRITE"], 1, 15);
    }
}
