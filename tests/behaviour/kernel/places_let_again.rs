//! Slots of ended tasks are reused, in one kernel and with the same names in another. A reference
//! to the old occupant does not affect the new one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::ThreadId;
use std::time::Duration;

use kernel::{Kernel, Task, TaskCancelled, TaskGroup, sleep, spawn, testing, yield_now};

type Slot<T> = Rc<RefCell<Option<T>>>;
type Outcome = Result<(), TaskCancelled>;

async fn a_few_turns() {
    for _ in 0..5 {
        yield_now().await.unwrap();
    }
}

/// C2: a join that parked in one kernel and moved to the task of the same name in another is woken
/// there.
#[test]
fn a_join_that_moves_to_its_namesake_in_another_kernel_is_woken() {
    let first = Kernel::builder().virtual_clock().build().unwrap();
    let second = Kernel::builder().virtual_clock().build().unwrap();
    let moving: Slot<Pin<Box<dyn Future<Output = ()>>>> = Rc::default();
    let event = Rc::new(sync::Event::new());
    let name = first.run(async || {
        let moves = moving.clone();
        let poller = spawn(async move {
            yield_now().await?;
            poll_fn(|cx| {
                assert!(moves.borrow_mut().as_mut().unwrap().as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            sleep(Duration::MAX).await
        });
        let until = event.clone();
        let target = spawn(async move { until.wait().await });
        *moving.borrow_mut() = Some(Box::pin(async move {
            target.join().await.unwrap().unwrap();
        }));
        a_few_turns().await;
        poller.id()
    });
    let done = Rc::new(Cell::new(false));
    let other = second.run(async || {
        let (moves, done) = (moving.clone(), done.clone());
        let other = spawn(async move {
            let join = moves.borrow_mut().take().unwrap();
            join.await;
            done.set(true);
            Outcome::Ok(())
        });
        a_few_turns().await;
        other.id()
    });
    assert_eq!(name, other, "namesakes are what this is about");
    first.run(async || {
        event.set();
        a_few_turns().await;
    });
    second.run(a_few_turns);
    assert!(done.get(), "the join was not woken");
}

/// Calls a function when it is dropped or woken.
struct Calling(Option<Box<dyn FnOnce()>>);

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

thread_local! {
    static CALLED_BY_WAKER: RefCell<Option<Calling>> = const { RefCell::new(None) };
}

/// A waker that drops the content of `CALLED_BY_WAKER`.
struct CallingWaker(ThreadId);

impl Wake for CallingWaker {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0, std::thread::current().id());
        let call = CALLED_BY_WAKER.with(RefCell::take);
        drop(call);
    }
}

fn nap(secs: u64) -> impl Future<Output = Outcome> {
    sleep(Duration::from_secs(secs))
}

type Handle = Slot<Task<(), TaskCancelled>>;

/// Ends `older`, whose slot goes to an unrelated task.
fn evicting(older: &Handle, stranger: &Handle) -> Calling {
    let (older, stranger) = (older.clone(), stranger.clone());
    Calling(Some(Box::new(move || {
        let older = older.borrow_mut().take().unwrap();
        older.abort();
        drop(older);
        *stranger.borrow_mut() = Some(spawn(nap(1)));
    })))
}

/// G4: a group that is dropped aborts its members, and no task that reused a member's slot.
#[test]
fn a_dropped_group_spares_a_stranger_in_the_place_of_a_member() {
    testing::run(async || {
        let (older, stranger) = (Slot::default(), Slot::default());
        let group = TaskGroup::<TaskCancelled>::new();
        *older.borrow_mut() = Some(group.spawn(nap(9)));
        let last = evicting(&older, &stranger);
        drop(group.spawn(async move {
            let _last = last;
            nap(9).await
        }));
        testing::settle().await?;
        drop(group);
        let stranger = stranger.borrow_mut().take().unwrap();
        assert!(!stranger.is_done(), "a stranger was aborted with the group");
        assert!(stranger.join().await?.is_ok());
        Outcome::Ok(())
    })
    .unwrap();
}

/// G1: a group that is torn down cancels its members, and no task that reused a member's slot.
#[test]
fn a_torn_down_group_spares_a_stranger_in_the_place_of_a_member() {
    testing::run(async || {
        let (older, stranger) = (Slot::default(), Slot::default());
        let group = TaskGroup::<TaskCancelled>::new();
        *older.borrow_mut() = Some(group.spawn(nap(9)));
        CALLED_BY_WAKER.set(Some(evicting(&older, &stranger)));
        let waker = Waker::from(Arc::new(CallingWaker(std::thread::current().id())));
        drop(group.spawn(async move {
            let mut asleep = Box::pin(nap(9));
            let mut foreign = Some(waker);
            poll_fn(|cx| match foreign.take() {
                Some(waker) => asleep.as_mut().poll(&mut Context::from_waker(&waker)),
                None => asleep.as_mut().poll(cx),
            })
            .await
        }));
        testing::settle().await?;
        group.cancel_remaining().await?;
        let stranger = stranger.borrow_mut().take().unwrap();
        assert!(!stranger.is_done(), "a stranger was cancelled with the group");
        assert!(stranger.join().await?.is_ok());
        Outcome::Ok(())
    })
    .unwrap();
}

/// Polls the join in tasks of two kernels, as the bits of `order` say, the last bit first. Each
/// kernel has `beside` other tasks, which shifts the names. Returns how often the join was notified
/// of the end.
fn poll_in_turns(polls: u32, order: u32, beside: u32) -> u32 {
    let kernels = [(); 2].map(|()| Kernel::builder().virtual_clock().build().unwrap());
    let event = Rc::new(sync::Event::new());
    let until = event.clone();
    let target = kernels[0].run(async || {
        let target = spawn(async move { until.wait().await });
        a_few_turns().await;
        target
    });
    let join: Slot<_> = Rc::new(RefCell::new(Some(target.join())));
    let notified = Rc::new(Cell::new(0));
    for poll in 0..polls {
        let (join, notified) = (join.clone(), notified.clone());
        kernels[(order >> poll & 1) as usize].run(async || {
            for _ in 0..beside {
                spawn(sleep(Duration::MAX));
            }
            spawn(poll_fn(move |cx| {
                let mut join = join.borrow_mut();
                let Some(ours) = join.as_mut() else { return Poll::Ready(Outcome::Ok(())) };
                ready!(Pin::new(ours).poll(cx)).unwrap().unwrap();
                notified.set(notified.get() + 1);
                *join = None;
                Poll::Ready(Ok(()))
            }));
            a_few_turns().await;
        });
    }
    event.set();
    for kernel in [0, 1, 0] {
        kernels[kernel].run(async || a_few_turns().await);
    }
    notified.get()
}

/// C2: a join that tasks of two kernels poll in turn wakes the one that polled it last.
#[test]
fn a_join_wakes_who_polled_it_last_in_whichever_kernel() {
    for polls in 1..=4 {
        for order in 0..1 << polls {
            for beside in 0..3 {
                let notified = poll_in_turns(polls, order, beside);
                assert_eq!(notified, 1, "{polls} polls, in {order:b}, {beside} beside");
            }
        }
    }
}
