//! The system calls of a kernel: none while tasks can run, one write per sleep for wakes from other
//! threads, and no write that could raise a signal. `strace` counts them.

#![cfg(target_os = "linux")]

use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use kernel::{
    Kernel, TaskCancelled, TaskGroup, now, sleep, sleep_until, spawn, testing, yield_now,
};
use net::{SimulatedNetExt, TcpListener, TcpStream};

use crate::support::children;

const WAITS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];
const THREADS: usize = 8;

/// Eight threads each wake eight tasks in turn, so many times. A task ends when it has seen that
/// every thread has finished.
fn wake_in_crowds(wakes: usize) {
    let through: Arc<Vec<AtomicUsize>> =
        Arc::new((0..THREADS).map(|_| AtomicUsize::new(0)).collect());
    let polls = Arc::new(AtomicUsize::new(0));
    kernel::run(async || {
        let (sender, wakers) = std::sync::mpsc::channel::<Waker>();
        TaskGroup::<TaskCancelled>::scope(async |group| {
            for me in 0..THREADS {
                let (through, polls) = (through.clone(), polls.clone());
                let mut sender = Some(sender.clone());
                group.spawn(poll_fn(move |cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    if let Some(sender) = sender.take() {
                        sender.send(cx.waker().clone()).unwrap();
                    }
                    // Only the wake announces the last step. A task that misses it waits for ever.
                    if through[me].load(Ordering::SeqCst) == THREADS {
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending
                }));
            }
            yield_now().await?;
            let wakers: Vec<Waker> = wakers.try_iter().collect();
            assert_eq!(wakers.len(), THREADS);
            for _ in 0..THREADS {
                let (wakers, through) = (wakers.clone(), through.clone());
                thread::spawn(move || {
                    for n in 0..wakes - THREADS {
                        wakers[n % THREADS].wake_by_ref();
                    }
                    for (waker, through) in wakers.into_iter().zip(&*through) {
                        through.fetch_add(1, Ordering::SeqCst);
                        waker.wake();
                    }
                });
            }
            Ok(())
        })
        .await
    })
    .unwrap();
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= THREADS * (wakes + 1), "{polls} polls are more than there were wakes");
}

/// Threads each wake a task, step by step: the next wake comes only when the last was seen, so that
/// the kernel sleeps, or is about to, when many of them come.
fn wake_in_step(threads: usize, steps: usize) {
    kernel::run(async || {
        TaskGroup::<TaskCancelled>::scope(async |group| {
            for _ in 0..threads {
                let (step_sent, seen) =
                    (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let mut thread = Some((step_sent.clone(), seen.clone()));
                group.spawn(poll_fn(move |cx| {
                    if let Some((step_sent, seen)) = thread.take() {
                        say("<begin>");
                        let waker = cx.waker().clone();
                        thread::spawn(move || {
                            for step in 1..=steps {
                                step_sent.store(step, Ordering::SeqCst);
                                waker.wake_by_ref();
                                while seen.load(Ordering::SeqCst) != step {
                                    thread::yield_now();
                                }
                            }
                        });
                    }
                    let step = step_sent.load(Ordering::SeqCst);
                    seen.store(step, Ordering::SeqCst);
                    if step == steps {
                        // Before the end of the kernel, which waits for the thread that wakes it.
                        say("<end>");
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending
                }));
            }
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// K7: of eight threads with a million wakes each, none is lost.
#[test]
fn of_many_wakes_by_many_threads_none_is_lost() {
    if !children::ran_alone(children::this_test!()) {
        wake_in_crowds(1_000_000);
    }
}

/// K7: one eventfd write per sleep of the kernel, however many threads wake it.
#[test]
fn the_kernel_is_rung_at_most_once_per_sleep() {
    let name = children::this_test!();
    if children::role().is_some() {
        wake_in_crowds(100_000);
        return wake_in_step(THREADS, 2_000);
    }
    let options = ["-e", "trace=write,?epoll_wait,?epoll_pwait,?epoll_pwait2"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    // Nothing is registered, so every wait is a sleep.
    let sleeps = trace.calls(&WAITS).count();
    let rings = trace.calls(&["write"]).filter(|call| call.contains("eventfd")).count();
    println!("{rings} rings, {sleeps} sleeps");
    assert!(rings > 0, "no thread woke the kernel, so nothing was counted");
    assert!(rings <= sleeps, "{rings} writes for {sleeps} sleeps");
}

/// K7: a kernel that another thread wakes does not wait for that thread, which still writes the
/// eventfd.
#[test]
fn a_kernel_that_is_woken_waits_for_no_lock() {
    let name = children::this_test!();
    if children::role().is_some() {
        return wake_in_step(1, 1_000);
    }
    let options = ["-e", "trace=write,futex,?epoll_wait,?epoll_pwait,?epoll_pwait2"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let rings = trace.calls(&["write"]).filter(|call| call.contains("eventfd")).count();
    assert!(rings > 100, "the kernel sleeps in {rings} steps only");
    let of_the_kernel = trace.between("<begin>", "<end>");
    let waits = of_the_kernel.iter().filter(|call| call.starts_with("futex")).count();
    assert_eq!(waits, 0, "of {rings} wakes");
}

/// Writes a word that the trace shows.
fn say(word: &str) {
    let mut nowhere = std::fs::OpenOptions::new().append(true).open("/dev/null").unwrap();
    nowhere.write_all(word.as_bytes()).unwrap();
}

/// K2: a million turns of a task make no system call while nothing is registered, or only a source
/// in memory, and no timer is due, neither alone nor beside sleepers and wakes among tasks.
#[test]
fn a_kernel_with_work_alone_makes_no_system_call() {
    let name = children::this_test!();
    if let Some(role) = children::role() {
        testing::run_with(Kernel::builder().simulated_net(), async move || {
            let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let accepts = spawn(async move {
                let accepted = async { listener.accept().await.map(drop) };
                if role == "simulated" { accepted.await } else { Ok(()) }
            });
            let hour = spawn(sleep(Duration::from_secs(3600)));
            let other = spawn(async {
                loop {
                    yield_now().await?;
                }
                #[allow(unreachable_code)]
                Ok::<(), TaskCancelled>(())
            });
            yield_now().await?;
            say("<begin>");
            for _ in 0..1_000_000 {
                yield_now().await?;
            }
            say("<end>");
            accepts.cancel().await?;
            other.cancel().await?;
            hour.cancel().await
        })
        .unwrap();
        return;
    }
    for role in ["alone", "simulated"] {
        // Reading the clock is a system call on some machines.
        let options = ["-e", "trace=!clock_gettime"];
        let Some(trace) = children::traced(name, role, &options) else { return };
        let mut calls = trace.between("<begin>", "<end>");
        // The end of the one word and the beginning of the other.
        calls.retain(|call| !call.contains("/dev/null"));
        assert!(calls.is_empty(), "{calls:#?}");
    }
}

/// K5: a kernel that is made, runs a task that does not wait, and ends makes seven system calls:
/// four for the poll, its waker and the handle by which sources leave it, three to close them. None
/// is for a timer.
#[test]
fn a_kernel_that_never_waits_makes_seven_system_calls() {
    let name = children::this_test!();
    if children::role().is_some() {
        let run = || kernel::run(async || spawn(yield_now()).await).unwrap();
        // Memory that the process needs once.
        run();
        say("<begin>");
        (0..10).for_each(|_| run());
        return say("<end>");
    }
    let options = ["-e", "trace=!clock_gettime"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let mut calls = trace.between("<begin>", "<end>");
    calls.retain(|call| !call.contains("/dev/null"));
    // A check of the standard library, without optimization: is what it closes open?
    calls.retain(|call| !call.contains("F_GETFD"));
    assert!(calls.iter().any(|call| call.starts_with("epoll_create")), "{calls:#?}");
    assert_eq!(calls.len(), 70, "{calls:#?}");
}

/// A trace of all threads of a test. The thread that waits for its end does not belong to the
/// kernel.
#[test]
fn between_two_words_a_trace_shows_the_calls_of_their_thread_alone() {
    let trace = children::Trace::of(
        "7 write(3</dev/null>, \"<begin>\", 7 <unfinished ...>\n\
         6 rt_sigprocmask(SIG_SETMASK, [],  <unfinished ...>\n\
         7 <... write resumed>)              = 7\n\
         6 <... rt_sigprocmask resumed>NULL, 8) = 0\n\
         7 close(3</dev/null> <unfinished ...>\n\
         6 futex(0x55a1ecee9988, FUTEX_WAIT_BITSET_PRIVATE <unfinished ...>\n\
         7 <... close resumed>)              = 0\n\
         7 epoll_wait(4, [], 8, 0)           = 0\n\
         7 write(3</dev/null>, \"<end>\", 5)   = 5\n\
         7 exit(0)                           = ?\n",
    );
    let calls = trace.between("<begin>", "<end>");
    let close = "close(3</dev/null> )              = 0";
    assert_eq!(calls, [close, "epoll_wait(4, [], 8, 0)           = 0"]);
}

/// The time until the alarm that a line of the trace sets, in nanoseconds.
fn alarm(call: &str) -> u64 {
    let value = call.split("it_value={").nth(1).expect("a timer is set to a value");
    let mut numbers = value.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let mut next = || numbers.next().expect("two numbers").parse::<u64>().unwrap();
    next() * 1_000_000_000 + next()
}

/// K2: timers close together share an alarm: none is set for less than 50 µs ahead, so timers a
/// microsecond apart do not each cost a system call.
#[test]
fn timers_close_together_share_an_alarm() {
    let name = children::this_test!();
    if children::role().is_some() {
        return kernel::run(async || {
            TaskGroup::<TaskCancelled>::scope(async |group| {
                // Late enough that all of them sleep before the first is due.
                let first = now() + Duration::from_secs(1);
                for n in 0..2_000 {
                    group.spawn(sleep_until(first + Duration::from_micros(n)));
                }
                Ok(())
            })
            .await
        })
        .unwrap();
    }
    let options = ["-e", "trace=timerfd_settime"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let alarms: Vec<u64> = trace.calls(&["timerfd_settime"]).map(alarm).collect();
    println!("{alarms:?}");
    assert!(!alarms.is_empty(), "no task slept, so nothing was seen:\n{}", trace.text());
    assert!(alarms.iter().all(|ahead| *ahead >= 50_000), "{alarms:?}");
}

/// Waits for a timer, for another thread, and for a peer, under a kernel that spins for this time.
fn wait_for_everything(spin: Duration) -> io::Result<()> {
    Kernel::builder().spin_before_sleep(spin).run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let moment = Duration::from_millis(20);
        say("<begin>");
        let begun = Instant::now();
        sleep(moment).await?;
        assert!(begun.elapsed() >= moment, "a timer is never early");
        kernel::run_in_thread(move || thread::sleep(moment)).await?;
        let peer = thread::spawn(move || {
            thread::sleep(moment);
            std::net::TcpStream::connect(address)
        });
        listener.accept().await?;
        say("<end>");
        peer.join().unwrap().map(drop)
    })
}

/// A kernel with `spin_before_sleep` looks for events of any kind for that time, and only then
/// sleeps. A timer that is due earlier ends it.
#[test]
fn who_spins_before_it_sleeps_sleeps_when_that_was_in_vain() {
    let name = children::this_test!();
    if let Some(role) = children::role() {
        return wait_for_everything(Duration::from_millis(role.parse().unwrap())).unwrap();
    }
    // The timeout in milliseconds, and the counts of looks without waiting and of waits.
    for (spin, looks, sleeps) in [("3600000", true, false), ("5", true, true), ("0", false, true)] {
        let calls = ["write", "timerfd_settime", "?epoll_wait", "?epoll_pwait", "?epoll_pwait2"];
        let options = ["-e", &format!("trace={}", calls.join(","))];
        let Some(trace) = children::traced(name, spin, &options) else { return };
        let calls = trace.between("<begin>", "<end>");
        let waits = calls.iter().filter(|call| call.starts_with("epoll_"));
        let at_once = |call: &&String| call.contains(", 0) ") || call.contains(", 0, NULL");
        let (at_once, long): (Vec<_>, Vec<_>) = waits.partition(at_once);
        assert_eq!((at_once.len() > 9, !long.is_empty()), (looks, sleeps), "{}", trace.text());
        // The time of the spinning is not slept as well.
        let spent = if sleeps { spin.parse::<u64>().unwrap() } else { 0 };
        let alarms = calls.iter().filter(|call| call.starts_with("timerfd_settime"));
        assert!(alarms.map(|call| alarm(call)).all(|left| left <= (20 - spent) * 1_000_000));
    }
}

/// A write that raises the signal, which a Rust program ignores: to a pipe of a program that has
/// ended.
fn write_with_a_signal() {
    let mut program = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = program.stdin.take().unwrap();
    program.wait().unwrap();
    let failed = pipe.write_all(b"anybody there?").unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
}

/// Writes that fail: in a direction that was shut down, and to a peer that is gone.
async fn write_to_nobody() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (mut ended, gone) =
        (TcpStream::connect(address).await?, TcpStream::connect(address).await?);
    ended.shutdown(Shutdown::Write)?;
    let failed = ended.write(b"x").await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
    let failed = ended.split().1.write_all(b"x").await.unwrap_err();
    assert_eq!(failed.source.kind(), ErrorKind::BrokenPipe);
    drop(listener.accept().await?);
    drop(listener.accept().await?);
    // The first write may still reach a peer that answers with a reset. No later one does.
    while gone.write_all(b"anybody there?").await.is_ok() {
        testing::settle().await?;
    }
    let failed = gone.write_all(b"x").await.unwrap_err();
    assert_eq!(failed.source.kind(), ErrorKind::BrokenPipe);
    Ok(())
}

/// N7: no write to a socket raises `SIGPIPE`, whatever the program does with that signal.
#[test]
fn no_write_to_a_socket_raises_a_signal() {
    let name = children::this_test!();
    if children::role().is_some() {
        write_with_a_signal();
        say("<begin>");
        testing::run(write_to_nobody).unwrap();
        say("<end>");
        return;
    }
    let calls = ["write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice"];
    let options = ["-e", &format!("trace={}", calls.join(",")), "-e", "signal=SIGPIPE"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let raised = |line: &&str| line.contains("--- SIGPIPE");
    assert_eq!(
        trace.lines().filter(raised).count(),
        1,
        "a trace shows signals that are ignored:\n{}",
        trace.text()
    );
    let ours = trace.between("<begin>", "<end>");
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    assert_eq!(ours.iter().copied().filter(raised).count(), 0, "{ours:#?}");
    let failed = ours.iter().filter(|call| call.contains("EPIPE")).count();
    assert!(failed >= 3, "writes that fail: {ours:#?}");
    let quiet = |call: &&&str| call.contains("MSG_NOSIGNAL");
    let to_sockets = ours.iter().filter(|call| call.contains("<socket:") || call.contains("<TCP"));
    assert!(to_sockets.clone().all(|call| quiet(&call)), "{ours:#?}");
    assert!(to_sockets.count() >= failed);
}
