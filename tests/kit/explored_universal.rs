//! Every schedule of small programs with the universal objects, with a cancel at every moment (V4).
//!
//! Each program has three tasks and a queue of one item, and all explorations are complete: see
//! `explored_sync`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, TaskGroup, yield_now};
use curium::sync::{UniversalEvent, UniversalQueue};

use crate::explored::{Counted, Ended, Group, Log, assert_complete, members};

struct Places {
    queue: UniversalQueue<usize>,
    /// The puts, each with its item.
    puts: Log,
    gets: Log,
    /// The request of each item that was got.
    got: RefCell<Vec<(usize, usize)>>,
    /// The items that were not put.
    left: RefCell<Vec<usize>>,
    made: Cell<usize>,
}

impl Places {
    fn new() -> Rc<Self> {
        let (puts, gets, got, left, made) = Default::default();
        let queue = UniversalQueue::bounded(1);
        Rc::new(Places { queue, puts, gets, got, left, made })
    }

    async fn put_from(&self, item: usize) -> Ended {
        self.made.set(self.made.get() + 1);
        let mut hand = Hand { item: Some(item), left: &self.left };
        let put = self.puts.ask(item, self.queue.put_from(&mut hand.item)).await;
        assert_eq!(put.is_ok(), hand.item.is_none());
        put
    }

    async fn get(&self, request: usize) -> Ended {
        if let Some(item) = self.gets.ask(request, self.queue.next()).await? {
            self.got.borrow_mut().push((request, item));
        }
        Ok(())
    }

    async fn get_two(self: Rc<Self>, first: usize) -> Ended {
        self.get(first).await?;
        self.get(first + 1).await
    }

    /// Lets all members end. None of them can go on before a step: a full queue with a getter, or
    /// an empty one with a putter, means that a waiter was not woken.
    async fn let_all_end(&self) -> Ended {
        loop {
            testing::settle().await?;
            let shown = format!("{:?}", self.queue);
            let none = |field: &str| shown.contains(&format!("{field}: 0"));
            assert!(self.queue.is_empty() || none("getters"), "an item is stuck: {shown}");
            assert!(!self.queue.is_empty() || none("putters"), "a slot is stuck: {shown}");
            match self.queue.try_get() {
                Some(item) => self.got.borrow_mut().push((usize::MAX, item)),
                None => break,
            }
        }
        self.queue.close();
        Ok(())
    }

    /// Checks that each item is with a getter or was not put, and that the items were placed in the
    /// order of their puts and handed over in the order of the gets. If a getter is dropped with an
    /// item, that item comes later.
    fn check(&self, in_order: bool) {
        let (asked, left) = (self.gets.asked(), self.left.borrow());
        let turn = |request| asked.iter().position(|asked| *asked == request);
        let mut got = self.got.borrow().clone();
        got.sort_by_key(|(request, _)| turn(*request).unwrap_or(usize::MAX));
        let mut got: Vec<usize> = got.into_iter().map(|(_, item)| item).collect();
        let mut put = self.puts.asked();
        put.retain(|item| !left.contains(item));
        assert_eq!(got.len() + left.len(), self.made.get(), "items are lost, or are there twice");
        if !in_order {
            got.sort_unstable();
            put.sort_unstable();
        }
        assert_eq!(got, put, "the items that were got, and those that were put");
        let shown = format!("{:?}", self.queue);
        assert!(shown.contains("getters: 0, putters: 0"), "{shown}");
    }
}

/// An item that is not put yet. Dropped with it, the item is left.
struct Hand<'a> {
    item: Option<usize>,
    left: &'a RefCell<Vec<usize>>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.left.borrow_mut().extend(self.item.take());
    }
}

/// Explores a program of three members.
#[track_caller]
fn assert_kept(schedules: usize, in_order: bool, spawn: impl Fn(Group, [Rc<Places>; 3])) {
    assert_complete(schedules, async || {
        let places = Places::new();
        TaskGroup::<TaskCancelled>::scope(async |g| {
            spawn(g, [(); 3].map(|()| places.clone()));
            places.let_all_end().await
        })
        .await?;
        places.check(in_order);
        Ok(())
    });
}

/// V4, U2: two putters and a getter.
#[test]
fn two_putters_and_a_getter_of_a_universal_queue_lose_nothing() {
    assert_kept(196, true, |g, [first, second, third]| {
        g.spawn(async move {
            first.put_from(0).await?;
            first.put_from(1).await
        });
        g.spawn(async move {
            second.put_from(2).await?;
            second.put_from(3).await
        });
        g.spawn(third.get_two(0));
    });
}

/// V4, U2: a putter and two getters, of which one is dropped.
#[test]
fn a_putter_and_two_getters_of_a_universal_queue_lose_nothing() {
    assert_kept(116, false, |g, [first, second, third]| {
        let victim = g.spawn(first.get_two(0));
        g.spawn(second.get_two(2));
        g.spawn(async move {
            third.put_from(0).await?;
            third.put_from(1).await?;
            victim.abort();
            third.put_from(2).await
        });
    });
}

/// V4, U2: a queue is closed while a putter and a getter wait.
#[test]
fn a_universal_queue_that_is_closed_loses_nothing() {
    assert_kept(388, true, |g, [first, second, third]| {
        g.spawn(async move {
            for item in 0..3 {
                first.made.set(first.made.get() + 1);
                let put = first.puts.ask(item, first.queue.put_unless_closed(item)).await;
                match put {
                    Ok(Ok(())) => {}
                    Ok(Err(back)) => first.left.borrow_mut().push(back.0),
                    Err(cancelled) => {
                        first.left.borrow_mut().push(item);
                        return Err(cancelled);
                    }
                }
            }
            Ok(())
        });
        g.spawn(second.get_two(0));
        g.spawn(async move {
            yield_now().await?;
            third.queue.close();
            third.get(2).await
        });
    });
}

/// V4, U2: two tasks wait for an event that a third sets and clears. Those that came before the
/// pulse are woken by it.
#[test]
fn a_pulse_of_a_universal_event_wakes_the_waiters_before_it() {
    assert_complete(1_500, async || {
        let event = Rc::new(UniversalEvent::new());
        // The waiters that wait, and those that waited at a pulse.
        let (waiting, due) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let spawn = |g: Group| {
            for _ in 0..2 {
                let (event, waiting, due) = (event.clone(), waiting.clone(), due.clone());
                g.spawn(async move {
                    let one = Counted::new(&waiting, 1);
                    let waited = event.wait().await;
                    drop(one);
                    due.set(usize::saturating_sub(due.get(), 1));
                    waited
                });
            }
            let (event, waiting, due) = (event.clone(), waiting.clone(), due.clone());
            g.spawn(async move {
                for _ in 0..2 {
                    due.set(waiting.get());
                    event.set();
                    event.clear();
                    yield_now().await?;
                }
                Ok(())
            });
        };
        let stuck = || {
            assert_eq!(due.get(), 0, "a waiter was not woken");
            event.set();
        };
        members(spawn, stuck).await?;
        assert!(format!("{event:?}").contains("waiters: 0"));
        Ok(())
    });
}
