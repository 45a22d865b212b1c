//! The timer: hyper's limits count by the clock of the kernel.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use curium::kernel::{self, Timer};
use hyper::rt::Sleep;

/// hyper's timer on the clock of the kernel, which is virtual in a test.
///
/// hyper's default limits, such as that of the time in which a request must have come
/// (`header_read_timeout`, 30 s), hold only where a timer is set. [`serve`](crate::serve()) sets
/// this one.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelTimer;

impl hyper::rt::Timer for KernelTimer {
    #[track_caller]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(KernelSleep(Timer::after(duration)))
    }

    #[track_caller]
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(KernelSleep(Timer::at(deadline)))
    }

    fn now(&self) -> Instant {
        if kernel::is_running() { kernel::now() } else { Instant::now() }
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<KernelSleep>() {
            Some(mut sleep) => sleep.0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// What hyper's timers give: a [`Timer`] of the kernel.
#[derive(Debug)]
struct KernelSleep(Timer);

impl Future for KernelSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for KernelSleep {}

/// The timer of one connection of HTTP/1. hyper makes a sleep for the head of each request, and
/// drops it when that has come. All of them use one [`Timer`], which the drop of a sleep leaves
/// armed, because to move its deadline on is free, and to arm and disarm one for each request is
/// not. If its time comes while no sleep lives, because a request takes that long, it wakes the
/// task once, in vain.
#[derive(Debug)]
pub(crate) struct ConnectionTimer(Arc<Mutex<Timer>>);

impl ConnectionTimer {
    pub(crate) fn new() -> Self {
        ConnectionTimer(Arc::new(Mutex::new(Timer::after(Duration::MAX))))
    }
}

impl hyper::rt::Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        KernelTimer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        if Arc::strong_count(&self.0) > 1 {
            // Another sleep lives, whose deadline the timer has.
            return KernelTimer.sleep_until(deadline);
        }
        reset(&self.0, deadline);
        Box::pin(SharedSleep(self.0.clone()))
    }

    fn now(&self) -> Instant {
        KernelTimer.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<SharedSleep>() {
            Some(sleep) => reset(&sleep.0, deadline),
            None => KernelTimer.reset(sleep, deadline),
        }
    }
}

fn reset(timer: &Mutex<Timer>, deadline: Instant) {
    timer.lock().unwrap_or_else(PoisonError::into_inner).reset(deadline);
}

/// A sleep of [`ConnectionTimer`].
#[derive(Debug)]
struct SharedSleep(Arc<Mutex<Timer>>);

impl Future for SharedSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *timer).poll(cx)
    }
}

impl Sleep for SharedSleep {}
