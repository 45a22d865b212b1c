//! The test kit: the kernel on a virtual clock, with a chosen order of tasks, and with a check that
//! nothing is left behind.
//!
//! ```
//! use curium::kernel::{TaskCancelled, sleep, spawn, testing};
//! use std::time::Duration;
//!
//! testing::run(async || {
//!     let hour = spawn(sleep(Duration::from_secs(3600)));
//!     testing::settle().await?;          // nothing can run: the sleeper is parked
//!     assert_eq!(hour.state().to_string(), "SLEEP");
//!     testing::advance(Duration::from_secs(3600)).await?;
//!     assert!(hour.is_done());
//!     Ok::<(), TaskCancelled>(())
//! })
//! .unwrap();
//! ```
//!
//! A simulated network for these tests is in `curium::net::simulated`.
//!
//! The clock stands still while a task can run. When all tasks are parked, `main` among them, it
//! jumps to the next timer: a `main` that awaits a timeout of an hour needs no `advance`.
// The functions of the sweep are `#[inline]`, so that a crate that calls them compiles their code,
// and a program that is not a test does not. An exploration runs a program thousands of times; it
// stays in the library, which may be optimized where tests are not.

mod attempt;
mod explore;
mod sweep;

use std::rc::Rc;
use std::time::Duration;

pub use self::explore::{Explore, Explored, explore};
pub use self::sweep::{Injected, Injection, Moment, Run, Sweep, Swept, SweptSite, sweep};

use crate::core::current;
use crate::core::queue::WaitQueue;
use crate::core::state::Core;
use crate::error::TaskCancelled;
use crate::run::builder::Builder;
use crate::run::kernel::{Kernel, Leftovers, refuse_nesting};
use crate::task::bounds::Main;
use crate::wait::handoff::{Handoff, Wait};
use crate::wait::sleep::sleep;

/// How long a run may take in real time, if its builder does not say it.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `main` on the virtual clock, as [`kernel::run`](crate::run) does on the real one, and then
/// checks that nothing is left behind.
///
/// # Panics
///
/// As [`kernel::run`](crate::run). Also if a task, a timer, a parked leaf, a scope, a group, a
/// registration or a job is left after the shutdown; the message states how many. And if the run
/// takes more than two minutes of real time ([`Builder::test_limit`]); the message shows the tree
/// of the tasks.
#[track_caller]
pub fn run<T>(main: impl Main<T>) -> T {
    run_with(Kernel::builder(), main)
}

/// Like [`run`], with the settings of `builder` and a virtual clock.
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn run_with<T>(builder: Builder, main: impl Main<T>) -> T {
    let kernel = virtual_kernel(builder);
    let value = kernel.run_to_the_end(main);
    check_nothing_left(kernel);
    value
}

#[track_caller]
fn virtual_kernel(builder: Builder) -> Kernel {
    refuse_nesting("testing::run");
    Kernel::or_panic(builder.virtual_clock().or_test_limit(LIMIT).build())
}

#[track_caller]
fn check_nothing_left(kernel: Kernel) {
    let core = kernel.core().clone();
    let left = Leftovers::of(&core);
    drop(kernel);
    assert_eq!(left, Leftovers::default(), "left behind after the shutdown");
}

/// Runs `main` once for each seed. The seed determines the order in which ready tasks run.
///
/// # Panics
///
/// As [`run`]. The seed is printed to standard error first.
#[track_caller]
pub fn run_seeds<T>(
    seeds: impl IntoIterator<Item = u64>,
    mut main: impl AsyncFnMut(u64) -> T,
) -> Vec<T> {
    let mut values = Vec::new();
    for seed in seeds {
        let named = NameSeed(seed);
        values.push(run_with(Kernel::builder().seed(seed), async || main(seed).await));
        drop(named);
    }
    values
}

/// Prints the seed when a run panics.
struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing run had seed {}", self.0);
        }
    }
}

/// Waits until every other task is parked or has ended, so that nothing happens before time passes.
///
/// On a virtual clock, while tasks are parked on sockets, the reactor must also have reported no
/// event for 10 ms.
///
/// # Errors
///
/// [`TaskCancelled`].
///
/// # Cancellation
///
/// Nothing is lost.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn settle() -> impl Future<Output = Result<(), TaskCancelled>> {
    let core = current::with("testing::settle", Rc::clone);
    Wait::new("SETTLE", Settled { core })
}

/// A wait in the queue that the kernel wakes when no task can run.
struct Settled {
    core: Rc<Core>,
}

impl Handoff for Settled {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.core.settlers
    }

    fn try_take(&mut self) -> Option<()> {
        None
    }

    fn finish(&mut self, (): ()) {}

    fn pass_on(&mut self, (): ()) {}
}

/// Sleeps for `duration`, so that everything that is due in this time happens, and then settles.
///
/// # Errors
///
/// [`TaskCancelled`].
///
/// # Cancellation
///
/// The rest of the time is not waited for.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn advance(duration: Duration) -> impl Future<Output = Result<(), TaskCancelled>> {
    let sleep = sleep(duration);
    let settle = settle();
    async move {
        sleep.await?;
        settle.await
    }
}
