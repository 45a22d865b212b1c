//! `sync::Queue`: order, bounds, `join`, and the interplay of getters and putters.
//! `sync_queue_leaving.rs` tests waiters that are cancelled or dropped.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use kernel::{Task, TaskCancelled, spawn, testing, yield_now};
use sync::{NothingToFinish, Queue};
use tokio_test::{assert_pending, assert_ready_ok};

fn getter(queue: &Rc<Queue<u32>>) -> Task<u32, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.get().await })
}

fn putter(queue: &Rc<Queue<u32>>, item: u32) -> Task<(), TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.put(item).await })
}

/// Y2: items come out in the order in which they were put, and a full queue makes its putter wait.
#[test]
fn a_bounded_queue_lets_the_two_sides_take_turns() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(2));
        let log = Rc::new(RefCell::new(Vec::new()));
        let producer = spawn({
            let (queue, log) = (queue.clone(), log.clone());
            async move {
                for n in 1..=5 {
                    queue.put(n).await?;
                    log.borrow_mut().push(format!("put {n}"));
                }
                Ok::<_, TaskCancelled>(())
            }
        });
        testing::settle().await?;
        assert_eq!(*log.borrow(), ["put 1", "put 2"]);
        assert_eq!(queue.len(), 2);
        assert_eq!(producer.state().to_string(), "QUEUE_PUT");
        for n in 1..=5 {
            assert_eq!(queue.get().await?, n);
            log.borrow_mut().push(format!("got {n}"));
            testing::settle().await?;
        }
        producer.join().await?.unwrap();
        let expected = [
            "put 1", "put 2", "got 1", "put 3", "got 2", "put 4", "got 3", "put 5", "got 4",
            "got 5",
        ];
        assert_eq!(*log.borrow(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y4: without a bound no put ever waits.
#[test]
fn an_unbounded_queue_takes_everything_at_once() {
    let queue = Queue::unbounded();
    for n in 0..1000 {
        let mut put = tokio_test::task::spawn(queue.put(n));
        assert_ready_ok!(put.poll());
        queue.try_put(n).unwrap();
    }
    assert_eq!((queue.len(), queue.unfinished()), (2000, 2000));
}

/// Y2: getters are served in order of arrival.
#[test]
fn the_oldest_getter_gets_the_first_item() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let getters = [0; 4].map(|_| getter(&queue));
        testing::settle().await?;
        for n in 0..4 {
            queue.put(n).await?;
        }
        for (n, getter) in (0..).zip(getters) {
            assert_eq!(getter.join().await?.unwrap(), n);
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2, Y4: a put assigns the item to the oldest getter. No task that runs before that getter, the
/// putter included, can take it.
#[test]
fn an_item_is_assigned_to_the_oldest_getter_and_nobody_robs_it() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let waiting = getter(&queue);
        testing::settle().await?;
        queue.put(1).await?;
        assert!(!waiting.is_done(), "`put` switched");
        assert!(queue.try_get().is_none());
        assert!(queue.is_empty());
        let late = getter(&queue);
        let mine = spawn({
            let queue = queue.clone();
            async move {
                yield_now().await?;
                queue.put(2).await
            }
        });
        assert_eq!(waiting.join().await?.unwrap(), 1);
        assert_eq!(late.join().await?.unwrap(), 2);
        mine.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: a free slot is assigned to the oldest putter. No task that runs before that putter can take
/// it.
#[test]
fn a_free_place_is_given_to_the_oldest_putter_and_nobody_takes_it() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(1).await?;
        let [second, third] = [2, 3].map(|n| putter(&queue, n));
        testing::settle().await?;
        assert_eq!(queue.try_get(), Some(1));
        assert_eq!(
            queue.try_put(9).unwrap_err().into_item(),
            9,
            "the place is the oldest putter's"
        );
        assert_eq!(queue.get().await?, 2);
        assert_eq!(queue.get().await?, 3);
        second.join().await?.unwrap();
        third.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: the item of a waiting putter is queued before one that is put later, even if there is more
/// than one free slot.
#[test]
fn a_later_put_does_not_overtake_one_that_waited() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(2));
        queue.put(1).await?;
        queue.put(2).await?;
        let waited = putter(&queue, 3);
        testing::settle().await?;
        assert_eq!(queue.try_get(), Some(1));
        assert_eq!(queue.try_get(), Some(2));
        // Now there are two free slots. One is assigned to the waiting putter, which has not run
        // yet.
        let late = match queue.try_put(4) {
            Ok(()) => None,
            Err(full) => Some(putter(&queue, full.into_item())),
        };
        assert_eq!(queue.get().await?, 3);
        assert_eq!(queue.get().await?, 4);
        waited.join().await?.unwrap();
        if let Some(late) = late {
            late.join().await?.unwrap();
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: putters are served in order of arrival.
#[test]
fn waiting_putters_are_served_in_order() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        let putters = [1, 2, 3, 4].map(|n| putter(&queue, n));
        testing::settle().await?;
        for n in 1..=4 {
            assert_eq!(queue.get().await?, n);
        }
        for putter in putters {
            putter.join().await?.unwrap();
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y4: `join` waits until every item that was put is done, not only taken out.
#[test]
fn join_waits_until_everything_is_done() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        queue.join().await?;
        queue.put(1).await?;
        queue.put(2).await?;
        let joiners = [0; 2].map(|_| {
            let queue = queue.clone();
            spawn(async move { queue.join().await })
        });
        queue.get().await?;
        queue.task_done().unwrap();
        queue.get().await?;
        testing::settle().await?;
        assert!(joiners.iter().all(|joiner| !joiner.is_done()));
        joiners[0].cancel().await?;
        queue.task_done().unwrap();
        assert!(!joiners[1].is_done(), "`task_done` switched");
        joiners[1].join().await?.unwrap();
        assert!(joiners[0].join().await?.is_err());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y4: one `task_done` too many is an error, and changes nothing.
#[test]
fn task_done_without_an_item_is_an_error() {
    let queue = Queue::unbounded();
    assert_eq!(queue.task_done(), Err(NothingToFinish));
    queue.try_put(1).unwrap();
    assert_eq!(queue.task_done(), Ok(()));
    assert_eq!(queue.task_done(), Err(NothingToFinish));
    assert_eq!(queue.unfinished(), 0);
}

/// C12, Y2: without a kernel an item goes to the oldest getter, and a slot to the oldest putter.
#[test]
fn polled_by_hand_it_hands_items_and_places_over() {
    let queue = Queue::bounded(1);
    let mut first = tokio_test::task::spawn(queue.get());
    let mut second = tokio_test::task::spawn(queue.get());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    queue.try_put("a").unwrap();
    assert!(first.is_woken() && !second.is_woken());
    queue.try_put("b").unwrap();
    assert!(second.is_woken());
    // The younger waiter is polled first, and still gets its own item.
    assert_eq!(assert_ready_ok!(second.poll()), "b");
    assert_eq!(assert_ready_ok!(first.poll()), "a");
    queue.try_put("c").unwrap();
    let mut put = tokio_test::task::spawn(queue.put("d"));
    assert_pending!(put.poll());
    assert_eq!(queue.try_get(), Some("c"));
    assert!(put.is_woken());
    assert_ready_ok!(put.poll());
    assert_eq!(queue.try_get(), Some("d"));
}

/// Y2: in any order of tasks every item arrives exactly once, and each producer's in order.
#[test]
fn in_any_order_of_tasks_every_item_arrives_once_and_in_its_producers_order() {
    testing::run_seeds(0..30, async |_seed| {
        let queue = Rc::new(Queue::bounded(2));
        let producers = [0, 100, 200].map(|from| {
            let queue = queue.clone();
            spawn(async move {
                for n in from..from + 10 {
                    queue.put(n).await?;
                }
                Ok::<_, TaskCancelled>(())
            })
        });
        let mut got = Vec::new();
        for _ in 0..30 {
            got.push(queue.get().await.unwrap());
            assert!(queue.len() <= 2);
        }
        for (from, producer) in [0, 100, 200].into_iter().zip(producers) {
            producer.join().await.unwrap().unwrap();
            let mine: Vec<u32> = got.iter().copied().filter(|n| n / 100 * 100 == from).collect();
            assert_eq!(mine, (from..from + 10).collect::<Vec<_>>());
        }
        assert!(queue.is_empty());
    });
}

/// Y2: a put does not overtake a putter that was promised a slot and has not run yet, even if there
/// is a slot for both: a waiting getter gets the older item.
#[test]
fn a_put_does_not_overtake_one_that_was_promised_a_place() {
    let queue = Queue::bounded(2);
    queue.try_put(1).unwrap();
    queue.try_put(2).unwrap();
    let mut waited = tokio_test::task::spawn(queue.put(3));
    assert_pending!(waited.poll());
    assert_eq!((queue.try_get(), queue.try_get()), (Some(1), Some(2)));
    let mut getter = tokio_test::task::spawn(queue.get());
    assert_pending!(getter.poll());
    let mut late = tokio_test::task::spawn(queue.put(4));
    assert_pending!(late.poll(), "the one that waited comes first");
    assert_ready_ok!(waited.poll());
    assert_eq!(assert_ready_ok!(getter.poll()), 3);
    assert!(late.is_woken());
    assert_ready_ok!(late.poll());
    assert_eq!(queue.try_get(), Some(4));
}

thread_local! {
    static TRIED: RefCell<Option<(Rc<Queue<u32>>, bool)>> = const { RefCell::new(None) };
}

/// Puts an item when it is woken.
struct Puts;

impl Wake for Puts {
    fn wake(self: Arc<Self>) {
        TRIED.with_borrow_mut(|tried| {
            if let Some((queue, had)) = tried {
                *had = queue.try_put(9).is_ok();
            }
        });
    }
}

/// Y2: what the waker of a getter puts does not overtake a waiting putter whose slot is free at
/// that moment and not promised yet.
#[test]
fn a_put_in_a_wake_does_not_overtake_one_that_waits() {
    let queue = Rc::new(Queue::bounded(1));
    TRIED.set(Some((queue.clone(), true)));
    queue.try_put(1).unwrap();
    let [mut second, mut third] = [2, 3].map(|item| tokio_test::task::spawn(queue.put(item)));
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    assert_eq!(queue.try_get(), Some(1));
    let mut getter = pin!(queue.get());
    let waker = Waker::from(Arc::new(Puts));
    let cx = &mut Context::from_waker(&waker);
    assert_pending!(getter.as_mut().poll(cx));
    assert_ready_ok!(second.poll(), "straight to the getter, whose waker finds the slot free");
    let overtook = TRIED.take().map(|(_, had)| had);
    assert_eq!((overtook, third.is_woken()), (Some(false), true));
    assert_ready_ok!(third.poll());
    assert_eq!(assert_ready_ok!(getter.poll(cx)), 2);
    assert_eq!(queue.try_get(), Some(3));
}
