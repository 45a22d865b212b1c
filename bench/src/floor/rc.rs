//! The smallest executor with wakers in safe Rust: a table of boxed futures and a queue of ids,
//! both in thread-local cells, with one allocation per task.
//!
//! A waker must be `Send`, so it is an `Arc` of a slot's number. It stays with the slot and serves
//! later occupants, too, which may thus be polled once for nothing. It must be used on its own
//! thread: elsewhere it would write into that thread's queue.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

use super::timer;

/// The main future's number.
const MAIN: usize = usize::MAX;
/// The number of no task.
const NO_TASK: usize = usize::MAX - 1;
/// After so many polls the timers are checked, even if tasks are ready.
const POLLS: u32 = 64;

thread_local! {
    static READY: RefCell<VecDeque<usize>> = const { RefCell::new(VecDeque::new()) };
    static SLOTS: RefCell<Slots> = const { RefCell::new(Slots::new()) };
    static CURRENT: Cell<usize> = const { Cell::new(MAIN) };
}

struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    body: Option<Pin<Box<dyn Body>>>,
    waker: Option<Waker>,
    link: Arc<Link>,
    joiner: usize,
    done: bool,
}

impl Slots {
    const fn new() -> Self {
        Slots { all: Vec::new(), free: Vec::new() }
    }

    fn admit(&mut self, body: Pin<Box<dyn Body>>) -> usize {
        if let Some(id) = self.free.pop() {
            let slot = &mut self.all[id];
            slot.body = Some(body);
            slot.done = false;
            return id;
        }
        let id = self.all.len();
        let link = Arc::new(Link { id, queued: AtomicBool::new(false) });
        let waker = Some(Waker::from(link.clone()));
        self.all.push(Slot { body: Some(body), waker, link, joiner: NO_TASK, done: false });
        id
    }

    fn free(&mut self, id: usize) -> Option<Pin<Box<dyn Body>>> {
        self.free.push(id);
        self.all[id].body.take()
    }
}

/// What a waker holds.
struct Link {
    id: usize,
    queued: AtomicBool,
}

impl Link {
    fn queue(&self) {
        if !self.queued.load(Relaxed) {
            self.queued.store(true, Relaxed);
            READY.with_borrow_mut(|ready| ready.push_back(self.id));
        }
    }
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.queue();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue();
    }
}

/// A future, then its output, without its type.
trait Body {
    /// Whether it is done.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool;
    /// Moves the output into an `Option` of its type.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any);
}

pin_project! {
    #[project = StateProjected]
    enum State<F: Future> {
        Running { #[pin] future: F },
        Done { output: Option<F::Output> },
    }
}

impl<F: Future<Output: 'static>> Body for State<F> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let StateProjected::Running { future } = self.as_mut().project() else { return true };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        self.set(State::Done { output: Some(output) });
        true
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let StateProjected::Done { output } = self.project() {
            if let Some(into) = into.downcast_mut::<Option<F::Output>>() {
                *into = output.take();
            }
        }
    }
}

/// A task: await it for its output.
pub(crate) struct Task<T> {
    id: usize,
    output: PhantomData<T>,
}

impl<T: 'static> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<T> {
        let body = SLOTS.with_borrow_mut(|slots| {
            let slot = &mut slots.all[self.id];
            if !slot.done {
                slot.joiner = CURRENT.get();
                return None;
            }
            slots.free(self.id)
        });
        let Some(mut body) = body else { return Poll::Pending };
        let mut output: Option<T> = None;
        body.as_mut().take(&mut output);
        output.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Task<T> {
    /// Drops the future; then the task has ended.
    pub(crate) fn cancel(self) {
        drop(SLOTS.with_borrow_mut(|slots| slots.free(self.id)));
    }
}

/// Makes a task and queues it.
pub(crate) fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
    let body = Box::pin(State::Running { future });
    let id = SLOTS.with_borrow_mut(|slots| {
        let id = slots.admit(body);
        slots.all[id].link.queue();
        id
    });
    Task { id, output: PhantomData }
}

/// Runs `main` and all tasks until `main` is ready.
pub(crate) fn block_on<F: Future>(main: F) -> F::Output {
    let mut main = pin!(main);
    let link = Arc::new(Link { id: MAIN, queued: AtomicBool::new(false) });
    let waker = Waker::from(link.clone());
    link.queue();
    let mut polls = 0;
    loop {
        polls += 1;
        if polls % POLLS == 0 {
            timer::fire();
        }
        let Some(id) = READY.with_borrow_mut(VecDeque::pop_front) else {
            timer::wait();
            continue;
        };
        CURRENT.set(id);
        if id != MAIN {
            poll(id, &link);
            continue;
        }
        link.queued.store(false, Relaxed);
        if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
            drop_the_rest();
            return value;
        }
    }
}

/// Drops the tasks that are left, while the timers still exist.
fn drop_the_rest() {
    READY.with_borrow_mut(VecDeque::clear);
    drop(SLOTS.with_borrow_mut(|slots| std::mem::replace(slots, Slots::new())));
}

fn poll(id: usize, main: &Link) {
    let taken = SLOTS.with_borrow_mut(|slots| {
        let slot = &mut slots.all[id];
        slot.link.queued.store(false, Relaxed);
        if slot.done {
            return None;
        }
        slot.body.take().zip(slot.waker.take())
    });
    let Some((mut body, waker)) = taken else { return };
    let done = body.as_mut().poll(&mut Context::from_waker(&waker));
    SLOTS.with_borrow_mut(|slots| {
        let slot = &mut slots.all[id];
        slot.body = Some(body);
        slot.waker = Some(waker);
        if done {
            slot.done = true;
            match std::mem::replace(&mut slot.joiner, NO_TASK) {
                NO_TASK => {}
                MAIN => main.queue(),
                joiner => slots.all[joiner].link.queue(),
            }
        }
    });
}
