//! Children whose scope is polled inside other scopes (S2), and children in a used cell (S2, K7).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use curium::prelude::*;
use curium::{Scope, TaskInfo, tasks, testing};

use crate::support::time::secs;

/// S2: a timeout that is around one poll of a scope, and polled itself for the first time, is no
/// timeout of the child that is polled in it.
#[test]
fn a_timeout_around_a_scope_is_not_around_its_children() {
    testing::run(async || {
        let mut running = std::pin::pin!(scope(async |s: Scope<'_, TaskCancelled>| {
            let child = s.spawn(async {
                yield_now().await?;
                sleep(secs(9)).await
            });
            yield_now().await?;
            Ok(child.id())
        }));
        assert!(futures::poll!(running.as_mut()).is_pending());
        let within = timeout_after(secs(5), async {
            assert!(futures::poll!(running.as_mut()).is_pending());
            let child = tasks().pop().unwrap();
            assert_eq!((child.parked.len(), child.deadline), (1, None));
            Ok::<_, TaskCancelled>(child.id)
        });
        let child = within.await.unwrap().unwrap();
        let all = tasks();
        let sleeps = |task: &TaskInfo| task.parked.iter().any(|leaf| leaf.kind == "SLEEP");
        assert_eq!(all.iter().map(sleeps).collect::<Vec<_>>(), [false, true]);
        assert_eq!(running.await, Ok(child));
        assert_eq!(tasks().len(), 1);
    });
}

/// S2, K7: a child in the cell of an earlier one is woken by its own wakers, although the earlier
/// one has left a clone of its waker.
#[test]
fn a_child_in_a_used_cell_is_woken_by_its_own_waker() {
    testing::run(async || {
        let wakers = RefCell::new(Vec::<Waker>::new());
        scope(async |s: Scope<'_, TaskCancelled>| {
            let first = s.spawn(async {
                poll_fn(|cx| {
                    wakers.borrow_mut().push(cx.waker().clone());
                    Poll::Ready(())
                })
                .await;
                Ok(())
            });
            first.await?;
            let second = s.spawn(async {
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    wakers.borrow_mut().push(cx.waker().clone());
                    if polls == 1 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                Ok(())
            });
            second.request_cancel();
            yield_now().await?;
            wakers.take().into_iter().for_each(Waker::wake);
            second.await
        })
        .await
        .unwrap();
    });
}

/// S2: one poll of the task polls at most 64 children, also if the body starts further ones in it.
#[test]
fn one_poll_of_the_task_polls_at_most_64_children() {
    testing::run(async || {
        let polled = Cell::new(0);
        let most = Cell::new(0);
        let counted = || async {
            polled.set(polled.get() + 1);
            yield_now().await?;
            polled.set(polled.get() + 1);
            Ok(())
        };
        let mut running = std::pin::pin!(scope(async |s| {
            for _ in 0..3 {
                for _ in 0..64 {
                    s.spawn(counted());
                }
                yield_now().await?;
            }
            Ok::<_, TaskCancelled>(())
        }));
        poll_fn(|cx| {
            let before = polled.get();
            let ended = running.as_mut().poll(cx);
            most.set(most.get().max(polled.get() - before));
            ended
        })
        .await
        .unwrap();
        assert_eq!((polled.get(), most.get()), (2 * 3 * 64, 64));
    });
}
