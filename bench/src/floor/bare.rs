//! No wakers at all: a `VecDeque` of boxed futures, polled round robin.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Body = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static READY: RefCell<VecDeque<Body>> = const { RefCell::new(VecDeque::new()) };
}

/// The value of a task, once it is there.
pub(crate) struct Joined<T>(Rc<Cell<Option<T>>>);

impl<T> Future for Joined<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<T> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Puts a future into the round.
pub(crate) fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Joined<F::Output> {
    let output = Rc::new(Cell::new(None));
    let joined = Joined(output.clone());
    let body: Body = Box::pin(async move { output.set(Some(future.await)) });
    READY.with_borrow_mut(|ready| ready.push_back(body));
    joined
}

/// Polls `main`, then each task once, and again, until `main` is ready.
pub(crate) fn block_on<F: Future>(main: F) -> F::Output {
    let mut main = pin!(main);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = main.as_mut().poll(&mut cx) {
            return value;
        }
        for _ in 0..READY.with_borrow(VecDeque::len) {
            let Some(mut body) = READY.with_borrow_mut(VecDeque::pop_front) else { break };
            if body.as_mut().poll(&mut cx).is_pending() {
                READY.with_borrow_mut(|ready| ready.push_back(body));
            }
        }
    }
}
