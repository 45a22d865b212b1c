//! Channels: messages that are lost between a sender and a receiver.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Explored, Injection, Run, Swept};
use curium::kernel::wait_queue::{Handoff, Wait, WaitQueue};
use curium::kernel::{Task, TaskCancelled, sleep, spawn};
use curium::sync::{Queue, Semaphore};
use futures::future::{Either, select};

use crate::hunt::{cannot_happen, found};

const MS: Duration = Duration::from_millis(1);

/// Three items on their way from one queue to another, which is emptied slowly.
struct Relay {
    from: Queue<u32>,
    to: Rc<Queue<u32>>,
    places: Rc<Semaphore>,
    taken: Rc<Cell<usize>>,
}

impl Relay {
    async fn new() -> Self {
        let relay = Relay {
            from: Queue::unbounded(),
            to: Rc::new(Queue::bounded(1)),
            places: Rc::new(Semaphore::new(1)),
            taken: Rc::default(),
        };
        (0..3).for_each(|item| relay.from.try_put(item).unwrap());
        let (to, places, taken) = (relay.to.clone(), relay.places.clone(), relay.taken.clone());
        spawn(async move {
            for _ in 0..3 {
                sleep(MS).await?;
                to.get().await?;
                taken.set(taken.get() + 1);
                places.add_permits(1);
            }
            Ok::<_, TaskCancelled>(())
        });
        relay
    }

    async fn nothing_is_lost(&self, _run: &Run) {
        let left = self.from.len() + self.to.len() + self.taken.get();
        assert_eq!(left, 3, "messages are lost");
    }
}

async fn send_what_was_taken(relay: Rc<Relay>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let item = relay.from.get().await?;
        relay.to.put(item).await?;
    }
    Ok(())
}

/// The right version reserves the place first, and sends without an await.
async fn reserve_and_then_take(relay: Rc<Relay>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let place = relay.places.acquire().await?;
        let item = relay.from.get().await?;
        relay.to.try_put(item).unwrap();
        place.forget();
    }
    Ok(())
}

/// V4, Y3: tokio#5947, and async-channel#87 and flume#104 likewise: a send that is cancelled while
/// it waits for a place drops its message. `Queue::put` is no better, and says so.
#[test]
fn a_message_dropped_by_a_cancelled_send_is_found() {
    found(
        "tokio#5947",
        "messages are lost",
        || testing::sweep().run(Relay::new, send_what_was_taken, Relay::nothing_is_lost),
        || testing::sweep().run(Relay::new, reserve_and_then_take, Relay::nothing_is_lost),
    );
}

/// A channel that hands a message to the receiver that has waited longest.
#[derive(Default)]
struct Mailbox<const PLANTED: bool> {
    items: RefCell<VecDeque<u32>>,
    receivers: WaitQueue<u32>,
    received: Cell<usize>,
}

impl<const PLANTED: bool> Mailbox<PLANTED> {
    fn send(&self, item: u32) {
        if let Err(item) = self.receivers.hand_over(item) {
            self.items.borrow_mut().push_back(item);
        }
    }

    #[track_caller]
    fn receive(&self) -> impl Future<Output = Result<u32, TaskCancelled>> + '_ {
        Wait::new("MAILBOX_RECEIVE", Receive(self))
    }

    fn nothing_is_lost(&self) {
        let left = self.items.borrow().len() + self.received.get();
        assert_eq!(left, 2, "messages are lost");
    }
}

struct Receive<'a, const PLANTED: bool>(&'a Mailbox<PLANTED>);

impl<const PLANTED: bool> Handoff for Receive<'_, PLANTED> {
    type Item = u32;
    type Output = u32;

    fn queue(&self) -> &WaitQueue<u32> {
        &self.0.receivers
    }

    fn try_take(&mut self) -> Option<u32> {
        self.0.items.borrow_mut().pop_front()
    }

    fn finish(&mut self, item: u32) -> u32 {
        item
    }

    fn pass_on(&mut self, item: u32) {
        // The bug: the message goes with the receiver.
        if !PLANTED {
            self.0.send(item);
        }
    }
}

fn sweep_a_receiver<const PLANTED: bool>() -> Swept {
    testing::sweep().inject(&[Injection::Cancel, Injection::Abort, Injection::Timeout]).run(
        async || {
            let mailbox = Rc::new(Mailbox::<PLANTED>::default());
            let sender = mailbox.clone();
            spawn(async move {
                sleep(MS).await?;
                sender.send(1);
                sleep(MS).await?;
                sender.send(2);
                Ok::<_, TaskCancelled>(())
            });
            mailbox
        },
        |mailbox| async move {
            for _ in 0..2 {
                mailbox.receive().await?;
                mailbox.received.set(mailbox.received.get() + 1);
            }
            Ok::<_, TaskCancelled>(())
        },
        async |mailbox, _run| {
            sleep(3 * MS).await.unwrap();
            mailbox.nothing_is_lost();
        },
    )
}

/// V4, Y3: kanal#24: a receiver that is dropped after a sender has handed it a message takes the
/// message along.
#[test]
fn a_message_dropped_with_its_receiver_is_found() {
    found(
        "kanal#24",
        "woken from suspension 1 (MAILBOX_RECEIVE at",
        sweep_a_receiver::<true>,
        sweep_a_receiver::<false>,
    );
}

async fn select_between_two_queues() -> Result<(), TaskCancelled> {
    let (left, right) = (Rc::new(Queue::bounded(1)), Rc::new(Queue::bounded(1)));
    for (queue, item) in [(left.clone(), 1), (right.clone(), 2)] {
        spawn(async move { queue.put(item).await });
    }
    let mut received = 0;
    for _ in 0..2 {
        received += match select(pin!(left.get()), pin!(right.get())).await {
            Either::Left((item, _)) | Either::Right((item, _)) => item?,
        };
    }
    assert_eq!(received, 3, "messages are lost");
    Ok(())
}

/// V4, Y3, C1: kanal#50: when two channels become ready together, the message of the arm that is
/// not selected is lost. Here that arm is dropped and gives its item back, in every schedule.
#[test]
fn the_arm_that_is_not_selected_gives_its_message_back() {
    let hunt = || -> Explored { testing::explore().run(select_between_two_queues) };
    cannot_happen("kanal#50", hunt);
}

/// A full queue, and a consumer that takes one item, closes the queue and drains it.
struct Closing {
    queue: Rc<Queue<u32>>,
    consumer: Task<usize, TaskCancelled>,
}

impl Closing {
    async fn new() -> Self {
        let queue = Rc::new(Queue::bounded(1));
        queue.try_put(1).unwrap();
        let drained = queue.clone();
        let consumer = spawn(async move {
            sleep(MS).await?;
            let mut taken = drained.next().await?.into_iter().count();
            drained.close();
            while drained.next().await?.is_some() {
                taken += 1;
            }
            Ok::<_, TaskCancelled>(taken)
        });
        Closing { queue, consumer }
    }

    /// Without the wake-up this never ends.
    async fn the_consumer_learns_of_the_end(&self, run: &Run) {
        let taken = self.consumer.join().await.unwrap().unwrap();
        let sent = run.error.is_none() && run.end == curium::TaskEnd::Ok;
        assert_eq!(taken, 1 + usize::from(sent));
    }
}

/// V4, Y5: tokio#8260: a sender was promised a place, the channel is closed, and the sender is
/// dropped: nothing wakes the receiver, which waits for the end of the channel for ever.
#[test]
fn the_end_of_a_channel_comes_after_a_promised_place_is_given_back() {
    let parted = [Injection::Cancel, Injection::Abort, Injection::Timeout, Injection::GroupFailed];
    let send = |closing: Rc<Closing>| async move { closing.queue.put_unless_closed(2).await };
    cannot_happen("tokio#8260", || {
        testing::sweep().inject(&parted).run(
            Closing::new,
            send,
            Closing::the_consumer_learns_of_the_end,
        )
    });
}
