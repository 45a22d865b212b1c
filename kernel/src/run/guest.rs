//! A kernel that another loop turns. It never sleeps; the other loop waits for its descriptor.
//!
//! Between two turns the mailbox is in the state of a kernel that sleeps (`parts/mailbox`), so a
//! message writes the eventfd. The eventfd, the sockets and the timerfd are sources of the poll,
//! and the descriptor of the poll is readable while one of them has an event that was not taken.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use crate::core::current::Entered;
use crate::core::report::ProgramCode;
use crate::core::state::Core;
use crate::run::kernel::{Kernel, refuse_nesting};
use crate::run::stages::{MainTask, Shutdown};
use crate::run::tick::{Step, Turn};
use crate::run::visit::{Pause, Visit};
use crate::task::body::Verdict;
use crate::task::bounds::Main;
use crate::task::cell::TaskEnd;

/// A kernel that another loop turns; made by [`Kernel::guest`].
///
/// The other loop calls [`turn`](Self::turn), waits until the descriptor ([`AsFd`]) is readable,
/// and calls it again. The descriptor is readable while there is something to do: a task is ready,
/// a timer is due, a socket has an event, another thread has sent a message. It may also be
/// readable when there is nothing to do.
///
/// On Linux the descriptor is readable when a timer is due. On other systems a loop waits until
/// [`next_deadline`](Self::next_deadline) at most.
///
/// ```
/// use std::task::Poll;
/// use std::time::Duration;
/// use curium::kernel::{Kernel, TaskCancelled, sleep};
///
/// let mut guest = Kernel::new()?.guest(async || {
///     sleep(Duration::from_millis(1)).await?;
///     Ok::<_, TaskCancelled>("slept")
/// })?;
/// let slept = loop {
///     if let Poll::Ready(value) = guest.turn(100) {
///         break value?;
///     }
///     // Here a loop waits until `guest` or something else is readable.
///     std::thread::yield_now();
/// };
/// assert_eq!(slept, "slept");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A kernel whose tasks all wait for each other is no panic here, because the code around the turns
/// may still wake a task. Such code may use the objects of a kernel, for example set an event, and
/// so may the tasks of another guest on this thread. What that wakes runs at the next turn, and the
/// descriptor is readable until then. There is no report of hangs. With
/// [`Builder::watch`](crate::Builder::watch) the guest looks for verdicts during its turns, and the
/// descriptor becomes readable for the next look.
///
/// Dropping a guest drops its main future and the kernel, as dropping a [`Kernel`] does: without
/// awaiting any cleanup.
///
/// [`AsFd`]: std::os::fd::AsFd
#[must_use = "a guest does nothing unless it is turned"]
pub struct Guest<'a, T> {
    turns: Turns<'a>,
    value: Rc<Cell<Option<T>>>,
}

/// What a guest is without the type of its value.
struct Turns<'a> {
    kernel: Kernel,
    /// The future of main, until it has ended.
    main: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    stage: Stage,
    visit: Visit,
    #[cfg_attr(not(unix), allow(dead_code, reason = "it has the descriptor for a loop"))]
    registry: Arc<mio::Registry>,
}

enum Stage {
    New,
    Main(MainTask),
    /// Main has ended, perhaps with a panic.
    Shutdown(Shutdown, Result<(), Box<dyn Any + Send>>),
    Over,
}

impl<'a, T: 'a> Guest<'a, T> {
    #[track_caller]
    pub(super) fn new(kernel: Kernel, main: impl Main<T> + 'a) -> io::Result<Self> {
        let core = kernel.core();
        assert!(!core.clock.is_virtual(), "a kernel on a virtual clock cannot be a guest");
        let registry = core.remote().registry().ok_or(io::ErrorKind::NotConnected)?;
        core.remote().wake_poll();
        core.is_guest.set(true);
        let visit = Visit::new(core);
        let value = Rc::new(Cell::new(None));
        let slot = value.clone();
        let main = Some(Box::pin(async move { slot.set(Some(main().await)) }) as _);
        let turns = Turns { kernel, main, stage: Stage::New, visit, registry };
        Ok(Guest { turns, value })
    }
}

impl<T> Guest<'_, T> {
    /// Polls ready tasks, at most `polls` times, and looks for events; it never sleeps. When the
    /// main future has ended, the remaining tasks are cancelled and polled in further turns. The
    /// turn in which the last of them ends returns the value of the main future.
    ///
    /// # Panics
    ///
    /// Inside a kernel, after the value was returned, and if `polls` is zero. A panic of the main
    /// future is resumed after the shutdown.
    #[track_caller]
    pub fn turn(&mut self, polls: u32) -> Poll<T> {
        refuse_nesting("Guest::turn");
        assert!(polls > 0, "a turn of no polls does nothing");
        match self.turns.turn(polls) {
            Poll::Ready(Ok(())) => {
                Poll::Ready(self.value.take().expect("main has ended with a value"))
            }
            Poll::Ready(Err(payload)) => resume_unwind(payload),
            Poll::Pending => Poll::Pending,
        }
    }

    /// When the next turn has something to do, if nothing happens before: at once, when the next
    /// timer is due, or for the next look of [`Builder::watch`](crate::Builder::watch). None if
    /// there is none of these.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = self.turns.kernel.core();
        match self.turns.visit.pause() {
            Pause::Idle { until } if core.ready.borrow().is_empty() => core.clock.instant(until?),
            _ => Some(Instant::now()),
        }
    }
}

impl Turns<'_> {
    fn turn(&mut self, polls: u32) -> Poll<Result<(), Box<dyn Any + Send>>> {
        let core = self.kernel.core().clone();
        let _entered = Entered::new(&core);
        if let Pause::Idle { .. } = self.visit.begin(polls) {
            core.remote().awake();
        }
        drop(core.ready.borrow_mut().end_watch());
        core.read_clock();
        let ended = self.turn_entered(&core);
        match self.visit.pause() {
            _ if ended.is_ready() => {}
            Pause::Busy => core.remote().wake_poll(),
            Pause::Idle { .. } => {
                let remote = core.remote().clone();
                core.ready.borrow_mut().watch(Box::new(move || remote.wake_poll()));
            }
        }
        ended
    }

    fn turn_entered(&mut self, core: &Rc<Core>) -> Poll<Result<(), Box<dyn Any + Send>>> {
        let Turns { kernel, main, stage, visit, .. } = self;
        let mut body = |step: Step<'_, '_>| {
            match step {
                Step::Call => {}
                Step::Poll(cx) => {
                    let polled = main.as_mut().map(|main| main.as_mut().poll(cx));
                    return polled.unwrap_or(Poll::Pending).map(|()| Verdict::Ok);
                }
                Step::Drop => *main = None,
            }
            Poll::Pending
        };
        if let Stage::New = stage {
            *stage = Stage::Main(MainTask::begin(core, &mut body));
        }
        loop {
            let turned = match kernel.turn_until(Some(&mut *visit), &mut body) {
                Ok(Turn::Paused) => return Poll::Pending,
                Ok(Turn::GraceOver) => {
                    Shutdown::abort_rest(core);
                    continue;
                }
                turned => turned.map(drop),
            };
            match mem::replace(stage, Stage::Over) {
                Stage::Main(task) => {
                    let end = if turned.is_ok() { TaskEnd::Ok } else { TaskEnd::Panicked };
                    task.end(&mut body, end);
                    *stage = Stage::Shutdown(Shutdown::begin(core), turned);
                }
                Stage::Shutdown(shutdown, ended) => {
                    shutdown.end(core);
                    return Poll::Ready(ended);
                }
                Stage::New | Stage::Over => panic!("a guest was turned after its end"),
            }
        }
    }
}

#[cfg(unix)]
impl<T> std::os::fd::AsFd for Guest<'_, T> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.turns.registry.as_fd()
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        let core = self.kernel.core().clone();
        let _entered = Entered::new(&core);
        let main = self.main.take();
        core.guarded(ProgramCode::Destructor, || drop(main));
        self.stage = Stage::Over;
    }
}

impl<T> fmt::Debug for Guest<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("kernel", &self.turns.kernel).finish_non_exhaustive()
    }
}
