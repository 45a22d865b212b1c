//! The ready queue: FIFO, or shuffled by a seed; and the batch that is taken out of it.

use std::cell::RefCell;

use crate::parts::KEEP;

/// The tasks that will be polled after those of the current batch.
///
/// It stores slots without generations. That is enough, because the slot of a queued task is not
/// reused.
///
/// A batch is taken out as a whole and then belongs to the run loop alone (`run/tick.rs`), so
/// polling a task of the batch needs no access to this queue.
pub(crate) struct ReadyQueue {
    tasks: Vec<u32>,
    order: Order,
    watch: Option<Watch>,
}

/// What is done when a task is queued while the run loop is left. Meanwhile `tasks` is without a
/// buffer, so that only the path on which it has to grow tests for this.
struct Watch {
    buffer: Vec<u32>,
    queued: Box<dyn FnOnce()>,
}

/// The order in which ready tasks are polled.
pub(crate) enum Order {
    /// In batches: the tasks that became ready first come first.
    Fifo,
    /// Each turn takes a random ready task. The order is the same for the same seed.
    Random(SplitMix),
    /// Each turn takes the first ready task alone, so that the test kit can choose it before.
    OneByOne,
}

impl Order {
    pub(crate) fn seeded(seed: u64) -> Self {
        Order::Random(SplitMix(seed))
    }
}

impl ReadyQueue {
    pub(crate) fn new(order: Order) -> Self {
        ReadyQueue { tasks: Vec::new(), order, watch: None }
    }

    #[inline]
    pub(crate) fn push(&mut self, task: u32) {
        if self.tasks.len() == self.tasks.capacity() {
            self.push_beyond(task);
        } else {
            self.tasks.push(task);
        }
    }

    /// `push` into a buffer that is full, as it is during a watch. Not `cold`, because then the
    /// compiler places the frequent path behind a jump.
    #[inline(never)]
    fn push_beyond(&mut self, task: u32) {
        self.end_watch().into_iter().for_each(|queued| queued());
        self.tasks.push(task);
    }

    /// Has `queued` called when the next task is queued. The queue must be empty. No code of a
    /// program may run in `queued`.
    pub(crate) fn watch(&mut self, queued: Box<dyn FnOnce()>) {
        debug_assert!(self.tasks.is_empty() && self.watch.is_none(), "nothing is ready");
        self.watch = Some(Watch { buffer: std::mem::take(&mut self.tasks), queued });
    }

    /// Ends the watch, and returns what was to be called.
    #[cold]
    pub(crate) fn end_watch(&mut self) -> Option<Box<dyn FnOnce()>> {
        let Watch { mut buffer, queued } = self.watch.take()?;
        buffer.append(&mut self.tasks);
        self.tasks = buffer;
        Some(queued)
    }

    /// Takes the task if there is exactly one. Otherwise returns the number of tasks as an error.
    #[inline]
    fn pop_lone(&mut self) -> Result<u32, usize> {
        match self.tasks.len() {
            1 => self.tasks.pop().ok_or(0),
            others => Err(others),
        }
    }

    /// The first task of the next batch. The other tasks go into `batch`, which is empty before, in
    /// reverse order. Unless the order is FIFO, the batch is one task.
    fn next_round(&mut self, batch: &mut Vec<u32>) -> Option<u32> {
        match &mut self.order {
            Order::Fifo => {
                std::mem::swap(&mut self.tasks, batch);
                batch.reverse();
                batch.pop()
            }
            // Batches of one task, so that a task that becomes ready meanwhile may come first.
            Order::Random(random) => {
                let any = random.next() % self.tasks.len() as u64;
                Some(self.tasks.swap_remove(any as usize))
            }
            Order::OneByOne => Some(self.tasks.remove(0)),
        }
    }

    /// The tasks that are ready, in the order of the queue.
    pub(crate) fn tasks(&self) -> &[u32] {
        &self.tasks
    }

    /// Moves the task at `position` to the front.
    pub(crate) fn promote(&mut self, position: usize) {
        self.tasks[..=position].rotate_right(1);
    }

    /// Puts the rest of a batch at the front of the queue.
    pub(crate) fn put_back(&mut self, batch: &mut Batch) {
        let tasks = &mut batch.behind;
        tasks.append(&mut batch.next);
        tasks.reverse();
        tasks.append(&mut self.tasks);
        std::mem::swap(&mut self.tasks, tasks);
    }

    /// Releases the memory that a burst took, here and in the batch.
    pub(crate) fn shrink(&mut self, batch: &mut Batch) {
        for tasks in [&mut self.tasks, &mut batch.next, &mut batch.behind] {
            tasks.shrink_to(KEEP);
        }
    }

    /// Takes all tasks.
    pub(crate) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.tasks)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The tasks that were ready when the previous batch was used up.
#[derive(Default)]
pub(crate) struct Batch {
    /// The tasks that are polled before the run loop checks its other sources, in reverse order.
    /// They are separate from `behind`, so that taking a task needs one test (is `next` empty) and
    /// no second test of the limit.
    next: Vec<u32>,
    /// The tasks after these, also in reverse order.
    behind: Vec<u32>,
    /// The number of polls that are still allowed before the run loop checks its other sources, not
    /// counting those of `next`.
    left: usize,
}

impl Batch {
    /// The next task. None: no task is ready, or the run loop must check its other sources.
    #[inline(always)]
    pub(crate) fn pop(&mut self, ready: &RefCell<ReadyQueue>) -> Option<u32> {
        if let Some(next) = self.next.pop() {
            return Some(next);
        }
        if self.left == 0 {
            return None;
        }
        // The whole batch was used up, and polls are left.
        debug_assert!(self.behind.is_empty(), "they come before who is ready now");
        let lone = ready.borrow_mut().pop_lone();
        match lone {
            Err(0) => None,
            Err(_) => self.begin(ready),
            Ok(alone) => {
                self.left -= 1;
                Some(alone)
            }
        }
    }

    #[inline(never)]
    fn begin(&mut self, ready: &RefCell<ReadyQueue>) -> Option<u32> {
        let first = ready.borrow_mut().next_round(&mut self.next)?;
        self.left -= 1;
        if self.next.len() > self.left {
            std::mem::swap(&mut self.next, &mut self.behind);
            self.advance();
        } else {
            self.left -= self.next.len();
        }
        Some(first)
    }

    /// Moves tasks from `behind` to `next`, as many as may be polled.
    #[inline(never)]
    fn advance(&mut self) {
        let rest = self.behind.len().saturating_sub(self.left);
        self.next.extend_from_slice(&self.behind[rest..]);
        self.behind.truncate(rest);
        self.left -= self.next.len();
    }

    /// Allows that number of polls. Called when the run loop has checked its other sources.
    pub(crate) fn allow(&mut self, polls: u32) {
        debug_assert!(self.next.is_empty(), "they have theirs first");
        self.left = polls as usize;
        if !self.behind.is_empty() {
            self.advance();
        }
    }

    /// The number of polls that were allowed and were not needed.
    pub(crate) fn unused(&self) -> u32 {
        self.left.try_into().unwrap_or(u32::MAX)
    }

    pub(crate) fn len(&self) -> usize {
        self.next.len() + self.behind.len()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.next.is_empty() && self.behind.is_empty()
    }
}

/// Sebastiano Vigna's SplitMix64: small, and good enough to shuffle with.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn tasks_come_in_order_and_no_more_than_are_allowed() {
        for ready_at_once in [1, 2, 3, 4, 5, 9, 130] {
            for allowed in 1..8 {
                let queue = RefCell::new(ReadyQueue::new(Order::Fifo));
                let mut batch = Batch::default();
                let (mut made, mut had) = (0, 0);
                while had < 300 {
                    assert_eq!(batch.pop(&queue), None, "nothing is allowed");
                    batch.allow(allowed);
                    for left in (0..allowed).rev() {
                        while made < had + ready_at_once {
                            queue.borrow_mut().push(made);
                            made += 1;
                        }
                        assert_eq!(batch.pop(&queue), Some(had), "{ready_at_once} {left}");
                        had += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn a_watch_sees_the_next_task_that_is_queued_and_no_other() {
        let queue = RefCell::new(ReadyQueue::new(Order::Fifo));
        let mut batch = Batch::default();
        let seen = Rc::new(Cell::new(0));
        for round in 1..4 {
            let sees = seen.clone();
            queue.borrow_mut().watch(Box::new(move || sees.set(sees.get() + 1)));
            (0..100).for_each(|task| queue.borrow_mut().push(task));
            assert_eq!(seen.get(), round);
            assert!(queue.borrow_mut().end_watch().is_none(), "it has ended");
            batch.allow(100);
            assert!((0..100).all(|task| batch.pop(&queue) == Some(task)));
        }
        queue.borrow_mut().watch(Box::new(|| panic!("the watch was ended before")));
        assert!(queue.borrow_mut().end_watch().is_some());
        queue.borrow_mut().push(0);
    }

    #[test]
    fn what_is_left_of_a_round_comes_before_what_came_later() {
        for taken in 0..6 {
            let queue = RefCell::new(ReadyQueue::new(Order::Fifo));
            let mut batch = Batch::default();
            (0..6).for_each(|task| queue.borrow_mut().push(task));
            batch.allow(4);
            let had: Vec<u32> = (0..taken.min(4)).filter_map(|_| batch.pop(&queue)).collect();
            (6..8).for_each(|task| queue.borrow_mut().push(task));
            assert_eq!(batch.is_over(), taken == 0);
            queue.borrow_mut().put_back(&mut batch);
            let all = [had, queue.borrow_mut().take()].concat();
            assert_eq!(all, (0..8).collect::<Vec<u32>>(), "{taken}");
        }
    }
}
