//! Loom models of the protocol in `parts/mailbox`: every interleaving with up to four preemptions
//! (`LOOM_MAX_PREEMPTIONS` changes the number), and every value that a load may return.
//!
//! `.ci/models` runs them. [`Model`] stands for the kernel, and takes the steps of `run/idle.rs`;
//! posters, wakers and handles are the real ones. A lost wake appears as a deadlock of the model:
//! the kernel sleeps, and no thread is left to wake it.

use std::sync::{Arc, OnceLock};
use std::task::Wake;

use loom::sync::atomic::AtomicUsize as Number;
use loom::thread;

use super::sync::{Eventfd, Waker};
use super::{Ordering, Part, PollWaker};
use crate::error::KernelGone;
use crate::handle::Handle;
use crate::id::TaskId;
use crate::task::waker::{Message, Post, Remote, TaskWaker};

mod ending;

/// Runs `model` in every interleaving within the bound.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(4));
    builder.check(model);
}

/// `PollWaker` needs a registry, although posting does not use it.
fn registry() -> Arc<mio::Registry> {
    static REGISTRY: OnceLock<Arc<mio::Registry>> = OnceLock::new();
    let make = || {
        let poll = mio::Poll::new().expect("a poll");
        Arc::new(poll.registry().try_clone().expect("its registry"))
    };
    REGISTRY.get_or_init(make).clone()
}

/// A kernel that does nothing but take messages.
pub(crate) struct Model {
    pub(crate) remote: Arc<Remote>,
    poll: Arc<Eventfd>,
    /// The number of sleeps.
    sleeps: usize,
}

impl Model {
    pub(crate) fn new() -> Self {
        let registry = registry();
        let waker = Waker::new(&registry, mio::Token(0)).expect("a bell");
        let poll = waker.poll();
        Model { remote: Arc::new(Remote::new(PollWaker { waker, registry })), poll, sleeps: 0 }
    }

    /// Takes the messages, if the mailbox announces any.
    fn take_post(&mut self) -> Vec<Message> {
        if self.remote.has_post() { take(&self.remote) } else { Vec::new() }
    }

    fn sleep(&mut self) {
        if self.remote.announce_sleep() {
            self.sleeps += 1;
            self.poll.sleep();
            self.remote.awake();
        }
    }

    /// Takes the messages. Without any, sleeps once and returns none.
    pub(crate) fn look(&mut self) -> Vec<Message> {
        let post = self.take_post();
        if post.is_empty() {
            self.sleep();
        }
        post
    }

    /// Takes messages until that many have come. Returns them in order.
    fn receive(&mut self, count: usize) -> Vec<u32> {
        let mut received = Vec::new();
        while received.len() < count {
            received.extend(self.look().iter().map(number));
        }
        received
    }

    /// A waker for task 7.
    fn waker(&self) -> Arc<TaskWaker> {
        let waker = Arc::new(TaskWaker::new(self.remote.clone()));
        waker.assign(task(7));
        waker
    }

    /// Closes the mailbox. No thread may use the eventfd from here on.
    fn close(&self) -> Post {
        let post = self.remote.close();
        self.poll.close();
        post
    }

    /// Checks what must hold at the end of every model, when the other threads have ended.
    pub(crate) fn end(self) {
        let rings = self.poll.rings();
        assert!(rings <= self.sleeps, "{rings} rings for {} sleeps", self.sleeps);
        drop(self.close());
        assert_eq!(Arc::strong_count(&self.poll), 1, "the eventfd is still held");
    }
}

/// Takes all messages.
fn take(remote: &Remote) -> Vec<Message> {
    let mut post = Post::default();
    remote.take(&mut post);
    post.into_messages().collect()
}

fn task(index: u32) -> TaskId {
    TaskId::new(index, 0)
}

fn request(index: u32) -> Message {
    Message::Cancel(task(index))
}

/// The number of a [`request`].
fn number(message: &Message) -> u32 {
    match message {
        Message::Cancel(task) => task.index(),
        _ => panic!("no thread posted that"),
    }
}

/// A thread that posts requests with these numbers.
fn poster(remote: &Arc<Remote>, numbers: &'static [u32]) -> thread::JoinHandle<()> {
    let remote = remote.clone();
    thread::spawn(move || {
        for number in numbers {
            assert!(remote.post(request(*number)).is_ok(), "the kernel is there");
        }
    })
}

fn join(threads: [thread::JoinHandle<()>; 2]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// K7: a message posted between the check of the mailbox and the sleep is not lost.
#[test]
fn post_between_the_look_and_the_sleep_wakes_the_kernel() {
    check(|| {
        let mut kernel = Model::new();
        let poster = poster(&kernel.remote, &[1, 2]);
        assert_eq!(kernel.receive(2), [1, 2]);
        poster.join().unwrap();
        kernel.end();
    });
}

/// K7: the same from two threads, and the eventfd is written once for each sleep, not for each
/// message.
#[test]
fn two_posters_lose_nothing_and_ring_once_for_each_sleep() {
    check(|| {
        let mut kernel = Model::new();
        let posters = [poster(&kernel.remote, &[1]), poster(&kernel.remote, &[2])];
        let mut received = kernel.receive(2);
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        join(posters);
        kernel.end();
    });
}

/// K7: the eventfd of a sleeping kernel is written once, however many threads post.
#[test]
fn whoever_comes_second_does_not_ring() {
    check(|| {
        let mut kernel = Model::new();
        kernel.sleeps = 1;
        assert!(kernel.remote.announce_sleep(), "no thread has posted");
        let posters = [poster(&kernel.remote, &[1]), poster(&kernel.remote, &[2])];
        join(posters);
        assert_eq!(kernel.poll.rings(), 1);
        kernel.poll.sleep();
        kernel.remote.awake();
        assert_eq!(kernel.look().len(), 2);
        kernel.end();
    });
}

/// K7: no thread holds the lock of the mailbox while it writes the eventfd. So the kernel that this
/// wakes on another processor does not wait for the end of the write.
#[test]
fn the_mailbox_is_unlocked_while_the_eventfd_is_written() {
    check(|| {
        let mut kernel = Model::new();
        let remote = Arc::downgrade(&kernel.remote);
        kernel.poll.before_each_ring(move || {
            let remote = remote.upgrade().expect("a poster holds it");
            assert!(remote.inbox.try_lock().is_ok(), "the mailbox is locked");
        });
        let poster = poster(&kernel.remote, &[1]);
        assert_eq!(kernel.receive(1), [1]);
        poster.join().unwrap();
        kernel.end();
    });
}

/// K7: a message that was taken before it was announced makes the kernel look once more in vain,
/// and hides no later message.
#[test]
fn a_message_announced_after_it_was_taken_hides_no_other() {
    check(|| {
        let mut kernel = Model::new();
        let posters = [poster(&kernel.remote, &[1]), poster(&kernel.remote, &[2, 3])];
        let mut received = kernel.receive(3);
        received.sort_unstable();
        assert_eq!(received, [1, 2, 3]);
        join(posters);
        // A late announcement is left, or none. Then the mailbox is empty, and the kernel sleeps.
        assert_eq!(kernel.take_post().len(), 0);
        assert!(kernel.remote.announce_sleep(), "no thread has posted");
        kernel.end();
    });
}

/// K7: a post to a kernel that is awake makes no system call.
#[test]
fn a_kernel_that_is_awake_is_not_rung_for() {
    check(|| {
        let kernel = Model::new();
        let posters = [poster(&kernel.remote, &[1]), poster(&kernel.remote, &[2])];
        join(posters);
        assert!(kernel.remote.has_post());
        assert_eq!(take(&kernel.remote).len(), 2);
        kernel.end();
    });
}

/// K7, K2: a kernel that is too busy to sleep also gets all messages.
#[test]
fn a_kernel_that_never_sleeps_hears_of_all_post() {
    check(|| {
        let mut kernel = Model::new();
        let poster = poster(&kernel.remote, &[1, 2]);
        // Between polls.
        let mut received = kernel.take_post().len() + kernel.take_post().len();
        poster.join().unwrap();
        received += kernel.take_post().len();
        assert_eq!(received, 2);
        kernel.end();
    });
}

/// K7: a sleep that a timer ended loses no message, and no wake is missed in the next sleep.
#[test]
fn post_that_meets_the_end_of_a_sleep_is_not_lost() {
    check(|| {
        let mut kernel = Model::new();
        let poster = poster(&kernel.remote, &[1, 2]);
        if kernel.remote.announce_sleep() {
            kernel.sleeps += 1;
            // The timer ends the sleep without a write to the eventfd.
            kernel.remote.awake();
        }
        assert_eq!(kernel.receive(2), [1, 2]);
        poster.join().unwrap();
        kernel.end();
    });
}

/// K7: if a panic has ended a sleep, for example the panic of a foreign waker, a post still wakes
/// the next sleep.
#[test]
fn a_sleep_that_a_panic_ended_is_still_announced() {
    check(|| {
        let mut kernel = Model::new();
        assert!(kernel.remote.announce_sleep(), "no thread has posted");
        let poster = poster(&kernel.remote, &[1]);
        assert_eq!(kernel.receive(1), [1]);
        poster.join().unwrap();
        drop(kernel.close());
    });
}

/// A thread that increments `parts` with relaxed ordering, and then wakes the task.
fn contributor(parts: &Arc<Number>, waker: &Arc<TaskWaker>) -> thread::JoinHandle<()> {
    let (parts, waker) = (parts.clone(), waker.clone());
    thread::spawn(move || {
        parts.fetch_add(1, Ordering::Relaxed);
        waker.wake();
    })
}

/// K7: a task that is woken from two threads is in the mailbox once at a time. The poll that
/// follows sees what each thread did before its wake, so a wake that finds the waker posted is not
/// lost.
#[test]
fn a_waker_is_posted_once_and_its_task_sees_what_came_before_each_wake() {
    check(|| {
        let mut kernel = Model::new();
        let parts = Arc::new(Number::new(0));
        let waker = kernel.waker();
        let threads = [contributor(&parts, &waker), contributor(&parts, &waker)];
        loop {
            let post = kernel.look();
            assert!(post.len() <= 1, "posted twice");
            let Some(Message::Wake(woken)) = post.into_iter().next() else { continue };
            assert_eq!(woken.received(), task(7));
            // The poll of the task, which ends when both parts are done.
            if parts.load(Ordering::Relaxed) == threads.len() {
                break;
            }
        }
        join(threads);
        kernel.end();
    });
}

/// K7: a wake after the kernel took the last one is a new message.
#[test]
fn a_wake_after_the_take_is_a_message_of_its_own() {
    check(|| {
        let kernel = Model::new();
        let waker = kernel.waker();
        for _ in 0..2 {
            let theirs = waker.clone();
            thread::spawn(move || theirs.wake()).join().unwrap();
            let taken = take(&kernel.remote);
            let [Message::Wake(woken)] = &taken[..] else { panic!("{} messages", taken.len()) };
            assert_eq!(woken.received(), task(7));
        }
        kernel.end();
    });
}

/// K2, K7: requests that the kernel has taken and not handled yet delay no wake, and the messages
/// behind them in the mailbox stay announced.
#[test]
fn a_wake_passes_the_requests_that_are_left() {
    check(|| {
        let kernel = Model::new();
        let mut post = Post::default();
        assert!(kernel.remote.post(request(1)).is_ok());
        kernel.remote.take(&mut post);
        let (remote, waker) = (kernel.remote.clone(), kernel.waker());
        let poster = thread::spawn(move || {
            assert!(remote.post(request(2)).is_ok());
            waker.wake();
        });
        if kernel.remote.has_post() {
            kernel.remote.take(&mut post);
        }
        poster.join().unwrap();
        if kernel.remote.has_post() {
            kernel.remote.take(&mut post);
        }
        assert_eq!(post.part(Part::Events).len(), 1, "the wake is not there");
        assert!(kernel.remote.has_post(), "request 2 is left");
        assert!(!kernel.remote.announce_sleep(), "it would sleep although there is post");
        let first: Vec<u32> = post.part(Part::Requests).drain(..).map(|it| number(&it)).collect();
        kernel.remote.take(&mut post);
        let second: Vec<u32> = post.part(Part::Requests).drain(..).map(|it| number(&it)).collect();
        assert_eq!((first, second), (vec![1], vec![2]));
        drop(post);
        kernel.end();
    });
}
