//! Large groups and deep ones: no stack overflow, and the same cost for every member (G8).

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use kernel::{TaskCancelled, TaskEnd, TaskGroup, WaitPolicy, sleep, spawn, testing};
use sync::Event;

type Ended = Result<(), TaskCancelled>;

const DEEP: u32 = 10_000;
const MANY: u32 = 100_000;

/// Runs `f` on a thread whose stack is too small for a recursion over tasks.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(512 * 1024).spawn(f).unwrap();
    if let Err(payload) = thread.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Counts how many of its instances are alive.
struct Alive(Rc<Cell<u32>>);

impl Alive {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The owner of a group whose one member owns a group, and so on; the innermost body waits.
fn nest(depth: u32, alive: Rc<Cell<u32>>, event: Rc<Event>) -> LocalBoxFuture<'static, Ended> {
    Box::pin(async move {
        let _alive = Alive::new(&alive);
        TaskGroup::<TaskCancelled>::scope(async |g| {
            match depth {
                0 => event.wait().await?,
                _ => drop(g.spawn(nest(depth - 1, alive.clone(), event.clone()))),
            }
            Ok(())
        })
        .await
    })
}

/// G8: ten thousand groups, each a member of the one before, end from the inside out.
#[test]
fn ten_thousand_nested_groups_end_without_a_stack() {
    on_a_small_stack(|| {
        testing::run(async || {
            let (alive, event) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
            let outermost = spawn(nest(DEEP, alive.clone(), event.clone()));
            testing::settle().await.unwrap();
            assert_eq!(alive.get(), DEEP + 1);
            event.set();
            outermost.join().await.unwrap().unwrap();
            assert_eq!(alive.get(), 0);
        });
    });
}

/// G8, G1: they are cancelled from the outside in, and end from the inside out.
#[test]
fn ten_thousand_nested_groups_are_cancelled_without_a_stack() {
    on_a_small_stack(|| {
        testing::run(async || {
            let (alive, event) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
            let outermost = spawn(nest(DEEP, alive.clone(), event.clone()));
            testing::settle().await.unwrap();
            outermost.cancel().await.unwrap();
            assert_eq!(alive.get(), 0);
            assert_eq!(outermost.end(), Some(TaskEnd::Cancelled));
        });
    });
}

/// G8, G4: if they are dropped, all are gone when the outermost drop returns.
#[test]
fn ten_thousand_nested_groups_are_dropped_without_a_stack() {
    on_a_small_stack(|| {
        testing::run(async || {
            let (alive, event) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
            let outermost = spawn(nest(DEEP, alive.clone(), event.clone()));
            testing::settle().await.unwrap();
            assert_eq!(alive.get(), DEEP + 1);
            outermost.abort();
            assert_eq!(alive.get(), 0);
            assert_eq!(kernel::tasks().len(), 1);
        });
    });
}

/// G8, K5: the same in the shutdown, and in the drop of the kernel.
#[test]
fn ten_thousand_nested_groups_are_shut_down_without_a_stack() {
    on_a_small_stack(|| {
        let alive = Rc::new(Cell::new(0));
        testing::run(async || {
            spawn(nest(DEEP, alive.clone(), Rc::new(Event::new())));
            testing::settle().await.unwrap();
            assert_eq!(alive.get(), DEEP + 1);
        });
        assert_eq!(alive.get(), 0);

        let kernel = kernel::Kernel::builder().virtual_clock().build().unwrap();
        kernel.run(async || {
            spawn(nest(DEEP, alive.clone(), Rc::new(Event::new())));
            testing::settle().await.unwrap();
        });
        assert_eq!(alive.get(), DEEP + 1);
        drop(kernel);
        assert_eq!(alive.get(), 0);
    });
}

/// G8: a chain of ten thousand owners that fail one after the other.
#[test]
fn a_failure_climbs_ten_thousand_groups() {
    fn nest(depth: u32) -> LocalBoxFuture<'static, Result<(), std::io::Error>> {
        Box::pin(TaskGroup::<std::io::Error>::scope(async move |g| match depth {
            0 => Err(std::io::Error::other("from the depth")),
            _ => {
                g.spawn(nest(depth - 1));
                Ok(sleep(Duration::MAX).await?)
            }
        }))
    }
    on_a_small_stack(|| {
        let ended = testing::run(async || nest(DEEP).await);
        assert_eq!(ended.unwrap_err().to_string(), "from the depth");
    });
}

/// G8: a hundred thousand members that end by themselves.
#[test]
fn a_hundred_thousand_members_end() {
    on_a_small_stack(|| {
        testing::run(async || {
            let (ended, event) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
            TaskGroup::<TaskCancelled>::scope(async |g| {
                for _ in 0..MANY {
                    let (ended, event) = (ended.clone(), event.clone());
                    g.spawn(async move {
                        event.wait().await?;
                        ended.set(ended.get() + 1);
                        Ok(())
                    });
                }
                testing::settle().await?;
                event.set();
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(ended.get(), MANY);
        });
    });
}

/// G8, G2: one failure cancels a hundred thousand, and each is awaited.
#[test]
fn a_hundred_thousand_members_are_cancelled() {
    on_a_small_stack(|| {
        testing::run(async || {
            let alive = Rc::new(Cell::new(0));
            let ended = TaskGroup::<std::io::Error>::scope(async |g| {
                for _ in 0..MANY {
                    let guard = Alive::new(&alive);
                    g.spawn(async move {
                        let _guard = guard;
                        Ok(sleep(Duration::MAX).await?)
                    });
                }
                testing::settle().await?;
                assert_eq!(alive.get(), MANY);
                g.spawn(async { Err::<(), _>(std::io::Error::other("the last one")) });
                Ok(())
            })
            .await;
            assert_eq!(ended.unwrap_err().to_string(), "the last one");
            assert_eq!(alive.get(), 0);
        });
    });
}

/// G8, G4: a hundred thousand dropped at once.
#[test]
fn a_hundred_thousand_members_are_dropped() {
    on_a_small_stack(|| {
        testing::run(async || {
            let alive = Rc::new(Cell::new(0));
            let group = TaskGroup::<TaskCancelled>::new();
            for _ in 0..MANY {
                let guard = Alive::new(&alive);
                group.spawn(async move {
                    let _guard = guard;
                    sleep(Duration::MAX).await
                });
            }
            testing::settle().await.unwrap();
            drop(group);
            assert_eq!(alive.get(), 0);
            assert_eq!(kernel::tasks().len(), 1);
        });
    });
}

/// G8, G3: a hundred thousand failures are all kept.
#[test]
fn a_hundred_thousand_failures_are_kept() {
    on_a_small_stack(|| {
        testing::run(async || {
            let event = Rc::new(Event::new());
            let ended = TaskGroup::<std::io::Error>::scope_all(async |g| {
                for n in 0..MANY {
                    let event = event.clone();
                    g.spawn(async move {
                        event.wait().await?;
                        Err::<(), _>(std::io::Error::from_raw_os_error(n as i32))
                    });
                }
                testing::settle().await?;
                event.set();
                Ok(())
            })
            .await;
            let errors = ended.unwrap_err();
            assert_eq!(errors.first.raw_os_error(), Some(0));
            assert_eq!(errors.others.len(), MANY as usize - 1);
            assert_eq!(errors.others.last().unwrap().raw_os_error(), Some(MANY as i32 - 1));
        });
    });
}

/// G8, G6: `next_done` returns a hundred thousand endings, in order.
#[test]
fn a_hundred_thousand_endings_are_told() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::with(WaitPolicy::All);
        let mut ids = Vec::new();
        for _ in 0..MANY {
            ids.push(group.spawn(async {}).id());
        }
        for id in ids {
            assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(id));
        }
        assert_eq!(group.next_done().await, Ok(None));
        group.join().await.unwrap();
    });
}

/// G8: a join chain of a hundred thousand tasks, each waiting for the one before it.
#[test]
fn a_join_chain_of_a_hundred_thousand_ends() {
    on_a_small_stack(|| {
        testing::run(async || {
            let event = Rc::new(Event::new());
            let theirs = event.clone();
            let mut last = spawn(async move {
                theirs.wait().await?;
                Ok::<_, TaskCancelled>(0_u32)
            });
            for _ in 1..MANY {
                let before = last;
                last = spawn(async move { Ok(before.join().await?.unwrap() + 1) });
            }
            testing::settle().await.unwrap();
            event.set();
            assert_eq!(last.join().await.unwrap().unwrap(), MANY - 1);
        });
    });
}

/// G8, K5: the shutdown ends a chain that does not end by itself.
#[test]
fn a_join_chain_of_a_hundred_thousand_is_dropped_without_a_stack() {
    on_a_small_stack(|| {
        let alive = Rc::new(Cell::new(0));
        let kernel = kernel::Kernel::builder().virtual_clock().build().unwrap();
        kernel.run(async || {
            let mut last = spawn(sleep(Duration::MAX));
            for _ in 0..MANY {
                let (before, guard) = (last, Alive::new(&alive));
                last = spawn(async move {
                    let _guard = guard;
                    before.join().await?.unwrap();
                    Ok(())
                });
            }
            testing::settle().await.unwrap();
        });
        assert_eq!(alive.get(), MANY);
        drop(kernel);
        assert_eq!(alive.get(), 0);
    });
}
