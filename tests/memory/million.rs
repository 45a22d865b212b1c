//! A million tasks at once: they all fit and end, and each costs little (K5, G8).

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use kernel::{Kernel, TaskCancelled, TaskEnd, TaskGroup, sleep, spawn, testing};
use sync::Event;

use crate::{ALLOCATOR, alone, bytes_in_use};

const MILLION: usize = 1_000_000;

/// What an idle task may cost besides its future, in bytes.
const OVERHEAD: usize = 210;

/// Runs `f` alone, on a thread whose stack is too small for a recursion over tasks.
fn alone_on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let _alone = alone();
    let thread = thread::Builder::new().stack_size(256 * 1024).spawn(f).unwrap();
    if let Err(payload) = thread.join() {
        std::panic::resume_unwind(payload);
    }
}

/// Counts one down when it is dropped.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn parked(alive: Alive) -> Result<(), TaskCancelled> {
    let _alive = alive;
    sleep(Duration::MAX).await
}

/// K5: a million parked tasks, which the shutdown cancels and awaits.
#[test]
fn a_million_parked_tasks_are_shut_down() {
    alone_on_a_small_stack(|| {
        let alive = Rc::new(Cell::new(0));
        testing::run(async || {
            for _ in 0..MILLION {
                drop(spawn(parked(Alive::new(&alive))));
            }
            testing::settle().await.unwrap();
            assert_eq!(alive.get(), MILLION);
        });
        assert_eq!(alive.get(), 0);
    });
}

/// K5, K14: the tasks that the shutdown cancels take no memory for their cancellations one by one:
/// neighbours share it, and a task that has ended leaves its cancellation to the next.
#[test]
fn the_shutdown_allocates_nothing_for_most_tasks() {
    const TASKS: usize = 10_000;
    let _alone = alone();
    let before = Cell::new(0);
    Kernel::builder()
        .virtual_clock()
        .run(async || {
            (0..TASKS).for_each(|_| drop(spawn(sleep(Duration::from_secs(1000)))));
            testing::settle().await?;
            before.set(ALLOCATOR.stats().allocations);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    let made = ALLOCATOR.stats().allocations - before.get();
    assert!(made < TASKS / 16, "{made} allocations in the shutdown of {TASKS} tasks");
}

/// K14: a kernel that shuts down frees the memory of tasks that have ended while others are left.
#[test]
fn the_shutdown_gives_memory_back_before_the_last_task() {
    struct Notes(Rc<Cell<usize>>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.0.set(bytes_in_use());
        }
    }
    let _alone = alone();
    let before = bytes_in_use();
    let (all, last) = (Cell::new(0), Rc::new(Cell::new(0)));
    Kernel::builder()
        .virtual_clock()
        .run(async || {
            let notes = Notes(last.clone());
            // The oldest is cancelled last.
            drop(spawn(async move {
                let _notes = notes;
                sleep(Duration::from_secs(1000)).await
            }));
            (0..100_000).for_each(|_| drop(spawn(sleep(Duration::from_secs(1000)))));
            testing::settle().await?;
            all.set(bytes_in_use() - before);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    let (all, last) = (all.get(), last.get() - before);
    assert!(last < all / 2, "{last} bytes of {all} are left at the last task");
}

/// K5: a million parked tasks dropped with their kernel.
#[test]
fn a_million_parked_tasks_are_dropped() {
    alone_on_a_small_stack(|| {
        let alive = Rc::new(Cell::new(0));
        let kernel = Kernel::builder().virtual_clock().build().unwrap();
        kernel.run(async || {
            for _ in 0..MILLION {
                drop(spawn(parked(Alive::new(&alive))));
            }
            testing::settle().await.unwrap();
        });
        assert_eq!(alive.get(), MILLION);
        drop(kernel);
        assert_eq!(alive.get(), 0);
    });
}

/// G8: a group of a million members: they are woken together, and one error cancels the rest.
#[test]
fn a_group_of_a_million_members_ends() {
    alone_on_a_small_stack(|| {
        testing::run(async || {
            let (alive, event) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
            let ended = TaskGroup::<std::io::Error>::scope(async |g| {
                for n in 0..MILLION {
                    let (guard, event) = (Alive::new(&alive), event.clone());
                    g.spawn(async move {
                        let _guard = guard;
                        event.wait().await?;
                        if n == MILLION / 2 {
                            return Err(std::io::Error::other("the one"));
                        }
                        Ok(sleep(Duration::MAX).await?)
                    });
                }
                testing::settle().await?;
                event.set();
                Ok(())
            })
            .await;
            assert_eq!(ended.unwrap_err().to_string(), "the one");
            assert_eq!(alive.get(), 0);
        });
    });
}

/// K7: a million tasks one after the other leave nothing behind, because slots are reused.
#[test]
fn a_million_tasks_one_after_the_other_take_no_more_room() {
    alone_on_a_small_stack(|| {
        testing::run(async || {
            let once = async || spawn(sleep(Duration::ZERO)).join().await.unwrap().unwrap();
            for _ in 0..100 {
                once().await;
            }
            let before = bytes_in_use();
            for _ in 0..MILLION {
                once().await;
            }
            let more = bytes_in_use().saturating_sub(before);
            assert!(more < 10_000, "{more} bytes more");
        });
    });
}

/// What each of `tasks` parked tasks costs besides its future, in bytes. They are parked for ever,
/// so without a timer or an entry in a queue.
fn bytes_beyond_the_future(tasks: usize) -> usize {
    let future = size_of_val(&sleep(Duration::MAX));
    testing::run(async || {
        let before = bytes_in_use();
        for _ in 0..tasks {
            drop(spawn(sleep(Duration::MAX)));
        }
        testing::settle().await.unwrap();
        ((bytes_in_use() - before) / tasks).saturating_sub(future)
    })
}

/// K5, G8: an idle task costs at most 210 bytes besides its future, the share of the tables
/// included.
#[test]
fn an_idle_task_costs_at_most_210_bytes_beyond_its_future() {
    alone_on_a_small_stack(|| {
        // Tables double: just below, at, and just above a power of two.
        let costs = [130_000, 131_072, 140_000].map(bytes_beyond_the_future);
        assert!(costs.iter().all(|cost| *cost <= OVERHEAD), "{costs:?} bytes");
    });
}

/// K5: the memory of ended tasks is freed while the kernel runs, soon if not at once. What stays is
/// a reserve for some thousand new tasks.
#[test]
fn a_kernel_that_goes_on_gives_the_memory_of_ended_tasks_back() {
    alone_on_a_small_stack(|| {
        testing::run(async || {
            let before = bytes_in_use();
            let tasks: Vec<_> = (0..MILLION).map(|_| spawn(sleep(Duration::ZERO))).collect();
            let alive = bytes_in_use() - before;
            for task in tasks {
                task.join().await.unwrap().unwrap();
            }
            testing::settle().await.unwrap();
            let left = bytes_in_use().saturating_sub(before);
            assert!(left < alive / 5, "{left} bytes of {alive} are left");
        });
    });
}

/// K5: the memory of a million tasks is freed when they have ended.
#[test]
fn the_memory_of_a_million_tasks_is_given_back() {
    alone_on_a_small_stack(|| {
        let before = bytes_in_use();
        let kernel = Kernel::builder().virtual_clock().build().unwrap();
        let ended = kernel.run(async || {
            let last = spawn(sleep(Duration::MAX));
            for _ in 1..MILLION {
                drop(spawn(sleep(Duration::MAX)));
            }
            testing::settle().await.unwrap();
            last
        });
        kernel.shutdown();
        assert_eq!(ended.end(), Some(TaskEnd::Cancelled));
        drop(ended);
        let left = bytes_in_use().saturating_sub(before);
        assert!(left < 1_000_000, "{left} bytes are left");
    });
}
