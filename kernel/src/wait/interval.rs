//! Ticks at regular times: `interval`.

use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::wait::in_kernel::InKernel;
use crate::wait::sleep::Sleep;

/// Ticks every `period`; the first tick comes at once.
///
/// # Panics
///
/// If `period` is zero: that is [`yield_now`] in a loop.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval needs a period; for none, call `yield_now` in a loop");
    Interval { period, next: None }
}

/// Made by [`interval`].
///
/// If a tick is late, it comes at once, and missed ticks are skipped. The ticks stay at multiples
/// of the period after the first one.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
}

impl Interval {
    /// Waits for the next tick and returns the time at which it was due.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// No tick is lost: the next call waits for the same one.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn tick(&mut self) -> impl Future<Output = Result<Instant, TaskCancelled>> + '_ {
        let site = Location::caller();
        InKernel::new("the tick of an interval", site, async move {
            let core = current::with("the tick of an interval", Rc::clone);
            let due = *self.next.get_or_insert_with(|| core.now());
            Sleep::until("INTERVAL", site, due).await?;
            let now = core.now();
            let mut next = due.checked_add(self.period);
            while let Some(past) = next.filter(|next| *next < now) {
                let missed = (now - past).as_nanos() / self.period.as_nanos() + 1;
                let skip = u32::try_from(missed).unwrap_or(u32::MAX);
                next = self.period.checked_mul(skip).and_then(|skip| past.checked_add(skip));
            }
            // If the next tick is too far away for an `Instant`, it is set to a time more than a
            // hundred years away.
            self.next = next.or(Some(due + Duration::from_secs(u32::MAX.into())));
            Ok(due)
        })
    }
}
