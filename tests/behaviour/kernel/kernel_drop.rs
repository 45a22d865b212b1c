//! The drop of a kernel: all tasks are dropped, whatever their destructors do (K5, K9).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use kernel::{Kernel, Task, TaskCancelled, TaskEnd, TaskGroup, sleep, spawn, testing};

type Ended = Result<(), TaskCancelled>;

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn parked_with<F: FnMut() + 'static>(on_drop: F) -> Task<(), TaskCancelled> {
    let guard = OnDrop(on_drop);
    spawn(async move {
        let _guard = guard;
        sleep(Duration::MAX).await
    })
}

fn kernel() -> Kernel {
    Kernel::builder().virtual_clock().build().unwrap()
}

/// K5: a dropped kernel drops the tasks that are left, the youngest first, without their cleanup.
#[test]
fn a_dropped_kernel_drops_what_is_left_the_youngest_first() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let kernel = kernel();
    let handles = kernel.run(async || {
        let handles = ["oldest", "middle", "youngest"].map(|name| {
            let log = log.clone();
            parked_with(move || log.borrow_mut().push(name))
        });
        testing::settle().await.unwrap();
        handles
    });
    drop(kernel);
    assert_eq!(log.take(), ["youngest", "middle", "oldest"]);
    assert_eq!(handles.map(|handle| handle.end()), [Some(TaskEnd::Aborted); 3]);
}

/// K9, K5: a destructor that spawns, wakes, cancels and aborts meets no borrow of the kernel.
#[test]
fn a_destructor_may_use_the_kernel() {
    let kernel = kernel();
    let dropped = Rc::new(Cell::new(0));
    kernel.run(async || {
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let (kept, count) = (waker.clone(), dropped.clone());
        let other = Rc::new(spawn(std::future::poll_fn(move |cx| {
            *kept.borrow_mut() = Some(cx.waker().clone());
            Poll::<Ended>::Pending
        })));
        let victim = Rc::new(parked_with(move || count.set(count.get() + 1)));
        for _ in 0..3 {
            let (waker, other, victim) = (waker.clone(), other.clone(), victim.clone());
            let count = dropped.clone();
            parked_with(move || {
                let waker = waker.borrow().clone();
                waker.unwrap().wake();
                other.request_cancel();
                victim.abort();
                let late = spawn(sleep(Duration::ZERO));
                assert!(kernel::tasks().len() < 100 && !late.name().is_empty());
                drop(TaskGroup::<TaskCancelled>::new());
                count.set(count.get() + 1);
            });
        }
        testing::settle().await.unwrap();
    });
    drop(kernel);
    assert_eq!(dropped.get(), 4);
}

/// K5: a task that a destructor spawns when the kernel is closing is dropped unpolled.
#[test]
fn a_task_spawned_by_a_late_destructor_is_dropped_unpolled() {
    let kernel = kernel();
    let late: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    let polled = Rc::new(Cell::new(false));
    kernel.run(async || {
        let (slot, flag) = (late.clone(), polled.clone());
        parked_with(move || {
            let flag = flag.clone();
            *slot.borrow_mut() = Some(spawn(async move {
                flag.set(true);
                Ok(())
            }));
        });
        testing::settle().await.unwrap();
    });
    drop(kernel);
    assert_eq!(late.take().unwrap().end(), Some(TaskEnd::Aborted));
    assert!(!polled.get());
}

/// Spawns another of its kind when it is dropped, `left` times.
struct Respawns {
    left: u32,
    dropped: Rc<Cell<u32>>,
}

impl Drop for Respawns {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        if self.left > 0 {
            let next = Respawns { left: self.left - 1, dropped: self.dropped.clone() };
            spawn(async move {
                let _next = next;
                sleep(Duration::MAX).await
            });
        }
    }
}

fn drop_with_respawns(left: u32) -> u32 {
    let kernel = kernel();
    let dropped = Rc::new(Cell::new(0));
    let first = Respawns { left, dropped: dropped.clone() };
    kernel.run(async || {
        spawn(async move {
            let _first = first;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
    });
    drop(kernel);
    dropped.get()
}

/// K5: a destructor that spawns the next destructor: all tasks of a finite chain are dropped.
#[test]
fn a_chain_of_destructors_that_spawn_ends() {
    assert_eq!(drop_with_respawns(0), 1);
    assert_eq!(drop_with_respawns(20), 21);
}

/// K5: a kernel in a thread-local is dropped with its thread, and so are its tasks.
#[test]
fn a_kernel_in_a_thread_local_goes_with_its_thread() {
    thread_local! {
        static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    }
    let (sender, dropped) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let kernel = kernel();
        kernel.run(async || {
            parked_with(move || {
                spawn(sleep(Duration::ZERO)).request_cancel();
                sender.send(thread::current().id()).unwrap();
            });
            testing::settle().await.unwrap();
        });
        KERNEL.with(|slot| *slot.borrow_mut() = Some(kernel));
        thread::current().id()
    });
    let id = thread.join().unwrap();
    assert_eq!(dropped.recv().unwrap(), id);
}

/// K5, K9: handles that outlive their kernel are harmless.
#[test]
fn handles_outlive_their_kernel() {
    let kernel = kernel();
    let (parked, value) = kernel.run(async || {
        let value = spawn(async { Ok::<_, TaskCancelled>(String::from("kept")) });
        testing::settle().await.unwrap();
        (spawn(sleep(Duration::MAX)), value)
    });
    kernel.shutdown();
    assert_eq!((parked.end(), value.end()), (Some(TaskEnd::Cancelled), Some(TaskEnd::Ok)));
    parked.request_cancel();
    parked.abort();
    assert_eq!(parked.parked_at(), None);
    // Taking the outcome of an ended task needs no kernel.
    let taken = tokio_test::block_on(value.join()).unwrap();
    assert_eq!(taken.unwrap(), "kept");
}
