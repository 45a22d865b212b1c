//! The budget of a poll, when several leaves share it, and the position of a wait that begins with
//! the budget spent.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::future::{join, join_all, select};
use futures::stream::{self, FuturesUnordered, StreamExt};
use kernel::{Task, TaskCancelled, TaskError, spawn, testing, yield_now};
use net::{TcpListener, TcpStream};
use sync::{Condition, Event, Lock, Queue, Semaphore};

/// Operations that may complete in one poll of a task (K2), with a margin for the leaves of one
/// combinator.
const BOUND: usize = 200;

fn filled(items: usize) -> Rc<Queue<usize>> {
    let queue = Rc::new(Queue::unbounded());
    (0..items).for_each(|item| queue.try_put(item).unwrap());
    queue
}

/// Runs `busy`, a task that never waits while `queues` hold items. Another task must run, and a
/// cancellation must arrive, long before they are empty.
fn nobody_is_starved<F>(busy: impl FnOnce(Rc<Queue<usize>>, Rc<Queue<usize>>) -> F)
where
    F: Future<Output = Result<(), TaskCancelled>> + 'static,
{
    testing::run(async || {
        let (a, b) = (filled(20_000), filled(20_000));
        let left = {
            let (a, b) = (a.clone(), b.clone());
            move || a.len() + b.len()
        };
        let busy = spawn(busy(a, b));
        let other = spawn({
            let left = left.clone();
            async move { Ok::<_, TaskCancelled>(left()) }
        });
        let first = 40_000 - other.join().await?.unwrap();
        assert!(first <= BOUND, "{first} operations in one poll");
        busy.cancel().await?;
        let all = 40_000 - left();
        assert!(all <= first + 2 * BOUND, "{all} operations before the cancellation");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2, C2: `select` over two queues that are never empty.
#[test]
fn a_select_over_two_ready_queues_starves_nobody() {
    nobody_is_starved(|a, b| async move {
        loop {
            match select(pin!(a.get()), pin!(b.get())).await {
                futures::future::Either::Left((got, _)) => got?,
                futures::future::Either::Right((got, _)) => got?,
            };
        }
    });
}

/// K2, C2: `join!` of two loops, each of which alone would use up the budget.
#[test]
fn two_loops_in_a_join_share_one_budget() {
    async fn drain(queue: Rc<Queue<usize>>) -> Result<(), TaskCancelled> {
        loop {
            queue.get().await?;
        }
    }
    nobody_is_starved(|a, b| async move {
        let (a, b) = join(drain(a), drain(b)).await;
        a.and(b)
    });
}

/// K2, C2: jobs that are ready as soon as they begin, taken out of a `FuturesUnordered`.
#[test]
fn ready_jobs_in_futures_unordered_starve_nobody() {
    nobody_is_starved(|a, b| async move {
        let mut jobs = FuturesUnordered::new();
        loop {
            while jobs.len() < 10 {
                let (a, b) = (a.clone(), b.clone());
                jobs.push(async move {
                    a.get().await?;
                    b.get().await
                });
            }
            jobs.next().await.expect("there are jobs")?;
        }
    });
}

/// K2, C2: the same through `buffer_unordered`.
#[test]
fn ready_jobs_in_buffer_unordered_starve_nobody() {
    nobody_is_starved(|a, b| async move {
        let queues = [a, b];
        let jobs = stream::iter(0..)
            .map(|at: usize| {
                let queue = queues[at % 2].clone();
                async move { queue.get().await }
            })
            .buffer_unordered(8);
        let mut jobs = pin!(jobs);
        while let Some(got) = jobs.next().await {
            got?;
        }
        Ok(())
    });
}

/// K2: a hundred loops in one `join_all` are a hundred leaves, not a hundred budgets.
#[test]
fn many_loops_in_one_task_share_one_budget() {
    nobody_is_starved(|a, b| async move {
        let loops = (0..20).map(|at| {
            let queue = if at % 2 == 0 { a.clone() } else { b.clone() };
            async move {
                loop {
                    queue.get().await?;
                }
            }
        });
        let ended: Vec<Result<(), TaskCancelled>> = join_all(loops).await;
        ended.into_iter().collect()
    });
}

/// K2: one task that selects over two sockets with bytes to read lets other tasks run.
#[test]
fn a_select_over_two_busy_sockets_starves_nobody() {
    const BYTES: usize = 5_000;
    testing::run(async || {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let client = TcpStream::connect(listener.local_addr()?).await?;
            client.write_all(&[7; BYTES]).await?;
            ends.push((listener.accept().await?.0, client));
        }
        let had = Rc::new(Cell::new(0));
        let reader: Task<(), io::Error> = spawn({
            let had = had.clone();
            async move {
                let (mut one, mut two) = ([0], [0]);
                while had.get() < 2 * BYTES {
                    let (left, right) = (&ends[0].0, &ends[1].0);
                    match select(pin!(left.read(&mut one)), pin!(right.read(&mut two))).await {
                        futures::future::Either::Left((read, _)) => read?,
                        futures::future::Either::Right((read, _)) => read?,
                    };
                    had.set(had.get() + 1);
                }
                Ok(())
            }
        });
        let other = spawn(async move { Ok::<_, TaskCancelled>(had.get()) });
        let first = other.join().await?.unwrap();
        assert!(first <= BOUND, "{first} reads in one poll");
        reader.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// The smallest executor: polls until the future is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}

/// K2: an executor that runs inside a task cannot return to the kernel, and still makes progress.
#[test]
fn an_executor_inside_a_task_gets_on_with_a_join_of_ready_leaves() {
    testing::run(async || {
        let (a, b) = (filled(5_000), filled(5_000));
        let drain = async |queue: &Queue<usize>| {
            while !queue.is_empty() {
                queue.get().await?;
            }
            Ok::<(), TaskCancelled>(())
        };
        let (a, b) = block_on(join(drain(&a), drain(&b)));
        a.and(b)
    })
    .unwrap();
}

/// Completes `count` operations in this poll.
async fn spend(count: usize) -> Result<(), TaskCancelled> {
    let set = Event::new();
    set.set();
    for _ in 0..count {
        set.wait().await?;
    }
    Ok(())
}

type Waiting = Pin<Box<dyn Future<Output = Result<(), TaskCancelled>>>>;

/// A wait on a primitive, and what releases the waiters, one after the other.
struct Case {
    wait: Box<dyn Fn() -> Waiting>,
    release: Box<dyn Fn()>,
}

/// The first of two tasks begins to wait after so many operations in the same poll. 128 are the
/// whole budget. Whatever the number, the first task is served first.
fn the_first_is_served_first(make: impl Fn() -> Case) {
    for spent in [0, 1, 126, 127, 128] {
        testing::run(async || {
            let served = Rc::new(RefCell::new(Vec::new()));
            let case = make();
            let waiter = |name: u32, spent: usize| {
                let (served, wait) = (served.clone(), (case.wait)());
                spawn(async move {
                    spend(spent).await?;
                    wait.await?;
                    served.borrow_mut().push(name);
                    Ok::<(), TaskCancelled>(())
                })
            };
            let both = [waiter(1, spent), waiter(2, 0)];
            testing::settle().await?;
            (case.release)();
            testing::settle().await?;
            (case.release)();
            for task in both {
                task.join().await?.unwrap();
            }
            assert_eq!(*served.borrow(), [1, 2], "after {spent} operations");
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

fn case<P: 'static>(
    shared: P,
    wait: impl AsyncFn(&P) -> Result<(), TaskCancelled> + 'static,
    release: impl Fn(&P) + 'static,
) -> Case {
    let (shared, wait) = (Rc::new(shared), Rc::new(wait));
    Case {
        wait: Box::new({
            let shared = shared.clone();
            move || {
                let (shared, wait) = (shared.clone(), wait.clone());
                Box::pin(async move { wait(&shared).await })
            }
        }),
        release: Box::new(move || release(&shared)),
    }
}

/// Y2: permits of a semaphore.
#[test]
fn a_permit_goes_to_the_first_that_came_with_the_budget_spent() {
    the_first_is_served_first(|| {
        let wait = async |permits: &Semaphore| permits.acquire().await.map(|one| one.forget());
        case(Semaphore::new(0), wait, |permits| permits.add_permits(1))
    });
}

/// Y2: items of a queue.
#[test]
fn an_item_goes_to_the_first_that_came_with_the_budget_spent() {
    the_first_is_served_first(|| {
        let wait = async |queue: &Queue<u8>| queue.get().await.map(drop);
        case(Queue::unbounded(), wait, |queue| queue.try_put(1).unwrap())
    });
}

/// Y2: slots of a full queue.
#[test]
fn a_place_goes_to_the_first_that_came_with_the_budget_spent() {
    the_first_is_served_first(|| {
        let queue = Queue::bounded(1);
        queue.try_put(0).unwrap();
        let wait = async |queue: &Queue<u8>| queue.put(1).await;
        case(queue, wait, |queue| assert!(queue.try_get().is_some()))
    });
}

/// Y2: a condition, whose waiters also queue for the lock.
#[test]
fn a_notification_goes_to_the_first_that_came_with_the_budget_spent() {
    the_first_is_served_first(|| {
        let wait = async |(lock, condition): &(Lock<()>, Condition)| {
            let guard = lock.acquire().await?;
            condition.wait(guard).await.map(drop)
        };
        case((Lock::new(()), Condition::new()), wait, |(_, condition)| condition.notify(1))
    });
}

/// Y2, Y3: a free lock that a task requests with its budget spent is not given to a later task
/// either. If that request is dropped before its next poll, the next task gets the lock.
#[test]
fn a_free_lock_is_kept_for_the_one_that_came_with_the_budget_spent() {
    for dropped in [false, true] {
        testing::run(async || {
            let order = Rc::new(RefCell::new(Vec::new()));
            let lock = Rc::new(Lock::new(()));
            let waiter = |name: u32, spent: usize| {
                let (order, lock) = (order.clone(), lock.clone());
                spawn(async move {
                    spend(spent).await?;
                    let _held = lock.acquire().await?;
                    order.borrow_mut().push(name);
                    yield_now().await
                })
            };
            let (first, second) = (waiter(1, 128), waiter(2, 0));
            yield_now().await?;
            if dropped {
                first.abort();
            }
            second.join().await?.unwrap();
            let expected: &[u32] = if dropped { &[2] } else { &[1, 2] };
            assert_eq!(*order.borrow(), expected);
            assert!(!lock.is_held());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// C1, K2: with the budget spent, a pending cancellation comes before the operation is tried.
#[test]
fn with_the_budget_spent_a_cancellation_leaves_the_lock_free() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let task = spawn({
            let lock = lock.clone();
            async move {
                spend(128).await?;
                lock.acquire().await.map(drop)
            }
        });
        task.request_cancel();
        assert!(task.join().await?.is_err());
        assert!(!lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// N3: a reader that begins with its budget spent is the first. One that comes later is refused.
#[test]
fn a_reader_with_its_budget_spent_keeps_its_direction() {
    for spent in [0, 127, 128] {
        testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let client = TcpStream::connect(listener.local_addr()?).await?;
            let server = Rc::new(listener.accept().await?.0);
            let reader = |spent: usize| {
                let server = server.clone();
                spawn(async move {
                    spend(spent).await?;
                    server.read(&mut [0; 8]).await
                })
            };
            let (first, second) = (reader(spent), reader(0));
            testing::settle().await?;
            client.write_all(b"x").await?;
            let refused: Result<usize, TaskError<io::Error>> = second.join().await?;
            let Err(TaskError::Failed(refused)) = refused else { panic!("it was not refused") };
            assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy, "after {spent} operations");
            assert_eq!(first.join().await?.unwrap(), 1);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}
