//! What the explorations of the primitives share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing::{self, Explored};
use curium::kernel::{GroupRef, TaskCancelled, TaskGroup};

pub(crate) type Group = GroupRef<TaskCancelled>;
pub(crate) type Ended = Result<(), TaskCancelled>;

/// Explores all schedules of a program, with one cancel at every moment, and compares their number.
/// Another number means that the program or the kernel polls at other places than before.
#[track_caller]
pub(crate) fn assert_complete(schedules: usize, program: impl AsyncFn() -> Ended) {
    let Explored { schedules: tried, complete, .. } = testing::explore().cancels(1).run(program);
    assert_eq!((tried, complete), (schedules, true));
}

/// Awaits the members that `spawn` spawns. `stuck` runs when none of them can go on: it looks for
/// waiters that ought to have been woken, and then lets them go on.
pub(crate) async fn members(spawn: impl FnOnce(Group), stuck: impl FnOnce()) -> Ended {
    TaskGroup::<TaskCancelled>::scope(async |g| {
        spawn(g);
        testing::settle().await?;
        stuck();
        Ok(())
    })
    .await
}

/// Three members, by their numbers.
pub(crate) async fn three<F>(member: impl Fn(usize) -> F) -> Ended
where
    F: Future<Output = Ended> + 'static,
{
    members(|g| (0..3).for_each(|number| drop(g.spawn(member(number)))), || ()).await
}

/// The numbers of the requests that were made and of those that were served, in order.
#[derive(Default)]
pub(crate) struct Log {
    asked: RefCell<Vec<usize>>,
    served: RefCell<Vec<usize>>,
}

impl Log {
    /// Awaits a request. One that is cancelled or dropped is as if it had not been made.
    pub(crate) async fn ask<T>(
        &self,
        request: usize,
        wait: impl Future<Output = Result<T, TaskCancelled>>,
    ) -> Result<T, TaskCancelled> {
        let mut asked = Asked { log: self, request, served: false };
        self.asked.borrow_mut().push(request);
        let item = wait.await?;
        self.served.borrow_mut().push(request);
        asked.served = true;
        Ok(item)
    }

    /// The requests that were neither cancelled nor dropped, in the order in which they were made.
    pub(crate) fn asked(&self) -> Vec<usize> {
        self.asked.borrow().clone()
    }

    /// Checks that no request was served before an earlier one, among those that exclude each
    /// other.
    pub(crate) fn assert_served_in_order(&self, exclude: impl Fn(usize, usize) -> bool) {
        let (asked, served) = (self.asked.borrow(), self.served.borrow());
        let place = |request: usize| served.iter().position(|other| *other == request);
        assert_eq!(asked.len(), served.len(), "a request was served twice, or not at all");
        for (at, &early) in asked.iter().enumerate() {
            for &late in &asked[at + 1..] {
                let overtaken = exclude(early, late) && place(late) < place(early);
                assert!(!overtaken, "request {late} has overtaken request {early}");
            }
        }
    }
}

struct Asked<'a> {
    log: &'a Log,
    request: usize,
    served: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.served {
            self.log.asked.borrow_mut().retain(|asked| *asked != self.request);
        }
    }
}

/// Counts something for as long as it exists.
pub(crate) struct Counted(Rc<Cell<usize>>, usize);

impl Counted {
    pub(crate) fn new(counter: &Rc<Cell<usize>>, by: usize) -> Self {
        counter.set(counter.get() + by);
        Counted(counter.clone(), by)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}
