//! Floods: another thread posts spawns, cancels and wakes faster than they are served.
//!
//! The step joins that thread before it ends, so all messages are in the mailbox by then and their
//! order is the same in each run. The kernel serves them in slices afterwards (K2).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

use kernel::{Handle, KernelGone, TaskCancelled, TaskId};

use super::model::TaskModel;
use super::program::Flood;
use super::run::Frame;
use super::sized::Padded;
use super::world::{World, here};

/// Wakers that are used in one flood, few enough for the kernel to serve their wakes in one look.
const WAKERS: usize = 16;

/// The posted messages, and their effects.
#[derive(Default)]
pub(crate) struct Mail {
    posted: Cell<u64>,
    served: Cell<u64>,
    /// Requests to spawn ("letters") that were dropped before they ran.
    unused: Cell<u64>,
    ended: Cell<u64>,
    /// Requests to cancel, each with the number of the letter after it.
    cancels: RefCell<VecDeque<(u64, Rc<TaskModel>)>>,
    wakers: RefCell<Vec<Exposed>>,
}

/// A waker of a task, or of a combinator in it.
struct Exposed {
    waker: Waker,
    task: Rc<TaskModel>,
    own: bool,
}

impl Mail {
    pub(crate) fn posted(&self) -> usize {
        self.posted.get() as usize
    }

    /// Tasks of letters that have not ended.
    fn running(&self) -> u64 {
        self.served.get() - self.ended.get()
    }

    /// Checks what must hold when the kernel is gone.
    pub(crate) fn check_end(&self, world: &World) {
        let (posted, served, unused) = (self.posted.get(), self.served.get(), self.unused.get());
        world.check(posted == served + unused, || {
            format!("K5: of {posted} letters {served} were served and {unused} dropped")
        });
        let running = self.running();
        world.check(running == 0, || format!("K5: {running} tasks of letters did not end"));
    }

    pub(crate) fn clear(&self) {
        self.cancels.take();
        self.wakers.take();
    }
}

/// Requests a task, once.
struct Letter {
    number: u64,
    opened: bool,
}

impl Letter {
    /// The letter is served, in the order of posting (K2), so all that was posted before it is
    /// served, too.
    fn open(mut self) -> LetterRun {
        self.opened = true;
        here(|world| {
            let mail = &world.mail;
            let served = mail.served.replace(mail.served.get() + 1);
            world.check(served == self.number, || {
                format!("K2: letter {} comes after {served} others", self.number)
            });
            world.turns.serve().unwrap_or_else(|fault| world.fault(&fault));
            let mut cancels = mail.cancels.borrow_mut();
            while cancels.front().is_some_and(|(behind, _)| *behind <= self.number) {
                cancels.pop_front().into_iter().for_each(|(_, target)| check_asked(world, &target));
            }
        });
        LetterRun { left: (self.number % 3) as u8 }
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if !self.opened {
            here(|world| {
                world.mail.unused.set(world.mail.unused.get() + 1);
                let over = world.main_ended.get();
                world.check(over, || format!("K5: letter {} is not served", self.number));
            });
        }
    }
}

/// C11: a posted request to cancel has arrived.
fn check_asked(world: &World, target: &TaskModel) {
    let id = target.id.get();
    let requested = kernel::tasks().iter().any(|task| Some(task.id) == id && task.cancelled);
    world.check(requested || !target.live.get(), || {
        format!("C11: {} is not cancelled, but what was posted later is served", target.name())
    });
}

/// The task of a letter: one byte. It yields a number of times, and ends.
struct LetterRun {
    left: u8,
}

/// A value of `left`: it has ended.
const ENDED: u8 = u8::MAX;

impl Future for LetterRun {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        here(|world| {
            world.turns.poll();
            world.check(self.left != ENDED, || "a letter is polled after its end".to_owned());
        });
        if self.left > 0 {
            self.left -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.left = ENDED;
        here(|world| world.mail.ended.set(world.mail.ended.get() + 1));
        Poll::Ready(Ok(()))
    }
}

impl Drop for LetterRun {
    fn drop(&mut self) {
        if self.left != ENDED {
            here(|world| world.fault("the task of a letter is dropped before its end"));
        }
    }
}

/// Lets other threads wake this task from now on.
pub(crate) async fn expose(frame: &Frame) {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let (task, own) = (frame.task.clone(), frame.world.is_own_waker(&waker));
    frame.world.mail.wakers.borrow_mut().push(Exposed { waker, task, own });
}

/// Lets another thread post all of it, and waits for that thread.
pub(crate) fn flood(frame: &Frame, flood: &Flood) {
    let world = &frame.world;
    let mail = &world.mail;
    let first = mail.posted.get();
    mail.posted.set(first + u64::from(flood.letters));
    let targets = flood.cancels.iter().filter_map(|pick| world.pick(&frame.task, *pick));
    let targets: Vec<_> = targets.filter(|target| target.id.get().is_some()).collect();
    let count = if flood.wakes > 0 { mail.wakers.borrow().len().min(WAKERS) } else { 0 };
    let exposed: Vec<Exposed> = mail.wakers.borrow_mut().drain(..count).collect();
    for Exposed { task, own, .. } in &exposed {
        if *own {
            task.woken.set(Some(world.turns.woken(mail.running())));
        } else if task.number == frame.task.number {
            // A combinator wakes its task once a poll. That wake is now in the mailbox.
            task.out_woken.set(true);
        }
    }
    let post = Posting {
        handle: kernel::handle(),
        first,
        letters: flood.letters,
        size: world.size(flood.size),
        cancels: targets.iter().filter_map(|target| target.id.get()).collect(),
        wakers: exposed.into_iter().map(|exposed| exposed.waker).collect(),
        wakes: flood.wakes,
    };
    let name = frame.task.name();
    world.say(&format!("{name} floods with {} letters from {first} on", flood.letters));
    for (at, target) in targets.into_iter().enumerate() {
        mail.cancels.borrow_mut().push_back((first + post.before(at), target));
    }
    let posted = thread::spawn(move || post.all()).join();
    world.check(matches!(posted, Ok(Ok(()))), || format!("K7: {name} could not post"));
}

/// The messages that the other thread posts.
struct Posting {
    handle: Handle,
    first: u64,
    letters: u32,
    size: usize,
    cancels: Vec<TaskId>,
    wakers: Vec<Waker>,
    wakes: u32,
}

impl Posting {
    /// How many letters are posted before the request to cancel with that number.
    fn before(&self, cancel: usize) -> u64 {
        u64::from(self.letters) * cancel as u64 / self.cancels.len() as u64
    }

    fn all(&self) -> Result<(), KernelGone> {
        let mut cancels = self.cancels.iter().enumerate().peekable();
        self.wake();
        for at in 0..u64::from(self.letters) {
            while let Some((_, task)) = cancels.next_if(|(cancel, _)| self.before(*cancel) <= at) {
                self.handle.request_cancel(*task)?;
            }
            self.post(self.first + at)?;
        }
        cancels.try_for_each(|(_, task)| self.handle.request_cancel(*task))?;
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        for _ in 0..self.wakes {
            self.wakers.iter().for_each(Waker::wake_by_ref);
        }
    }

    fn post(&self, number: u64) -> Result<(), KernelGone> {
        let letter = Letter { number, opened: false };
        match self.size {
            0 => self.handle.spawn(move || letter.open()),
            1 => self.padded::<1>(letter),
            64 => self.padded::<64>(letter),
            1_024 => self.padded::<1_024>(letter),
            _ => self.padded::<102_400>(letter),
        }
    }

    fn padded<const N: usize>(&self, letter: Letter) -> Result<(), KernelGone> {
        let mark = letter.number as u8;
        self.handle.spawn(move || Padded::<_, N>::new(letter.open(), mark))
    }
}
