//! The timer: hyper's limits count by the clock of the kernel.

use std::pin::Pin;
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
