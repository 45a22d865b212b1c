//! Custom leaves: futures that park by themselves and can be cancelled like those of the library.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use curium::kernel::wait_queue::{Handoff, Wait, WaitQueue};
use curium::kernel::{self, CancelPoint, Result, spawn, yield_now};

/// Every task waits until `size` tasks have arrived. It is a queue of waiters, hence a `Handoff`.
struct Barrier {
    size: usize,
    waiters: WaitQueue,
}

struct Arrival<'a>(&'a Barrier);

impl Handoff for Arrival<'_> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.0.waiters
    }

    /// The last task to arrive releases all others.
    fn try_take(&mut self) -> Option<()> {
        let last = self.0.waiters.len() + 1 == self.0.size;
        last.then(|| self.0.waiters.hand_over_all(|| ()))
    }

    fn finish(&mut self, (): ()) {}
    fn pass_on(&mut self, (): ()) {}
}

async fn runner(name: &'static str, barrier: Rc<Barrier>) -> Result<()> {
    println!("{name} is at the start");
    Wait::new("BARRIER", Arrival(&barrier)).await?;
    println!("{name} runs");
    Ok(())
}

/// Holds a word for one reader, which waits with a bare `CancelPoint`.
#[derive(Default)]
struct Letterbox {
    letter: Cell<Option<&'static str>>,
    reader: RefCell<Option<Waker>>,
}

async fn read(letters: Rc<Letterbox>) -> Result<()> {
    loop {
        let mut point = CancelPoint::new("LETTERBOX");
        // If the closure returns `Pending`, the point returns a cancellation that is pending.
        let letter = poll_fn(|cx| {
            point.poll(cx, |cx| {
                letters.reader.replace(Some(cx.waker().clone()));
                letters.letter.take().map_or(Poll::Pending, Poll::Ready)
            })
        });
        println!("read: {}", letter.await?);
    }
}

fn main() -> Result<()> {
    kernel::run(async || {
        let barrier = Rc::new(Barrier { size: 3, waiters: WaitQueue::new() });
        let runners = ["Ann", "Bob", "Cy"].map(|name| spawn(runner(name, barrier.clone())));
        for runner in runners {
            runner.wait().await?;
        }
        let letters = Rc::new(Letterbox::default());
        let reader = spawn(read(letters.clone()));
        yield_now().await?;
        letters.letter.set(Some("hello"));
        letters.reader.take().into_iter().for_each(Waker::wake);
        yield_now().await?;
        reader.cancel().await // it waits for a second letter, which never comes
    })
}
