//! Wake-ups that are lost with the waiter that got them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use curium::kernel::testing::{self, Explored, Swept};
use curium::kernel::wait_queue::{Handoff, Wait, WaitQueue};
use curium::kernel::{CancelPoint, TaskCancelled, TaskGroup, sleep, spawn, yield_now};
use futures::future::{Either, select};

use crate::hunt::found;

const MS: Duration = Duration::from_millis(1);

/// A semaphore whose waiters are woken, one at a time, and then take a slot themselves.
struct Slots<const PLANTED: bool> {
    free: Cell<usize>,
    wakeup_scheduled: Cell<bool>,
    waiters: WaitQueue,
}

impl<const PLANTED: bool> Slots<PLANTED> {
    #[track_caller]
    fn acquire(&self) -> impl Future<Output = Result<Slot<'_, PLANTED>, TaskCancelled>> + '_ {
        Wait::new("SLOTS_ACQUIRE", Acquire(self))
    }

    fn wake_next(&self) {
        if self.free.get() > 0 && !self.wakeup_scheduled.get() {
            self.wakeup_scheduled.set(self.waiters.hand_over(()).is_ok());
        }
    }
}

struct Acquire<'a, const PLANTED: bool>(&'a Slots<PLANTED>);

impl<'a, const PLANTED: bool> Handoff for Acquire<'a, PLANTED> {
    type Item = ();
    type Output = Slot<'a, PLANTED>;

    fn queue(&self) -> &WaitQueue {
        &self.0.waiters
    }

    fn try_take(&mut self) -> Option<()> {
        let slots = self.0;
        let waits = slots.wakeup_scheduled.get() || !slots.waiters.is_empty();
        (!waits && slots.free.get() > 0).then_some(())
    }

    fn finish(&mut self, (): ()) -> Slot<'a, PLANTED> {
        self.0.free.set(self.0.free.get() - 1);
        self.0.wakeup_scheduled.set(false);
        self.0.wake_next();
        Slot(self.0)
    }

    fn pass_on(&mut self, (): ()) {
        // The bug: the wake-up counts as scheduled although its waiter is gone.
        if !PLANTED {
            self.0.wakeup_scheduled.set(false);
            self.0.wake_next();
        }
    }
}

struct Slot<'a, const PLANTED: bool>(&'a Slots<PLANTED>);

impl<const PLANTED: bool> Drop for Slot<'_, PLANTED> {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        self.0.wake_next();
    }
}

fn sweep_a_waiter_for_a_slot<const PLANTED: bool>() -> Swept {
    testing::sweep().run(
        async || {
            let free = Cell::new(1);
            let (wakeup_scheduled, waiters) = (Cell::new(false), WaitQueue::new());
            let slots = Rc::new(Slots::<PLANTED> { free, wakeup_scheduled, waiters });
            let first = slots.clone();
            spawn(async move {
                let slot = first.acquire().await?;
                sleep(MS).await?;
                drop(slot);
                Ok::<_, TaskCancelled>(())
            });
            yield_now().await.unwrap();
            slots
        },
        |slots| async move {
            let _slot = slots.acquire().await?;
            sleep(MS).await
        },
        async |slots, _run| drop(slots.acquire().await.unwrap()),
    )
}

/// V4, Y3: cpython#90155: a release marks that a wake-up of a waiter is under way. The waiter is
/// cancelled before it runs, the mark stays, and every later task waits for ever.
#[test]
fn a_semaphore_locked_for_ever_by_a_waiter_that_is_gone_is_found() {
    found(
        "cpython#90155",
        "SLOTS_ACQUIRE",
        sweep_a_waiter_for_a_slot::<true>,
        sweep_a_waiter_for_a_slot::<false>,
    );
}

/// A channel that only wakes the receiver that has waited longest; the message stays in the queue.
#[derive(Default)]
struct Channel<const PLANTED: bool> {
    items: RefCell<VecDeque<u32>>,
    receivers: WaitQueue,
}

impl<const PLANTED: bool> Channel<PLANTED> {
    fn send(&self, item: u32) {
        self.items.borrow_mut().push_back(item);
        self.wake_one();
    }

    /// A receiver that comes later finds the message by itself.
    fn wake_one(&self) {
        let _no_waiter = self.receivers.hand_over(());
    }

    async fn receive(&self) -> Result<u32, TaskCancelled> {
        loop {
            if let Some(item) = Wait::new("CHANNEL_RECEIVE", Receive(self)).await? {
                return Ok(item);
            }
        }
    }
}

struct Receive<'a, const PLANTED: bool>(&'a Channel<PLANTED>);

impl<const PLANTED: bool> Handoff for Receive<'_, PLANTED> {
    type Item = ();
    type Output = Option<u32>;

    fn queue(&self) -> &WaitQueue {
        &self.0.receivers
    }

    fn try_take(&mut self) -> Option<()> {
        (!self.0.items.borrow().is_empty()).then_some(())
    }

    fn finish(&mut self, (): ()) -> Option<u32> {
        self.0.items.borrow_mut().pop_front()
    }

    fn pass_on(&mut self, (): ()) {
        // The bug: no other receiver is woken for the message.
        if !PLANTED {
            self.0.wake_one();
        }
    }
}

/// The first of two receivers gives up after a turn, and sends on what it got before.
fn explore_two_receivers<const PLANTED: bool>() -> Explored {
    testing::explore().run(async || {
        let channel = Rc::new(Channel::<PLANTED>::default());
        let [first, second, sender] = [(); 3].map(|()| channel.clone());
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(async move {
                match select(yield_now(), pin!(first.receive())).await {
                    Either::Left((turn, _)) => turn,
                    Either::Right((item, _)) => item.map(|item| first.send(item)),
                }
            });
            g.spawn(async move { second.receive().await });
            g.spawn(async move {
                yield_now().await?;
                sender.send(1);
                Ok(())
            });
            Ok(())
        })
        .await
    })
}

/// V4, Y3: a bug of flume (iroh#2536): a receiver that loses a `select!` after it was woken does
/// not wake another one, which then waits beside a message that is there.
#[test]
fn a_wake_up_that_is_not_passed_on_is_found() {
    found(
        "iroh#2536",
        "CHANNEL_RECEIVE",
        explore_two_receivers::<true>,
        explore_two_receivers::<false>,
    );
}

/// A bell that wakes one waiter a ring, on a plain list of wakers.
#[derive(Default)]
struct Bell<const PLANTED: bool> {
    rings: Cell<usize>,
    next: Cell<u64>,
    waiters: RefCell<VecDeque<(u64, Waker)>>,
    heard: Cell<usize>,
}

impl<const PLANTED: bool> Bell<PLANTED> {
    fn ring(&self) {
        self.rings.set(self.rings.get() + 1);
        self.serve();
    }

    fn serve(&self) {
        if self.rings.get() > 0 {
            let first = self.waiters.borrow_mut().pop_front();
            first.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }

    async fn wait(&self) -> Result<(), TaskCancelled> {
        let waiter = Waiter { bell: self, number: self.next.replace(self.next.get() + 1) };
        let mut point = CancelPoint::new("BELL_WAIT");
        poll_fn(|cx| point.poll(cx, |cx| waiter.poll_rung(cx.waker()))).await?;
        self.heard.set(self.heard.get() + 1);
        Ok(())
    }
}

struct Waiter<'a, const PLANTED: bool> {
    bell: &'a Bell<PLANTED>,
    number: u64,
}

impl<const PLANTED: bool> Waiter<'_, PLANTED> {
    fn poll_rung(&self, waker: &Waker) -> Poll<()> {
        if let Some(rest) = self.bell.rings.get().checked_sub(1) {
            self.bell.rings.set(rest);
            return Poll::Ready(());
        }
        // The bug: a waiter that is polled again is in the list already.
        if PLANTED || self.place().is_none() {
            self.bell.waiters.borrow_mut().push_back((self.number, waker.clone()));
        }
        Poll::Pending
    }

    fn place(&self) -> Option<usize> {
        self.bell.waiters.borrow().iter().position(|(number, _)| *number == self.number)
    }
}

impl<const PLANTED: bool> Drop for Waiter<'_, PLANTED> {
    fn drop(&mut self) {
        if let Some(at) = self.place() {
            self.bell.waiters.borrow_mut().remove(at);
        }
        self.bell.serve();
    }
}

fn sweep_the_first_of_two_waiters<const PLANTED: bool>() -> Swept {
    testing::sweep().run(
        async || {
            let bell = Rc::new(Bell::<PLANTED>::default());
            let (second, ringer) = (bell.clone(), bell.clone());
            spawn(async move {
                sleep(MS).await?;
                second.wait().await
            });
            spawn(async move {
                sleep(2 * MS).await?;
                ringer.ring();
                Ok::<_, TaskCancelled>(())
            });
            bell
        },
        |bell| async move { bell.wait().await },
        async |bell, run| {
            sleep(3 * MS).await.unwrap();
            let shut = run.injected.iter().any(|i| i.injection == testing::Injection::ShutDown);
            assert!(shut || bell.heard.get() == 1, "the ring woke a waiter that is gone");
        },
    )
}

/// V4, Y3: zio#667: a waiter that is polled in vain is put into the list of waiters although it is
/// in it already. Only a cancellation leads there; a later wake-up then goes astray.
#[test]
fn a_waiter_queued_twice_is_found() {
    found(
        "zio#667",
        "the ring woke a waiter that is gone",
        sweep_the_first_of_two_waiters::<true>,
        sweep_the_first_of_two_waiters::<false>,
    );
}
