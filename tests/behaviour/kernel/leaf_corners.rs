//! Where a leaf keeps its record, the waiters for a task, and a wait queue whose wakers call back
//! into it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kernel::wait_queue::{WaitQueue, WaitSlot};
use kernel::{Task, TaskCancelled, TaskError, TaskState, current_task, sleep, spawn, testing};
use sync::Event;

use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;
type Leaf = LocalBoxFuture<'static, Ended>;

/// The kinds of the leaves in which the running task is parked so far.
fn kinds() -> Vec<&'static str> {
    current_task().parked.iter().map(|leaf| leaf.kind).collect()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// C2: a cancel wakes the foreign waker with which a parked leaf was polled last.
#[test]
fn a_cancellation_wakes_the_last_foreign_waker_of_a_leaf() {
    testing::run(async || {
        let counts = [(); 3].map(|()| Arc::<Count>::default());
        let theirs = counts.clone();
        let task = spawn(async move {
            let mut leaf = Box::pin(sleep(Duration::MAX));
            let mut turn = 0;
            poll_fn(|cx| {
                // The first polls change the waker. After that, only a woken leaf polls.
                for count in theirs.iter().filter(|_| turn == 0) {
                    let waker = Waker::from(count.clone());
                    assert!(leaf.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                }
                turn += 1;
                if theirs[2].0.load(Ordering::Relaxed) == 0 {
                    return Poll::Pending;
                }
                leaf.as_mut().poll(cx)
            })
            .await
        });
        testing::settle().await?;
        task.cancel().await?;
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        let woken: Vec<usize> = counts.iter().map(|it| it.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [0, 0, 1]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C2, C9: one leaf has one record, however often it is polled, and with whatever waker. When the
/// leaf is dropped, in the poll in which it parked, the record is gone.
#[test]
fn a_leaf_polled_again_in_one_poll_is_one_record() {
    testing::run(async || {
        let event = Event::new();
        for again in 0..4 {
            let mut leaf = Box::pin(event.wait());
            for _ in 0..3 {
                assert!(futures::poll!(leaf.as_mut()).is_pending());
                assert_eq!(kinds(), ["EVENT_WAIT"]);
            }
            if again % 2 == 1 {
                assert!(leaf.as_mut().now_or_never().is_none());
                assert_eq!(kinds(), ["EVENT_WAIT"]);
            }
            let mut beside = Box::pin(sleep(secs(1)));
            assert!(futures::poll!(beside.as_mut()).is_pending());
            assert_eq!(kinds().len(), 2);
            if again < 2 {
                drop(leaf);
                assert_eq!(kinds(), ["SLEEP"]);
                drop(beside);
            } else {
                drop(beside);
                assert_eq!(kinds(), ["EVENT_WAIT"]);
                drop(leaf);
            }
            assert_eq!(kinds(), [] as [&str; 0]);
        }
    });
}

/// C2, C3: a combinator that polls with the task's own waker and skips a child loses neither the
/// record of the others nor the cancellation, which reaches every child that was parked.
#[test]
fn a_child_that_is_skipped_is_still_reached() {
    testing::run(async || {
        let mut children: Vec<Leaf> = (0..3).map(|_| sleep(Duration::MAX).boxed_local()).collect();
        let (mut polls, mut notified) = (0, Vec::new());
        let task = spawn(poll_fn(move |cx| {
            polls += 1;
            let skipped = if polls == 1 { 3 } else { polls % 3 };
            for (at, child) in children.iter_mut().enumerate() {
                if at != skipped && !notified.contains(&at) {
                    if let Poll::Ready(ended) = child.as_mut().poll(cx) {
                        assert!(ended.is_err());
                        notified.push(at);
                    }
                }
            }
            if notified.len() == 3 {
                return Poll::Ready(Ok::<_, TaskCancelled>(polls));
            }
            if polls > 1 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        testing::settle().await.unwrap();
        assert_eq!(task.state(), TaskState::Parked("SLEEP"));
        task.cancel().await.unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), 3);
    });
}

type Shared = Rc<RefCell<Leaf>>;

fn poll_shared(shared: &Shared) -> impl Future<Output = Ended> + use<> {
    let shared = shared.clone();
    poll_fn(move |cx| shared.borrow_mut().as_mut().poll(cx))
}

/// C9: a leaf that another task polls is parked there, and not in its first task.
#[test]
fn a_leaf_that_another_task_polls_is_parked_there_alone() {
    testing::run(async || {
        let leaf: Shared = Rc::new(RefCell::new(sleep(secs(1)).boxed_local()));
        let first = spawn(poll_shared(&leaf));
        testing::settle().await.unwrap();
        assert_eq!(first.state(), TaskState::Parked("SLEEP"));
        let second = spawn(poll_shared(&leaf));
        testing::settle().await.unwrap();
        let states = (first.state(), second.state());
        assert_eq!(states, (TaskState::Foreign, TaskState::Parked("SLEEP")));
        assert!(second.join().await.unwrap().is_ok());
        first.abort();
    });
}

/// T6, C5: a wait for a task that moves to another task, or to another waker, is notified there. So
/// are the other waiters.
#[test]
fn a_wait_for_a_task_that_moves_is_told_where_it_is() {
    for foreign in [false, true] {
        testing::run(async || {
            let target: Rc<Task<(), TaskCancelled>> = Rc::new(spawn(sleep(Duration::MAX)));
            let theirs = target.clone();
            let wait = async move { theirs.wait().await };
            let leaf: Shared = Rc::new(RefCell::new(wait.boxed_local()));
            let first = spawn(poll_shared(&leaf));
            testing::settle().await.unwrap();
            let shared = poll_shared(&leaf);
            let second: Task<(), TaskCancelled> = if foreign {
                spawn(async move { pin!(shared.shared()).await })
            } else {
                spawn(shared)
            };
            let theirs = target.clone();
            let twice = spawn(async move {
                let (one, two) = futures::join!(theirs.wait(), theirs.wait());
                one.and(two)
            });
            testing::settle().await.unwrap();
            target.abort();
            assert!(second.join().await.unwrap().is_ok());
            assert!(twice.join().await.unwrap().is_ok());
            first.abort();
        });
    }
}

/// Y2: the waiters for a task are notified in order of arrival, also when the first one leaves.
#[test]
fn who_waits_for_a_task_is_told_in_order() {
    testing::run(async || {
        let target: Rc<Task<(), TaskCancelled>> = Rc::new(spawn(sleep(Duration::MAX)));
        let log = Rc::new(RefCell::new(Vec::new()));
        let waits = [0, 1, 2, 3].map(|n| {
            let (target, log) = (target.clone(), log.clone());
            spawn(async move {
                target.wait().await?;
                log.borrow_mut().push(n);
                Ok::<(), TaskCancelled>(())
            })
        });
        testing::settle().await.unwrap();
        waits[0].cancel().await.unwrap();
        let late = {
            let (target, log) = (target.clone(), log.clone());
            spawn(async move {
                target.wait().await?;
                log.borrow_mut().push(4);
                Ok::<(), TaskCancelled>(())
            })
        };
        testing::settle().await.unwrap();
        target.abort();
        late.wait().await.unwrap();
        assert_eq!(log.take(), [1, 2, 3, 4]);
    });
}

type Hook = Box<dyn Fn()>;

thread_local! {
    static ON_WAKE: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static ON_DROP: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

fn set_hooks(on_wake: impl Fn() + 'static, on_drop: impl Fn() + 'static) {
    ON_WAKE.set(Some(Box::new(on_wake)));
    ON_DROP.set(Some(Box::new(on_drop)));
}

/// A waker that runs the functions in the hooks, once.
struct Hooked;

impl Wake for Hooked {
    fn wake(self: Arc<Self>) {
        if let Some(hook) = ON_WAKE.take() {
            hook();
        }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        if let Some(hook) = ON_DROP.take() {
            hook();
        }
    }
}

/// Counts wakes.
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted() -> (Arc<Counted>, Waker) {
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    (counted.clone(), Waker::from(counted))
}

fn enter(queue: &WaitQueue<u32>, slot: &mut WaitSlot, waker: &Waker) -> Poll<u32> {
    queue.poll_enter(slot, 1, &Context::from_waker(waker))
}

/// K9, Y2: a waker that enters the queue again while it is woken is queued behind the others, and
/// every waiter is counted.
#[test]
fn a_waker_may_enter_the_queue_while_it_is_woken() {
    let queue: &'static WaitQueue<u32> = Box::leak(Box::new(WaitQueue::new()));
    let entered = Rc::new(RefCell::new(WaitSlot::default()));
    let (slot, (_, plain)) = (entered.clone(), counted());
    set_hooks(move || assert!(enter(queue, &mut slot.borrow_mut(), &plain).is_pending()), || ());
    let (mut first, mut second) = (WaitSlot::default(), WaitSlot::default());
    let (count, waker) = counted();
    assert!(enter(queue, &mut first, &Waker::from(Arc::new(Hooked))).is_pending());
    assert!(enter(queue, &mut second, &waker).is_pending());
    queue.hand_over(1).unwrap();
    assert_eq!((queue.len(), count.0.load(Ordering::Relaxed)), (2, 0));
    queue.hand_over(2).unwrap();
    queue.hand_over(3).unwrap();
    assert_eq!((queue.len(), queue.hand_over(4)), (0, Err(4)));
    assert_eq!(enter(queue, &mut first, &waker), Poll::Ready(1));
    assert_eq!(enter(queue, &mut second, &waker), Poll::Ready(2));
    assert_eq!(enter(queue, &mut entered.borrow_mut(), &waker), Poll::Ready(3));
    assert!(queue.is_empty());
}

/// K9, Y3: a waker may hand something over while it is dropped, because another waker replaces it
/// or its waiter leaves.
#[test]
fn a_waker_may_hand_over_while_it_is_dropped() {
    let queue: &'static WaitQueue<u32> = Box::leak(Box::new(WaitQueue::new()));
    let mut slot = WaitSlot::default();
    let (count, waker) = counted();
    assert!(enter(queue, &mut slot, &Waker::from(Arc::new(Hooked))).is_pending());
    set_hooks(|| (), move || queue.hand_over(7).unwrap());
    assert!(enter(queue, &mut slot, &waker).is_pending());
    assert_eq!((count.0.load(Ordering::Relaxed), queue.len()), (1, 0), "the new one was woken");
    assert_eq!(enter(queue, &mut slot, &waker), Poll::Ready(7));

    ON_DROP.take();
    assert!(enter(queue, &mut slot, &Waker::from(Arc::new(Hooked))).is_pending());
    set_hooks(|| (), move || assert_eq!(queue.hand_over(8), Err(8)));
    assert_eq!(queue.leave(&mut slot), None);
    assert!(ON_DROP.take().is_none(), "it was dropped");
    assert_eq!((queue.len(), queue.leave(&mut slot)), (0, None));
}

/// Y3: a waker that panics, without a kernel that could report it, leaves the queue intact.
#[test]
fn a_queue_stays_whole_when_a_waker_panics() {
    let queue = WaitQueue::new();
    let (mut first, mut second) = (WaitSlot::default(), WaitSlot::default());
    let (_, waker) = counted();
    set_hooks(|| panic!("of the waker"), || ());
    assert!(enter(&queue, &mut first, &Waker::from(Arc::new(Hooked))).is_pending());
    assert!(enter(&queue, &mut second, &waker).is_pending());
    catch_unwind(AssertUnwindSafe(|| queue.hand_over(1))).unwrap_err();
    assert_eq!(queue.len(), 1);
    assert_eq!(enter(&queue, &mut first, &waker), Poll::Ready(1));
    queue.hand_over(2).unwrap();
    assert_eq!((queue.leave(&mut second), queue.len()), (Some(2), 0));
}
