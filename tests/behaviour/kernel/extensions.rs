//! Extensions of a kernel: their events, and sources in memory.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::io::{Direction, Readiness, Registration, report_readiness};
use curium::kernel::{self, Extension, Kernel, testing};
use curium::prelude::*;
use mio::event::Source;
use mio::{Interest, Registry, Token};

const MS: Duration = Duration::from_millis(1);

/// Makes a source ready at times that are told before.
struct Bells {
    seed: Cell<Option<u64>>,
    due: RefCell<Vec<Instant>>,
    rung: Rc<Cell<usize>>,
    token: Rc<Cell<Option<Token>>>,
}

impl Bells {
    fn new() -> Self {
        Bells {
            seed: Cell::new(None),
            due: RefCell::default(),
            rung: Rc::default(),
            token: Rc::default(),
        }
    }
}

impl Extension for Bells {
    fn begin(&self, seed: Option<u64>, _now: Instant) {
        self.seed.set(seed);
    }

    fn next_event(&self) -> Option<Instant> {
        self.due.borrow().iter().copied().min()
    }

    fn handle_events(&self, now: Instant) {
        let before = self.due.borrow().len();
        self.due.borrow_mut().retain(|due| *due > now);
        self.rung.set(self.rung.get() + before - self.due.borrow().len());
        if let Some(token) = self.token.get() {
            report_readiness(token, Readiness { readable: true, ..Readiness::default() });
        }
    }
}

/// A source that has one byte for each event.
struct Bell {
    rung: Rc<Cell<usize>>,
    token: Rc<Cell<Option<Token>>>,
}

impl Source for Bell {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.token.set(Some(token));
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.token.set(Some(token));
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.token.set(None);
        Ok(())
    }
}

fn source(bells: &Bells) -> Registration<Bell> {
    Registration::in_memory(Bell { rung: bells.rung.clone(), token: bells.token.clone() })
}

async fn hear(source: &Registration<Bell>) -> io::Result<()> {
    let take = |bell: &Bell| match bell.rung.get() {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        n => {
            bell.rung.set(n - 1);
            Ok(())
        }
    };
    source.io(Direction::Read, "HEAR", take).await
}

/// V3, K8: the events of an extension come in their time, between the timers, and wake the task
/// that is parked on its source. A virtual clock jumps to them.
#[test]
fn an_extension_has_events_on_the_clock_of_its_kernel() {
    let builder = Kernel::builder().seed(7).with(Bells::new());
    testing::run_with(builder, async || {
        let bells = kernel::extension::<Bells>().expect("it was added");
        assert_eq!(bells.seed.get(), Some(7));
        let begun = kernel::now();
        bells.due.borrow_mut().extend([begun + 30 * MS, begun + 10 * MS]);
        let source = source(&bells);
        let sleeper = spawn(async move {
            sleep(20 * MS).await?;
            Ok::<_, TaskCancelled>(kernel::now() - begun)
        });
        let mut times = Vec::new();
        for _ in 0..2 {
            hear(&source).await?;
            times.push(kernel::now() - begun);
        }
        assert_eq!(times, [10 * MS, 30 * MS]);
        assert_eq!(sleeper.await?, 20 * MS);
        // A cancelled wait leaves the event for the next one.
        bells.due.borrow_mut().push(begun + 50 * MS);
        assert!(timeout_after(10 * MS, hear(&source)).await.is_err());
        hear(&source).await?;
        assert_eq!(kernel::now() - begun, 50 * MS);
        Ok::<_, io::Error>(())
    })
    .unwrap();
    assert!(kernel::extension::<Bells>().is_none());
}

/// V3, K8: without a next event, a task that waits for a source in memory is in a deadlock.
#[test]
fn a_source_in_memory_without_events_is_a_deadlock() {
    let run = || {
        let builder = Kernel::builder().with(Bells::new());
        testing::run_with(builder, async || {
            let source = source(&kernel::extension::<Bells>().expect("it was added"));
            hear(&source).await
        })
    };
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.starts_with("deadlock") && text.contains("HEAR"), "{text}");
}
