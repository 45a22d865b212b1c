//! Jobs on other threads when there are more jobs than threads. The threads belong to a process, so
//! each test runs in its own child.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use kernel::{Task, TaskCancelled, run_in_thread, sleep, spawn, testing, timeout_after, yield_now};
use net::{TcpListener, TcpStream};

use crate::support::children;
use crate::support::pool::Gate;

/// How many jobs run at one time.
const THREADS: usize = 64;

/// Runs the test's body in a child, or is that child.
fn alone(name: &str, body: impl AsyncFnOnce() -> io::Result<()>) {
    match children::role() {
        Some(_) => testing::run(body).unwrap(),
        None => drop(children::run(name, "child")),
    }
}

type Job<T> = Task<T, TaskCancelled>;

fn start<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Job<T> {
    spawn(run_in_thread(job))
}

/// The value of a job.
async fn value<T: 'static>(job: Job<T>) -> io::Result<T> {
    Ok(job.await?)
}

/// Occupies every thread. Returns the jobs that do, each with its gate.
async fn occupy() -> io::Result<Vec<(Job<()>, Gate)>> {
    let (started, starts) = mpsc::channel();
    let mut held = Vec::new();
    for _ in 0..THREADS {
        let (gate, started) = (Gate::default(), started.clone());
        let theirs = gate.clone();
        held.push((
            start(move || {
                started.send(()).unwrap();
                theirs.pass();
            }),
            gate,
        ));
    }
    yield_now().await?;
    for _ in 0..THREADS {
        starts.recv().unwrap();
    }
    Ok(held)
}

async fn release(held: Vec<(Job<()>, Gate)>) -> io::Result<()> {
    held.iter().for_each(|(_, gate)| gate.open());
    for (job, _) in held {
        value(job).await?;
    }
    Ok(())
}

/// K2: however many jobs there are, a bounded number of threads runs them all.
#[test]
fn many_jobs_run_on_a_bounded_number_of_threads() {
    alone(children::this_test!(), async || {
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = Gate::default();
        let (started, starts) = mpsc::channel();
        let mut jobs = Vec::new();
        for number in 0..500 {
            let (running, peak) = (running.clone(), peak.clone());
            let (gate, started) = (gate.clone(), started.clone());
            jobs.push(start(move || {
                peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                started.send(()).unwrap();
                gate.pass();
                running.fetch_sub(1, Ordering::SeqCst);
                number
            }));
        }
        yield_now().await?;
        // All jobs that can start have started.
        (0..THREADS).for_each(|_| starts.recv().unwrap());
        gate.open();
        for (number, job) in jobs.into_iter().enumerate() {
            assert_eq!(value(job).await?, number);
        }
        assert_eq!(peak.load(Ordering::SeqCst), THREADS);
        Ok(())
    });
}

/// K1: the jobs that wait for a thread get it in order of arrival.
#[test]
fn jobs_that_wait_for_a_thread_run_first_come_first_served() {
    alone(children::this_test!(), async || {
        let held = occupy().await?;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for number in 0..50 {
            let order = order.clone();
            jobs.push(start(move || order.lock().unwrap().push(number)));
            yield_now().await?;
        }
        // One thread for all of them. One of the waiting jobs is dropped.
        jobs.remove(7).cancel().await?;
        held[0].1.open();
        for job in jobs {
            value(job).await?;
        }
        let expected: Vec<_> = (0..50).filter(|number| *number != 7).collect();
        assert_eq!(*order.lock().unwrap(), expected);
        release(held).await
    });
}

/// Records on which thread it was dropped.
struct Dropped(Arc<Mutex<Vec<ThreadId>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

/// N4, C11: a job whose waiter is dropped before the job gets a thread is never started. It is
/// dropped with the waiter, on the same thread.
#[test]
fn a_job_whose_waiter_is_gone_is_not_started() {
    alone(children::this_test!(), async || {
        let held = occupy().await?;
        let (drops, ran) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let make = || {
            let (dropped, ran) = (Dropped(Arc::clone(&drops)), ran.clone());
            move || {
                drop(dropped);
                ran.fetch_add(1, Ordering::SeqCst);
            }
        };
        let here = thread::current().id();
        let cancelled = start(make());
        yield_now().await?;
        cancelled.cancel().await?;
        assert_eq!(*drops.lock().unwrap(), [here]);
        let aborted = start(make());
        yield_now().await?;
        aborted.abort();
        yield_now().await?;
        assert_eq!(*drops.lock().unwrap(), [here; 2]);
        let mut left = Box::pin(run_in_thread(make()));
        assert!(futures::FutureExt::now_or_never(left.as_mut()).is_none());
        drop(left);
        assert_eq!(*drops.lock().unwrap(), [here; 3]);
        release(held).await?;
        value(start(|| ())).await?;
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        Ok(())
    });
}

/// K8: the virtual clock waits for a job that waits for a thread, and not for one that was
/// abandoned, started or not.
#[test]
fn the_virtual_clock_waits_for_a_job_without_a_thread() {
    alone(children::this_test!(), async || {
        let hour = Duration::from_secs(3600);
        let (held, gates): (Vec<_>, Vec<_>) = occupy().await?.into_iter().unzip();
        let given_up = start(|| ());
        yield_now().await?;
        given_up.cancel().await?;
        for job in held {
            job.cancel().await?;
        }
        let begun = kernel::now();
        sleep(hour).await?;
        assert_eq!(kernel::now() - begun, hour);
        // One more, and only the clock waits for it.
        let late = spawn(sleep(hour));
        let job = start(kernel_thread);
        let releases = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            gates.iter().for_each(Gate::open);
        });
        assert_eq!(value(job).await?.as_deref(), Some("curium-job"));
        assert!(!late.is_done());
        releases.join().unwrap();
        late.join().await?.unwrap();
        Ok(())
    });
}

fn kernel_thread() -> Option<String> {
    thread::current().name().map(str::to_owned)
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a value that panics");
    }
}

/// K3: a panic on a thread, of a job or of a value that no task took, leaves the thread to the jobs
/// that follow.
#[test]
fn a_panic_of_a_job_or_of_its_value_costs_no_thread() {
    alone(children::this_test!(), async || {
        for _ in 0..THREADS {
            let (gate, (started, starts)) = (Gate::default(), mpsc::channel());
            let theirs = gate.clone();
            let abandoned = start(move || {
                started.send(()).unwrap();
                theirs.pass();
                Bomb
            });
            yield_now().await?;
            starts.recv().unwrap();
            abandoned.cancel().await?;
            gate.open();
            let panicked = start(|| panic!("a job that panics"));
            assert!(panicked.join().await?.is_err());
        }
        // As many as ever run together. With fewer, they would wait here for ever.
        let together = Arc::new(Barrier::new(THREADS));
        let jobs: Vec<_> = (0..THREADS)
            .map(|_| {
                let together = together.clone();
                start(move || together.wait().is_leader())
            })
            .collect();
        for job in jobs {
            value(job).await?;
        }
        Ok(())
    });
}

/// Runs the test `name` in a child that gets no thread, as `when` says, at least so many times.
/// `when` counts for each thread that starts others. The harness is one, and needs none.
fn without_threads(name: &str, when: &str, times: usize) {
    let inject = format!("inject=clone,clone3:error=EAGAIN:when={when}");
    let options = ["-e", "trace=clone,clone3", "-e", &inject];
    if let Some(trace) = children::traced(name, "child", &options) {
        assert!(trace.injected("EAGAIN") >= times, "{}", trace.text());
    }
}

/// R1, K2, K8: if the system gives no thread and none runs, the job waits until there is one. So
/// does a look-up of a name. Meanwhile time passes on the real clock and stands still on the
/// virtual one.
#[test]
fn a_job_waits_until_the_system_gives_a_thread() {
    let name = children::this_test!();
    if children::role().is_none() {
        return without_threads(name, "1..3", 3);
    }
    testing::run(async || {
        let begun = kernel::now();
        let hour = spawn(sleep(Duration::from_secs(3600)));
        assert_eq!(run_in_thread(|| 7).await?, 7);
        assert_eq!((kernel::now() - begun, hour.is_done()), (Duration::ZERO, false));
        hour.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// R1, N4: the same on the real clock, for a look-up of a name.
#[test]
fn a_look_up_waits_until_the_system_gives_a_thread() {
    let name = children::this_test!();
    if children::role().is_none() {
        return without_threads(name, "1..3", 3);
    }
    kernel::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let connect = spawn(TcpStream::connect(("localhost", port)));
        yield_now().await?;
        let short = timeout_after(Duration::from_millis(1), connect.join()).await;
        assert!(short.is_err(), "the look-up waits");
        drop(connect.await?);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// R1, C2: a job that waits for a thread that the system does not give can be cancelled, and the
/// kernel ends without one.
#[test]
fn a_job_without_a_thread_can_be_cancelled() {
    let name = children::this_test!();
    if children::role().is_none() {
        return without_threads(name, "1+", 2);
    }
    kernel::run(async || {
        let drops = Arc::default();
        let dropped = Dropped(Arc::clone(&drops));
        let job = start(move || drop(dropped));
        let limit = Duration::from_millis(120);
        assert!(timeout_after(limit, job.join()).await.is_err(), "there is no thread");
        job.cancel().await?;
        assert_eq!(*drops.lock().unwrap(), [thread::current().id()]);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// R1, K2: where the system gives no further thread, jobs wait for one that runs.
#[test]
fn a_job_without_a_thread_waits_for_one_that_runs() {
    let name = children::this_test!();
    if children::role().is_none() {
        return without_threads(name, "2+", 3);
    }
    testing::run(async || {
        let gate = Gate::default();
        let theirs = gate.clone();
        let (started, starts) = mpsc::channel();
        let first = start(move || {
            started.send(()).unwrap();
            theirs.pass();
            thread::current().id()
        });
        yield_now().await?;
        starts.recv().unwrap();
        let others: Vec<_> = (0..3).map(|_| start(|| thread::current().id())).collect();
        yield_now().await?;
        gate.open();
        let thread = value(first).await?;
        for other in others {
            assert_eq!(value(other).await?, thread);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// R1: what a thread of the pool learns, that the system gives no further one, it tells the kernel
/// of the job that waits. That kernel tries again, while every thread is busy for good.
#[test]
fn a_kernel_tries_again_when_a_thread_was_refused_a_thread() {
    let name = children::this_test!();
    if children::role().is_none() {
        // The kernel gets a thread at its second attempt, which is for the second job. That thread
        // is refused one.
        return without_threads(name, "1", 2);
    }
    kernel::run(async || {
        let (free, frees) = mpsc::channel();
        let busy = start(move || frees.recv().unwrap());
        let frees = start(move || free.send(()).unwrap());
        value(busy).await?;
        value(frees).await
    })
    .unwrap();
}

/// P5, K2: jobs that hang in all threads hold up no look at the cores.
#[test]
fn snapshots_of_the_cores_wait_for_no_job() {
    if children::role().is_none() {
        return drop(children::run(children::this_test!(), "child"));
    }
    let ended = kernel::kernels(2, async |core| {
        if core.index() == 1 {
            return Ok(());
        }
        let held = occupy().await?;
        let seen = core.snapshots().await?;
        assert!(seen.cores.iter().all(Result::is_ok), "{seen}");
        release(held).await
    });
    ended.expect("no core fails");
}
