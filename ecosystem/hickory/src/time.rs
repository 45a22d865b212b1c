//! Time by the clock of the kernel.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use curium::kernel::Timer;
use hickory_resolver::net::runtime::Time;

/// hickory's timers, which count by the clock of the kernel.
#[derive(Debug, Clone, Copy)]
pub struct KernelTime;

#[async_trait]
impl Time for KernelTime {
    async fn delay_for(duration: Duration) {
        Timer::after(duration).await;
    }

    async fn timeout<F: 'static + Future + Send>(
        duration: Duration,
        future: F,
    ) -> io::Result<F::Output> {
        let (mut future, mut timer) = (pin!(future), pin!(Timer::after(duration)));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        })
        .await
    }
}
