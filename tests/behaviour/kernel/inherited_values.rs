//! Values that a task inherits: `task_local!` (K10).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use curium::kernel::{self, testing};
use curium::{
    RestartPolicy, Task, TaskCancelled, TaskGroup, WaitPolicy, sleep, spawn, task_local, yield_now,
};
use futures::FutureExt;

use crate::support::reports;
use crate::support::time::{SECOND, secs};

task_local! {
    /// The request that a task works for.
    pub(crate) static REQUEST: u32;
    static USER: Rc<Cell<u32>>;
}
task_local!(static LAST: Life);

/// Counts the values of one kind that are alive.
struct Life(Rc<Cell<usize>>);

impl Life {
    fn one(of: &Rc<Cell<usize>>) -> Self {
        of.set(of.get() + 1);
        Life(of.clone())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn request() -> Option<u32> {
    REQUEST.try_with(|request| *request)
}

/// A task that tells what it sees, before and after it has been parked.
fn sees() -> Task<(Option<u32>, Option<u32>), TaskCancelled> {
    spawn(seen())
}

async fn seen() -> Result<(Option<u32>, Option<u32>), TaskCancelled> {
    let before = request();
    sleep(SECOND).await?;
    Ok((before, request()))
}

/// K10: a task sees what its spawner sees at the spawn, and so does a task that it spawns.
#[test]
fn a_task_sees_what_its_spawner_saw() {
    testing::run(async || {
        assert_eq!(request(), None);
        let inside = REQUEST.scope(7, async {
            assert_eq!((request(), REQUEST.get()), (Some(7), 7));
            let grandchild = spawn(async {
                yield_now().await?;
                sees().await
            });
            (sees(), grandchild)
        });
        let (child, grandchild) = inside.await;
        assert_eq!(request(), None);
        assert_eq!(child.await, Ok((Some(7), Some(7))));
        assert_eq!(grandchild.await, Ok((Some(7), Some(7))));
        assert_eq!(sees().await, Ok((None, None)));
    });
}

/// K10: so does a task of every other kind.
#[test]
fn a_member_of_any_kind_inherits() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        let seen_by = Rc::new(RefCell::new(Vec::new()));
        let look = |number: u32| {
            let seen_by = seen_by.clone();
            async move {
                assert_eq!(request(), Some(7));
                sleep(SECOND).await.unwrap();
                assert_eq!(request(), Some(7));
                seen_by.borrow_mut().push(number);
            }
        };
        let members = async {
            kernel::spawn_named("named", look(0).map(Ok::<_, TaskCancelled>));
            group.spawn(look(1));
            group.spawn_daemon(look(2));
            group.try_spawn(look(3)).unwrap();
            group.spawn_when_free(look(4)).await.unwrap();
            let started = look(5);
            let start = group.start(async move |ready| {
                ready.set(request());
                started.await;
            });
            assert_eq!(start.await, Ok(Some(7)));
            let mut supervised = Some(look(6));
            let policy = RestartPolicy::new(1, SECOND);
            group.supervise(policy, async move || match supervised.take() {
                Some(look) => look.await,
                None => assert_eq!(request(), None, "it succeeds at once"),
            });
            // Its future is boxed before it becomes a task.
            let large = [0_u8; 4096];
            group.spawn(look(7).inspect(move |()| assert_eq!(large, [0; 4096])));
        };
        REQUEST.scope(7, members).await;
        sleep(secs(2)).await.unwrap();
        group.join().await.unwrap();
        assert_eq!(seen_by.take(), [0, 1, 2, 3, 4, 5, 6, 7]);
    });
}

/// K10, S1: so does a child that borrows, and it sees neither the values of its host nor those of
/// its sibling. Its destructors see its own.
#[test]
fn a_child_that_borrows_inherits() {
    testing::run(async || {
        let seen_at_end = Rc::new(RefCell::new(Vec::new()));
        let sees = |expected: Option<u32>| {
            let sees = Sees(seen_at_end.clone());
            async move {
                assert_eq!(request(), expected);
                sleep(SECOND).await?;
                assert_eq!(request(), expected);
                drop(sees);
                Ok::<_, TaskCancelled>(())
            }
        };
        let host = kernel::scope(async |s: kernel::Scope<'_, TaskCancelled>| {
            REQUEST.scope(1, async { drop(s.spawn(sees(Some(1)))) }).await;
            s.spawn(sees(Some(9)));
            REQUEST
                .scope(2, async {
                    let cancelled = s.spawn(sees(Some(2)));
                    yield_now().await?;
                    cancelled.request_cancel();
                    assert_eq!(request(), Some(2));
                    sleep(secs(2)).await
                })
                .await
        });
        REQUEST.scope(9, host).await.unwrap();
        assert_eq!(seen_at_end.take(), [Some(2), Some(1), Some(9)]);
    });
}

/// K10: later changes are shared in neither direction.
#[test]
fn later_changes_are_not_shared() {
    testing::run(async || {
        REQUEST
            .scope(1, async {
                let child = sees();
                let changed = REQUEST.scope(2, async {
                    assert_eq!(request(), Some(2));
                    sleep(SECOND / 2).await.unwrap();
                    sees()
                });
                let later = changed.await;
                assert_eq!(request(), Some(1));
                let own = spawn(async {
                    let changed = REQUEST.scope(3, async { request() }).await;
                    Ok::<_, TaskCancelled>((changed, request()))
                });
                assert_eq!(own.await, Ok((Some(3), Some(1))));
                assert_eq!(request(), Some(1));
                assert_eq!(child.await, Ok((Some(1), Some(1))));
                assert_eq!(later.await, Ok((Some(2), Some(2))));
            })
            .await;
    });
}

/// K10: a value with a cell inside shares its changes.
#[test]
fn keys_are_independent_and_a_cell_is_shared() {
    testing::run(async || {
        let user = Rc::new(Cell::new(1));
        let both = REQUEST.scope(
            5,
            USER.scope(user.clone(), async {
                spawn(async {
                    USER.with(|user| user.set(user.get() + 1));
                    Ok::<_, TaskCancelled>(request())
                })
                .await
            }),
        );
        assert_eq!(both.await, Ok(Some(5)));
        assert_eq!(user.get(), 2);
        assert!(USER.try_with(|_| ()).is_none());
    });
}

/// K10: tasks that take turns see each its own value, also with a waker of their own.
#[test]
fn tasks_that_take_turns_see_their_own_values() {
    testing::run(async || {
        let turns = |number: Option<u32>| async move {
            for _ in 0..5 {
                assert_eq!(request(), number);
                // A waker that is cloned belongs to the task from then on.
                poll_fn(|cx| Poll::Ready(cx.waker().clone())).await.wake_by_ref();
                yield_now().await?;
            }
            Ok::<_, TaskCancelled>(())
        };
        let mut tasks = vec![spawn(turns(None))];
        for number in 0..3 {
            let spawning = REQUEST.scope(number, async move { spawn(turns(Some(number))) });
            tasks.push(spawning.await);
        }
        tasks.push(spawn(turns(None)));
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// K10: after a cancellation, a panic or a drop inside a scope the value is gone.
#[test]
fn a_scope_that_is_left_in_any_way_is_left() {
    testing::run(async || {
        let panics = REQUEST.scope(1, async { panic!("inside") });
        std::panic::AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
        assert_eq!(request(), None);
        let mut parked = Box::pin(REQUEST.scope(2, sleep(secs(9))));
        assert!(parked.as_mut().now_or_never().is_none());
        assert_eq!(request(), None);
        drop(parked);
        assert_eq!(request(), None);
        let raced = TaskGroup::<TaskCancelled>::scope_with(WaitPolicy::Any, async |g| {
            g.spawn(REQUEST.scope(3, sleep(Duration::MAX)));
            g.spawn(sees().into_future());
            Ok(())
        });
        raced.await.unwrap();
        assert_eq!(sees().await, Ok((None, None)));
    });
}

/// Tells what its destructor sees.
struct Sees(Rc<RefCell<Vec<Option<u32>>>>);

impl Drop for Sees {
    fn drop(&mut self) {
        self.0.borrow_mut().push(request());
    }
}

/// K10: the destructors of a future see its values, and not those of the code that drops it: after
/// its end, when its task is aborted or panics, and when a scope is dropped.
#[test]
fn destructors_see_the_values_of_their_future() {
    let ((), _) = reports::texts(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let holds = |panics: bool| {
            let sees = Sees(seen.clone());
            async move {
                yield_now().await?;
                assert!(!panics, "it panics");
                sleep(secs(9)).await?;
                drop(sees);
                Ok::<_, TaskCancelled>(())
            }
        };
        let spawning = |number, panics| {
            let holds = holds(panics);
            REQUEST.scope(number, async move { spawn(holds) })
        };
        let (ends, panics, aborted) =
            (spawning(1, false).await, spawning(2, true).await, spawning(3, false).await);
        sleep(SECOND).await.unwrap();
        assert_eq!(seen.take(), [Some(2)]);
        REQUEST.scope(4, async { aborted.abort() }).await;
        assert_eq!(seen.take(), [Some(3)]);
        spawn(holds(false)).abort();
        assert_eq!(seen.take(), [None]);
        let plain = spawn(holds(false));
        REQUEST.scope(5, async { plain.abort() }).await;
        assert_eq!(seen.take(), [None]);
        let mut scope = Box::pin(REQUEST.scope(6, holds(false)));
        assert!(scope.as_mut().now_or_never().is_none());
        drop(scope);
        assert_eq!(seen.take(), [Some(6)]);
        ends.await.unwrap();
        assert_eq!(seen.take(), [Some(1)]);
        drop(panics);
    });
}

/// K10: a value lives until the last task that sees it has ended, even if its handle is kept.
#[test]
fn values_are_dropped_with_the_last_task_that_sees_them() {
    testing::run(async || {
        let alive = Rc::new(Cell::new(0));
        let spawning = LAST.scope(Life::one(&alive), async {
            (spawn(sleep(SECOND)), spawn(sleep(secs(2))), spawn(sleep(secs(9))))
        });
        let tasks = spawning.await;
        sleep(secs(3)).await.unwrap();
        assert_eq!(alive.get(), 1);
        tasks.2.abort();
        assert_eq!(alive.get(), 0);
        assert!(tasks.0.is_done() && tasks.1.is_done());
    });
}

/// K10: a chain of tasks, each of which sets the value anew, keeps one value.
#[test]
fn a_chain_of_tasks_keeps_one_value() {
    fn next(left: u32, alive: Rc<Cell<usize>>) -> futures::future::LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            yield_now().await.unwrap();
            assert!(alive.get() <= 2, "the values of earlier tasks are kept");
            if left > 0 {
                let life = Life::one(&alive);
                LAST.scope(life, async move { drop(spawn(next(left - 1, alive))) }).await;
            }
        })
    }
    testing::run(async || {
        let alive = Rc::new(Cell::new(0));
        spawn(next(1000, alive.clone()));
        testing::settle().await.unwrap();
        assert_eq!(alive.get(), 0);
    });
}

/// K10: what another thread spawns inherits nothing, also while the kernel's own code has values.
#[test]
fn a_task_of_another_thread_inherits_nothing() {
    testing::run(async || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let (handle, waits) = (kernel::handle(), sees());
        let spawning = REQUEST.scope(7, async move {
            let posting = std::thread::spawn(move || {
                handle.spawn(move || {
                    noted.lock().unwrap().push(request());
                    async move { noted.lock().unwrap().push(request()) }
                })
            });
            posting.join().unwrap().unwrap();
            waits.await
        });
        assert_eq!(spawning.await, Ok((None, None)));
        assert_eq!(*seen.lock().unwrap(), [None, None]);
    });
}

/// K10: without a value `with` panics with the type, and outside a kernel there is none.
#[test]
fn a_value_that_is_not_set_is_a_panic() {
    assert_eq!(request(), None);
    let panic = std::panic::catch_unwind(|| REQUEST.with(|request| *request)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("`u32` is not set here"), "{message}");
}
