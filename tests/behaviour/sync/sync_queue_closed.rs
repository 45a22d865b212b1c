//! `sync::Queue`: the close, and its effect on the waiting tasks and on the items.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use kernel::{Task, TaskCancelled, TaskError, sleep, spawn, testing};
use sync::{Closed, Queue, TryPutError};
use tokio_test::{assert_pending, assert_ready_ok};

type Put = Result<(), Closed<u32>>;

fn getter(queue: &Rc<Queue<u32>>) -> Task<Option<u32>, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.next().await })
}

fn putter(queue: &Rc<Queue<u32>>, item: u32) -> Task<Put, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.put_unless_closed(item).await })
}

/// Y5, Y4: a close wakes every waiting getter, the oldest first, and tells it that the queue has
/// ended. It does not switch.
#[test]
fn a_close_wakes_the_parked_getters() {
    testing::run(async || {
        let queue = Rc::new(Queue::<u32>::unbounded());
        let order = Rc::new(RefCell::new(Vec::new()));
        let getters = [0, 1, 2].map(|n| {
            let (queue, order) = (queue.clone(), order.clone());
            spawn(async move {
                let got = queue.next().await?;
                order.borrow_mut().push(n);
                Ok::<_, TaskCancelled>(got)
            })
        });
        testing::settle().await?;
        queue.close();
        assert!(queue.is_closed() && getters.iter().all(|getter| !getter.is_done()));
        for getter in getters {
            assert_eq!(getter.join().await?.unwrap(), None);
        }
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert_eq!(queue.next().await?, None);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5: a close wakes every waiting putter and gives its item back. A later put fails at once.
#[test]
fn a_close_wakes_the_parked_putters_with_their_items() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(1).await?;
        let putters = [2, 3].map(|item| putter(&queue, item));
        testing::settle().await?;
        assert!(putters.iter().all(|putter| putter.state().to_string() == "QUEUE_PUT"));
        queue.close();
        for (item, putter) in [2, 3].into_iter().zip(putters) {
            assert_eq!(putter.join().await?.unwrap(), Err(Closed(item)));
        }
        assert_eq!(queue.put_unless_closed(4).await?, Err(Closed(4)));
        assert_eq!(queue.try_put(5), Err(TryPutError::Closed(5)));
        assert_eq!((queue.len(), queue.unfinished()), (1, 1));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5, Y3: every way to get still returns the items that were put before the close, in order.
#[test]
fn items_put_before_the_close_are_still_got() {
    testing::run(async || {
        let queue = Queue::bounded(4);
        for item in 1..=4 {
            assert_eq!(queue.put_unless_closed(item).await?, Ok(()));
        }
        assert_eq!(queue.try_put(5), Err(TryPutError::Full(5)));
        queue.close();
        assert_eq!(queue.next().await?, Some(1));
        assert_eq!(queue.get().await?, 2);
        assert_eq!(queue.try_get(), Some(3));
        assert_eq!(queue.next().await?, Some(4));
        assert_eq!((queue.next().await?, queue.try_get()), (None, None));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5, Y3: a put that was promised a slot before the close is done, and getters wait for its item.
#[test]
fn a_put_that_was_promised_a_place_before_the_close_is_done() {
    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let mut promised = tokio_test::task::spawn(queue.put_unless_closed(2));
    let mut refused = tokio_test::task::spawn(queue.put_unless_closed(3));
    assert_pending!(promised.poll());
    assert_pending!(refused.poll());
    assert_eq!(queue.try_get(), Some(1));
    queue.close();
    let mut first = tokio_test::task::spawn(queue.next());
    let mut second = tokio_test::task::spawn(queue.next());
    assert_pending!(first.poll(), "an item is to come");
    assert_pending!(second.poll());
    assert_eq!(assert_ready_ok!(promised.poll()), Ok(()));
    assert_eq!(assert_ready_ok!(refused.poll()), Err(Closed(3)));
    assert!(first.is_woken() && !second.is_woken());
    assert_eq!(assert_ready_ok!(first.poll()), Some(2));
    assert!(second.is_woken(), "the last item is taken");
    assert_eq!(assert_ready_ok!(second.poll()), None);
}

/// Y5: when a putter is dropped with its promised slot, the getters stop waiting for its item.
#[test]
fn a_promised_put_that_is_dropped_after_the_close_ends_the_wait_for_it() {
    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let mut promised = tokio_test::task::spawn(queue.put(2));
    assert_pending!(promised.poll());
    assert_eq!(queue.try_get(), Some(1));
    queue.close();
    let mut getter = tokio_test::task::spawn(queue.next());
    assert_pending!(getter.poll());
    drop(promised);
    assert!(getter.is_woken());
    assert_eq!(assert_ready_ok!(getter.poll()), None);
}

/// Y5, Y3: if an item was assigned before the close to a getter that is dropped before it ran, it
/// goes to a waiting getter. The end is reported only when it is certain.
#[test]
fn an_assigned_item_that_comes_back_after_the_close_is_got() {
    for dropped in [true, false] {
        let queue = Queue::unbounded();
        let mut first = tokio_test::task::spawn(queue.next());
        let mut second = tokio_test::task::spawn(queue.next());
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        queue.try_put(1).unwrap();
        queue.close();
        let mut third = tokio_test::task::spawn(queue.next());
        assert_pending!(third.poll());
        assert!(first.is_woken() && !second.is_woken());
        assert_eq!(
            queue.try_put(2),
            Err(TryPutError::Closed(2)),
            "not even to a getter that waits"
        );
        if dropped {
            drop(first);
            assert_eq!(assert_ready_ok!(second.poll()), Some(1));
        } else {
            assert_eq!(assert_ready_ok!(first.poll()), Some(1));
            assert!(second.is_woken());
            assert_eq!(assert_ready_ok!(second.poll()), None);
        }
        assert!(third.is_woken());
        assert_eq!(assert_ready_ok!(third.poll()), None);
    }
}

/// Y5: a second close does nothing, also while items are left.
#[test]
fn closing_twice_is_harmless() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(2));
        queue.put(1).await?;
        queue.close();
        queue.close();
        assert_eq!(queue.next().await?, Some(1));
        queue.close();
        let late = getter(&queue);
        assert_eq!(late.join().await?.unwrap(), None);
        queue.close();
        assert_eq!(queue.next().await?, None);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Closes the queue when it is dropped.
struct Closer(Rc<Queue<u32>>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Y5, K9: a destructor may close the queue: that of an aborted producer, or one in an item of the
/// queue.
#[test]
fn a_destructor_may_close_the_queue() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let producer = spawn({
            let closer = Closer(queue.clone());
            async move {
                closer.0.put(1).await?;
                sleep(Duration::MAX).await
            }
        });
        let consumers = [0; 2].map(|_| getter(&queue));
        testing::settle().await?;
        assert!(!consumers[1].is_done());
        producer.abort();
        let [first, second] = consumers;
        assert_eq!(first.join().await?.unwrap(), Some(1));
        assert_eq!(second.join().await?.unwrap(), None);

        let inner = Rc::new(Queue::unbounded());
        let outer = Queue::bounded(1);
        let waiting = getter(&inner);
        testing::settle().await?;
        outer.put(Closer(inner)).await?;
        outer.close();
        drop(outer);
        assert_eq!(waiting.join().await?.unwrap(), None);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5, C1, C3: a getter that is notified of the end and cancelled in one tick returns the end, and
/// the cancellation is delivered at the next await. One that was cancelled before returns the
/// cancellation.
#[test]
fn a_close_and_a_cancel_in_one_tick_give_both() {
    testing::run(async || {
        let queue = Rc::new(Queue::<u32>::unbounded());
        let [both, before] = [false, true].map(|close_first| {
            let queue = queue.clone();
            spawn(async move {
                let got = queue.next().await;
                if close_first {
                    return got.map(|got| (got, false));
                }
                Ok::<_, TaskCancelled>((got?, sleep(Duration::MAX).await.is_err()))
            })
        });
        testing::settle().await?;
        before.cancel().await?;
        queue.close();
        both.request_cancel();
        assert_eq!(both.join().await?.unwrap(), (None, true));
        assert!(matches!(before.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5: `join` and `task_done` count the items, whether the queue is closed or not.
#[test]
fn a_closed_queue_is_joined_when_its_items_are_done() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        queue.put(1).await?;
        queue.close();
        let theirs = queue.clone();
        let join = spawn(async move { theirs.join().await });
        assert_eq!(queue.next().await?, Some(1));
        testing::settle().await?;
        assert!(!join.is_done());
        queue.task_done().unwrap();
        join.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y5, K2: a loop that polls an ended queue again and again starves no other task.
#[test]
fn asking_an_ended_queue_spends_the_budget() {
    testing::run(async || {
        let queue = Queue::<u32>::unbounded();
        queue.close();
        let other = spawn(async { Ok::<(), TaskCancelled>(()) });
        for _ in 0..1000 {
            assert_eq!(queue.next().await?, None);
        }
        assert!(other.is_done());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

thread_local! {
    static CLOSES: RefCell<Option<Rc<Queue<u32>>>> = const { RefCell::new(None) };
}

/// Closes the queue when it is woken.
struct Closes;

impl Wake for Closes {
    fn wake(self: Arc<Self>) {
        if let Some(queue) = CLOSES.with_borrow(Clone::clone) {
            queue.close();
        }
    }
}

/// Y5, K9: a foreign waker may close the queue that wakes it: that of a getter which is handed an
/// item, and that of a putter which is promised a slot.
#[test]
fn a_waker_may_close_the_queue_that_wakes_it() {
    let waker = Waker::from(Arc::new(Closes));
    let queue = Rc::new(Queue::bounded(1));
    CLOSES.set(Some(queue.clone()));
    let mut first = Box::pin(queue.next());
    let mut second = tokio_test::task::spawn(queue.next());
    assert_pending!(first.as_mut().poll(&mut Context::from_waker(&waker)));
    assert_pending!(second.poll());
    assert_eq!(queue.try_put(1), Ok(()));
    assert!(queue.is_closed() && !second.is_woken());
    assert_eq!(assert_ready_ok!(first.as_mut().poll(&mut Context::from_waker(&waker))), Some(1));
    assert_eq!(assert_ready_ok!(second.poll()), None);

    let queue = Rc::new(Queue::bounded(1));
    CLOSES.set(Some(queue.clone()));
    queue.try_put(1).unwrap();
    let mut promised = Box::pin(queue.put_unless_closed(2));
    let mut refused = tokio_test::task::spawn(queue.put_unless_closed(3));
    assert_pending!(promised.as_mut().poll(&mut Context::from_waker(&waker)));
    assert_pending!(refused.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert_eq!(assert_ready_ok!(refused.poll()), Err(Closed(3)));
    let put = assert_ready_ok!(promised.as_mut().poll(&mut Context::from_waker(&waker)));
    assert_eq!((put, queue.try_get()), (Ok(()), Some(2)));
    CLOSES.take();
}

fn message(panics: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    panic.downcast_ref::<&str>().expect("a text without parameters").to_string()
}

/// Y5: `put` and `get` are for queues that stay open. On a closed one they panic and name the call
/// to use instead. A bound of zero panics, too.
#[test]
fn the_panics_of_a_queue_say_what_to_write() {
    let queue = Queue::unbounded();
    let mut parked = tokio_test::task::spawn(queue.get());
    assert_pending!(parked.poll());
    queue.close();
    assert!(message(|| assert_pending!(parked.poll())).contains("use `next`"));
    let mut get = tokio_test::task::spawn(queue.get());
    assert!(message(|| assert_pending!(get.poll())).contains("use `next`"));
    let mut put = tokio_test::task::spawn(queue.put(1));
    assert!(message(|| assert_pending!(put.poll())).contains("use `put_unless_closed`"));
    assert!(message(|| drop(Queue::<u32>::bounded(0))).contains("`unbounded`"));
}
