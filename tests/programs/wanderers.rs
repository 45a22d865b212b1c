//! Random programs in which futures move: joins, waits, cancels and sleeps that began in one task
//! continue in another, or in another kernel of the thread. Wakers are kept and used anywhere.
//! Destructors abort, cancel and join the tasks that they find.
//!
//! What must always hold: a task that waits for an ended task is notified at that very moment of
//! the virtual clock; no program hangs or breaks an invariant of the kernel (its debug assertions
//! are on); and at the end nothing keeps a kernel alive.
//!
//! `CURIUM_FROM` sets the first seed, and `CURIUM_SEEDS` the number of programs.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kernel::{Kernel, Task, TaskCancelled, TaskGroup, sleep, spawn, timeout_after, yield_now};

/// Some tasks end with this.
const PANIC: &str = "one of ours";

type Outcome = Result<u32, TaskCancelled>;

fn millis(n: usize) -> Duration {
    Duration::from_millis(n as u64)
}

/// A run of one of the two kernels: its number, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    number: u32,
    begun: Option<Instant>,
}

/// What is known of a task besides its handle.
struct Life {
    /// The number of a run of its kernel: of two kernels that take turns.
    run: u32,
    /// In which run of its kernel it ended, and when.
    ended: Cell<Option<(u32, Instant)>>,
}

/// The handle of a task, and its life.
struct Known {
    task: Task<u32, TaskCancelled>,
    life: Rc<Life>,
}

impl Deref for Known {
    type Target = Task<u32, TaskCancelled>;

    fn deref(&self) -> &Self::Target {
        &self.task
    }
}

/// A future that began in some task, and the task whose end it waits for. It returns true if what
/// it waits for has happened.
struct Wanderer {
    future: Pin<Box<dyn Future<Output = bool>>>,
    of: Option<Rc<Life>>,
}

/// What all tasks of a program share.
struct World {
    random: Cell<u64>,
    run: Cell<Run>,
    tasks: RefCell<Vec<Known>>,
    wanderers: RefCell<Vec<Wanderer>>,
    wakers: RefCell<Vec<Waker>>,
    event: sync::Event,
    /// The nesting depth of destructors.
    depth: Cell<u32>,
    /// How many waits for an end were notified in time.
    notified: Cell<u32>,
}

/// Records the end of a task, however it ends, and causes disturbances.
struct Ending(Rc<World>, Rc<Life>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Ending(world, life) = self;
        // Its kernel may not be running. Then the waiters are notified when it runs.
        let run = world.run.get();
        if (life.run ^ run.number) & 1 == 0 && run.begun.is_some() {
            life.ended.set(Some((run.number, kernel::now())));
        }
        world.meddle();
    }
}

impl World {
    fn new(seed: u64) -> Rc<Self> {
        Rc::new(World {
            random: Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            run: Cell::new(Run { number: 0, begun: None }),
            tasks: RefCell::default(),
            wanderers: RefCell::default(),
            wakers: RefCell::default(),
            event: sync::Event::new(),
            depth: Cell::new(0),
            notified: Cell::new(0),
        })
    }

    fn any(&self, below: usize) -> usize {
        let next = self.random.get().wrapping_mul(6_364_136_223_846_793_005);
        self.random.set(next.wrapping_add(1_442_695_040_888_963_407));
        (next >> 33) as usize % below
    }

    fn one_in(&self, n: usize) -> bool {
        self.any(n) == 0
    }

    /// A random entry of a list.
    fn take<T>(&self, from: &RefCell<Vec<T>>) -> Option<T> {
        let len = from.borrow().len();
        (len > 0).then(|| {
            let at = self.any(len);
            from.borrow_mut().swap_remove(at)
        })
    }

    /// Puts a task back into the list.
    fn keep(&self, task: Known) {
        self.tasks.borrow_mut().push(task);
    }

    fn set_out<F, T>(&self, of: Option<Rc<Life>>, future: F)
    where
        F: Future<Output = Result<T, TaskCancelled>> + 'static,
    {
        let future = Box::pin(async move { future.await.is_ok() });
        self.wanderers.borrow_mut().push(Wanderer { future, of });
    }

    /// Actions that need no await. Bounded, because destructors run them, too.
    fn meddle(self: &Rc<Self>) {
        if self.depth.get() > 3 {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        match self.any(4) {
            0 => drop(self.take(&self.wanderers)),
            1 => self.use_a_waker(),
            2 if self.one_in(2) => self.event.set(),
            2 => self.event.clear(),
            _ => {
                if let Some(task) = self.take(&self.tasks) {
                    self.meddle_with(task);
                }
            }
        }
        for task in self.tasks.borrow().iter() {
            let _ = (task.state(), task.parked_at(), task.name());
        }
        self.depth.set(self.depth.get() - 1);
    }

    fn meddle_with(self: &Rc<Self>, task: Known) {
        let of = Some(task.life.clone());
        match self.any(6) {
            0 => task.abort(),
            1 => task.request_cancel(),
            2 => self.set_out(of, task.join()),
            3 => self.set_out(of, task.wait()),
            4 => self.set_out(of, task.cancel()),
            _ => return,
        }
        self.keep(task);
    }

    /// Wakes the owner of a kept waker, and polls a future with that waker.
    fn use_a_waker(&self) {
        let Some(waker) = self.take(&self.wakers) else { return };
        waker.wake_by_ref();
        if let Some(mut wanderer) = self.take(&self.wanderers) {
            if wanderer.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.wanderers.borrow_mut().push(wanderer);
            }
        }
    }

    /// Polls a future once, with the waker of the running task.
    async fn poll_one(&self) {
        if let Some(mut wanderer) = self.take(&self.wanderers) {
            let polled = poll_fn(|cx| Poll::Ready(wanderer.future.as_mut().poll(cx))).await;
            if polled.is_pending() {
                self.wanderers.borrow_mut().push(wanderer);
            }
        }
    }

    /// Polls a future to its end, if that comes soon, and checks whether it came in time.
    async fn finish_one(&self, soon: Duration) {
        let Some(wanderer) = self.take(&self.wanderers) else { return };
        let begun = kernel::now();
        let waited = timeout_after(soon, async {
            let come = wanderer.future.await;
            let (run, now) = (self.run.get(), kernel::now());
            if let (true, Some(life)) = (come, wanderer.of) {
                if let Some((number, ended)) = life.ended.get() {
                    // If it ended in an earlier run, only the fact that it has ended can be
                    // checked.
                    let since = if number == run.number { Some(ended) } else { run.begun };
                    let known = since.map_or(begun, |since| since.max(begun));
                    assert_eq!(now, known, "{} was notified late", kernel::current_task());
                    self.notified.set(self.notified.get() + 1);
                }
            }
            Ok::<_, TaskCancelled>(())
        });
        // In time or not, the future is gone.
        let _ = waited.await;
    }

    async fn spend_the_budget(&self) {
        for _ in 0..127 + self.any(3) {
            // Returns at once, also in a cancelled task.
            let _ = sync::Semaphore::new(1).acquire().await;
        }
    }

    async fn step(self: &Rc<Self>) -> Result<(), TaskCancelled> {
        match self.any(14) {
            0 => yield_now().await?,
            1 => sleep(millis(self.any(5))).await?,
            2 | 3 => self.poll_one().await,
            4 => self.finish_one(millis(3)).await,
            5 => self.finish_one(millis(9)).await,
            // Ends in a later run.
            12 => self.finish_one(millis(60)).await,
            13 => sleep(millis(40)).await?,
            6 => {
                self.spend_the_budget().await;
                self.poll_one().await;
            }
            7 => {
                let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                self.wakers.borrow_mut().push(waker);
            }
            8 => self.set_out(None, sleep(millis(4))),
            9 => drop(timeout_after(millis(2), self.event.wait()).await),
            10 => self.begin_some(),
            _ => self.group().await,
        }
        if self.one_in(2) {
            self.meddle();
        }
        let _ = (kernel::tasks(), kernel::current_task());
        Ok(())
    }

    fn new_life(&self) -> Rc<Life> {
        Rc::new(Life { run: self.run.get().number, ended: Cell::new(None) })
    }

    fn begin_some(self: &Rc<Self>) {
        if self.tasks.borrow().len() < 40 {
            let life = self.new_life();
            let task = spawn(self.clone().live(1 + self.any(8), life.clone()));
            self.keep(Known { task, life });
        }
    }

    async fn group(self: &Rc<Self>) {
        let group = TaskGroup::<TaskCancelled>::new();
        for _ in 0..3 {
            let life = self.new_life();
            let task = group.spawn(self.clone().live(2, life.clone()));
            if self.one_in(2) {
                self.keep(Known { task, life });
            }
        }
        if self.one_in(2) {
            let _ = group.join().await;
        }
    }

    /// A task of so many steps.
    fn live(
        self: Rc<Self>,
        steps: usize,
        life: Rc<Life>,
    ) -> Pin<Box<dyn Future<Output = Outcome>>> {
        Box::pin(async move {
            let _ending = Ending(self.clone(), life);
            for _ in 0..steps {
                self.step().await?;
                if self.one_in(60) {
                    // Not a panic that the hook would print, because there are many.
                    resume_unwind(Box::new(PANIC));
                }
            }
            Ok(7)
        })
    }

    /// Runs a kernel for a while. A group re-raises the panic of a member, which may reach this
    /// function.
    fn run(self: &Rc<Self>, kernel: &Kernel) {
        let number = self.run.get().number + 1;
        self.run.set(Run { number, begun: None });
        let ran = catch_unwind(AssertUnwindSafe(|| {
            kernel.run(async || {
                self.run.set(Run { number, begun: Some(kernel::now()) });
                for _ in 0..6 {
                    self.begin_some();
                }
                for _ in 0..12 {
                    let _ = self.step().await;
                }
                let _ = sleep(millis(20)).await;
            });
        }));
        self.run.set(Run { number, begun: None });
        if let Err(panic) = ran {
            let ours = panic.downcast_ref::<&str>() == Some(&PANIC);
            assert!(ours, "{:?}", panic.downcast_ref::<String>());
        }
    }

    /// Drops what is left. A destructor may add more.
    fn clear(&self) {
        for _ in 0..3 {
            drop(self.wanderers.take());
            drop(self.tasks.take());
            drop(self.wakers.take());
        }
    }
}

/// A kernel that holds `mark` while it exists.
fn kernel(seed: u64, mark: &Rc<()>) -> Kernel {
    let mark = mark.clone();
    let mut builder = Kernel::builder().virtual_clock().on_report(move |report| {
        let _ = (&mark, report.to_string());
    });
    if seed % 2 == 0 {
        builder = builder.seed(seed);
    }
    if seed % 5 == 0 {
        builder = builder.report_long_polls(Duration::from_nanos(1));
    }
    builder.build().expect("a kernel can be made")
}

/// One program: two kernels that run alternately, and three ways to end. Returns how many waits
/// were notified in time.
fn program(seed: u64, mark: &Rc<()>) -> u32 {
    let (one, other) = (kernel(seed, mark), kernel(seed + 1, mark));
    let world = World::new(seed);
    for _ in 0..5 {
        world.run(&one);
        world.run(&other);
    }
    match seed % 3 {
        0 => {
            drop(one);
            world.run(&other);
        }
        1 => {
            one.shutdown();
            other.shutdown();
        }
        _ => other.run(async || {
            drop(one);
            world.meddle();
            world.begin_some();
        }),
    }
    world.clear();
    world.notified.get()
}

/// T6, C2, K5, K8: wherever futures move, the waiters are notified in time, and nothing is left.
#[test]
fn whatever_wanders_is_told_in_time_and_leaves_nothing() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect(name));
    let (first, programs) =
        (number("CURIUM_FROM").unwrap_or(0u64), number("CURIUM_SEEDS").unwrap_or(150));
    let mark = Rc::new(());
    let mut notified = 0;
    for seed in first..first + programs {
        let ran = catch_unwind(AssertUnwindSafe(|| program(seed, &mark)));
        notified += ran.unwrap_or_else(|_| panic!("the program of seed {seed}"));
        assert_eq!(Rc::strong_count(&mark), 1, "seed {seed}: a kernel is left");
    }
    assert!(u64::from(notified) >= programs, "too few waits: {notified}");
}
