//! Every schedule of small programs with read-write locks, re-entrant locks, barriers and cells,
//! with a cancel at every moment (V4).
//!
//! Each has three tasks of two operations and is complete: see `explored_sync`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::{Barrier, OnceCell, RLock, RwLock};
use futures::FutureExt;

use crate::explored::{Counted, Ended, Log, assert_complete, members, three};

#[derive(Default)]
struct Shared {
    lock: RwLock<()>,
    log: Log,
    readers: Rc<Cell<usize>>,
    writers: Rc<Cell<usize>>,
}

impl Shared {
    async fn read(&self, request: usize) -> Ended {
        let _guard = self.log.ask(request, self.lock.read()).await?;
        let _inside = Counted::new(&self.readers, 1);
        assert_eq!(self.writers.get(), 0, "a reader beside a writer");
        yield_now().await
    }

    async fn write(&self, request: usize) -> Ended {
        let _guard = self.log.ask(request, self.lock.write()).await?;
        let _inside = Counted::new(&self.writers, 1);
        assert_eq!((self.writers.get(), self.readers.get()), (1, 0), "a writer is not alone");
        yield_now().await
    }
}

/// V4, Y7, Y2, Y3: writers exclude all, and no request overtakes one that excludes it.
#[test]
fn readers_and_writers_are_served_in_order() {
    assert_complete(7_612, async || {
        let shared = Rc::new(Shared::default());
        let member = |number| {
            let shared = shared.clone();
            async move {
                if number == 0 {
                    shared.write(0).await?;
                    return shared.read(1).await;
                }
                shared.read(2 * number).await?;
                shared.write(2 * number + 1).await
            }
        };
        three(member).await?;
        let now = shared.lock.statistics();
        assert_eq!((now.readers, now.is_written, now.waiting), (0, false, 0), "it was left held");
        let writes = |request: usize| request == 0 || (request > 1 && request % 2 == 1);
        shared.log.assert_served_in_order(|one, other| writes(one) || writes(other));
        Ok(())
    });
}

/// V4, Y7, Y3: a writer that is dropped lets the readers behind it in.
#[test]
fn a_dropped_writer_lets_readers_in() {
    assert_complete(13_067, async || {
        let lock = Rc::new(RwLock::new(()));
        let [first, second, third] = [(); 3].map(|()| lock.clone());
        let spawn = |g: crate::explored::Group| {
            let victim = g.spawn(async move {
                yield_now().await?;
                first.write().await.map(drop)
            });
            g.spawn(async move {
                yield_now().await?;
                yield_now().await?;
                second.read().await.map(drop)
            });
            g.spawn(async move {
                let _guard = third.read().await?;
                yield_now().await?;
                yield_now().await?;
                victim.abort();
                yield_now().await
            });
        };
        members(spawn, || ()).await?;
        assert!(lock.try_write().is_some(), "it was left held");
        Ok(())
    });
}

/// V4, Y8, Y2, Y3: a lock that its owner takes twice excludes the others all the while.
#[test]
fn a_re_entrant_lock_excludes_the_others() {
    assert_complete(1_014, async || {
        let lock = Rc::new(RLock::new(Cell::new(0)));
        let member = |number: usize| {
            let lock = lock.clone();
            async move {
                let outer = lock.acquire().await?;
                assert_eq!(outer.replace(1), 0, "two tasks hold the lock");
                let yielded = yield_now().await;
                let inner = lock.acquire().await?;
                drop(outer);
                let again = if number == 0 { yield_now().await } else { Ok(()) };
                inner.set(0);
                yielded.and(again)
            }
        };
        three(member).await?;
        let now = lock.statistics();
        assert_eq!((now.owner, now.guards, now.waiting), (None, 0, 0), "it was left held");
        Ok(())
    });
}

/// V4, Y9, Y3: of three tasks at a barrier for two, two go on, whichever are cancelled.
#[test]
fn a_barrier_lets_pairs_go_on() {
    assert_complete(1_524, async || {
        let barrier = Rc::new(Barrier::new(2));
        let come = Rc::new(RefCell::new(Vec::new()));
        let (at, log) = (barrier.clone(), come.clone());
        let spawn = |g: crate::explored::Group| {
            for _ in 0..3 {
                let (at, log) = (at.clone(), log.clone());
                g.spawn(async move {
                    let leads = at.wait().await?.is_leader();
                    log.borrow_mut().push(leads);
                    yield_now().await
                });
            }
        };
        let stuck = || {
            assert!(barrier.statistics().waiting < 2, "two wait");
            // One that waits alone gets a second.
            let come = barrier.wait().now_or_never();
            assert!(come.is_none_or(|come| come.unwrap().is_leader()));
        };
        members(spawn, stuck).await?;
        let come = come.borrow();
        let leaders = come.iter().filter(|leads| **leads).count();
        assert!(leaders <= 1 && come.len() <= 3, "{come:?}");
        assert_eq!(barrier.statistics().waiting, 0);
        Ok(())
    });
}

/// V4, Y10, Y3: a cell is set once, by a maker that was not interrupted, and all get its value.
#[test]
fn a_cell_has_one_value() {
    assert_complete(330, async || {
        let (cell, got) = (Rc::new(OnceCell::new()), Rc::new(RefCell::new(Vec::new())));
        let member = |number: usize| {
            let (cell, got) = (cell.clone(), got.clone());
            async move {
                let make = async || yield_now().await.map(|()| number);
                let value = *cell.get_or_try_init(make).await?;
                got.borrow_mut().push(value);
                Ok(())
            }
        };
        three(member).await?;
        let got = got.borrow();
        assert!(got.windows(2).all(|two| two[0] == two[1]), "{got:?}");
        assert!(!cell.statistics().is_being_made);
        Ok(())
    });
}
