//! `sync::UniversalQueue::close`: what putters and getters get, also when they wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use curium::kernel::{TaskCancelled, spawn, testing};
use curium::sync::{Closed, TryPutError, UniversalQueue};
use tokio_test::{assert_pending, assert_ready_ok};

const MAX: Duration = Duration::MAX;

/// U2: a closed queue takes no further item, and the getters empty it.
#[test]
fn a_closed_queue_is_emptied_and_takes_nothing() {
    testing::run(async || {
        let queue = UniversalQueue::bounded(2);
        queue.put(1).await?;
        queue.close();
        queue.close();
        assert!(queue.is_closed());
        assert_eq!(queue.try_put(2), Err(TryPutError::Closed(2)));
        assert_eq!(queue.put_unless_closed(3).await?, Err(Closed(3)));
        assert_eq!(
            (queue.next().await?, queue.next().await?, queue.try_get()),
            (Some(1), None, None)
        );
        queue.put_from(&mut None).await?;
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
    let queue = UniversalQueue::bounded(1);
    queue.close();
    assert_eq!(queue.put_blocking(4, MAX), Err(TryPutError::Closed(4)));
    assert_eq!(queue.next_blocking(MAX), Ok(None));
}

/// U2: the waiting putters get their items back, the oldest first, whatever waits.
#[test]
fn a_close_gives_the_waiting_putters_their_items_back() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(1));
        queue.put(1).await?;
        let putters = [2, 3].map(|item| {
            let queue = queue.clone();
            spawn(async move { queue.put_unless_closed(item).await })
        });
        testing::settle().await?;
        queue.close();
        for (putter, item) in putters.into_iter().zip([2, 3]) {
            assert_eq!(putter.await?, Err(Closed(item)));
        }
        assert_eq!((queue.next().await?, queue.next().await?), (Some(1), None));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
    let queue = UniversalQueue::bounded(1);
    queue.try_put(1).unwrap();
    thread::scope(|scope| {
        let putter = scope.spawn(|| queue.put_blocking(2, MAX));
        queue.close();
        assert_eq!(putter.join().unwrap(), Err(TryPutError::Closed(2)));
    });
}

/// U2: a dropped putter whose item came back from a close has it in its variable.
#[test]
fn a_dropped_putter_has_its_item_back_from_a_close() {
    let queue = UniversalQueue::bounded(1);
    queue.try_put(1).unwrap();
    let mut item = Some(2);
    let mut put = tokio_test::task::spawn(queue.put_from(&mut item));
    assert_pending!(put.poll());
    queue.close();
    assert!(put.is_woken());
    drop(put);
    assert_eq!((item, queue.len(), queue.unfinished()), (Some(2), 1, 1));
}

/// U2: waiting getters learn of the end at once if no item can come back, whatever they are.
#[test]
fn a_close_wakes_the_waiting_getters() {
    let queue = UniversalQueue::<u32>::unbounded();
    let mut gets = [(); 2].map(|()| tokio_test::task::spawn(queue.next()));
    gets.iter_mut().for_each(|get| assert_pending!(get.poll()));
    thread::scope(|scope| {
        let getter = scope.spawn(|| queue.next_blocking(MAX));
        queue.close();
        assert_eq!(getter.join().unwrap(), Ok(None));
    });
    gets.iter_mut().for_each(|get| {
        assert!(get.is_woken());
        assert_eq!(assert_ready_ok!(get.poll()), None);
    });
}

/// U2: while an item can come back from a getter that has not run yet, the others wait for it.
#[test]
fn the_end_waits_for_an_item_that_may_come_back() {
    for dropped in [true, false] {
        let queue = UniversalQueue::unbounded();
        let mut first = tokio_test::task::spawn(queue.next());
        assert_pending!(first.poll());
        queue.try_put(1).unwrap();
        queue.close();
        let mut second = tokio_test::task::spawn(queue.next());
        assert_pending!(second.poll());
        let mut third = tokio_test::task::spawn(queue.next());
        assert_pending!(third.poll());
        if dropped {
            drop(first);
            assert!(second.is_woken() && !third.is_woken());
            assert_eq!(assert_ready_ok!(second.poll()), Some(1));
        } else {
            assert_eq!(assert_ready_ok!(first.poll()), Some(1));
            assert!(second.is_woken());
            assert_eq!(assert_ready_ok!(second.poll()), None);
        }
        assert!(third.is_woken());
        assert_eq!(assert_ready_ok!(third.poll()), None);
        assert_ready_ok!(tokio_test::task::spawn(queue.next()).poll());
    }
}

/// U2: `put` and `get` are for queues that stay open; their panics show the call.
#[test]
fn put_and_get_panic_on_a_closed_queue_and_name_the_call() {
    let queue = UniversalQueue::bounded(1);
    queue.close();
    let mut item = Some(1);
    type Call<'a> = (&'a str, u32, Box<dyn FnOnce() + 'a>);
    let calls: [Call<'_>; 3] = [
        ("put", line!(), Box::new(|| drop(tokio_test::block_on(queue.put(1))))),
        ("put", line!(), Box::new(|| drop(tokio_test::block_on(queue.put_from(&mut item))))),
        ("get", line!(), Box::new(|| drop(tokio_test::block_on(queue.get())))),
    ];
    for (name, line, call) in calls {
        let payload = catch_unwind(AssertUnwindSafe(call)).expect_err("it is closed");
        let message = payload.downcast_ref::<String>().expect("a text");
        let place = format!("`{name}` at {}:{line}:", file!());
        assert!(message.starts_with(&place), "{message} is not at {place}");
    }
    assert_eq!(item, Some(1));
    let payload = catch_unwind(AssertUnwindSafe(|| queue.get_blocking(MAX))).unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().starts_with("`get` at"));
}
