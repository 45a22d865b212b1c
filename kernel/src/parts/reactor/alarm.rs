//! Wakes the poll at a time that need not be a whole millisecond.
//!
//! The timeout of a poll is rounded up to milliseconds. So on Linux, a timerfd that is registered
//! with the poll is used instead. It is made for the first sleep that has a limit, because many
//! kernels never sleep so. The portable version uses the timeout. Both fire late rather than early.

use std::io;
use std::time::Duration;

use mio::Poll;
use mio::event::Event;
#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
use mio::{Interest, Token};

#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
const TIMER: Token = Token(usize::MAX - 1);

/// The shortest time for which an alarm is set. Going to sleep and waking up takes longer than this
/// anyway. Without the limit, timers that are a microsecond apart would each set an alarm, and the
/// system calls would keep a processor busy.
#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
const NEAREST: Duration = Duration::from_micros(50);

/// The timeout of a poll that ends when `limit` is over. Rounded up here and not left to the poll,
/// so that it is never early.
fn in_whole_millis(limit: Duration) -> Duration {
    let up = Duration::from_micros(999);
    let millis = limit.checked_add(up).unwrap_or(limit).as_millis();
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<rustix::fd::OwnedFd>,
    set_for: Option<u64>,
}

#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
impl Alarm {
    /// Sets the alarm. Returns the timeout that the poll needs in addition: none, unless the system
    /// lacks a descriptor for the timer. Then the next sleep asks for one again.
    pub(super) fn set(
        &mut self,
        poll: &Poll,
        limit: Duration,
        deadline: Option<u64>,
    ) -> io::Result<Option<Duration>> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if deadline.is_some() && self.set_for == deadline {
            return Ok(None);
        }
        if self.timer.is_none() {
            self.timer = registered_timer(poll).ok();
        }
        let Some(timer) = &self.timer else { return Ok(Some(in_whole_millis(limit))) };
        let limit = limit.max(NEAREST);
        let value = Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let never_again = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never_again, it_value: value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &spec)?;
        self.set_for = deadline;
        Ok(None)
    }

    /// Whether an event without a registration comes from a source other than the alarm.
    #[cold]
    pub(super) fn is_other(&mut self, event: &Event) -> bool {
        let rang = event.token() == TIMER;
        if rang {
            self.set_for = None;
        }
        !rang
    }
}

#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
#[cold]
fn registered_timer(poll: &Poll) -> io::Result<rustix::fd::OwnedFd> {
    use rustix::fd::AsRawFd;
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let raw = timer.as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&raw), TIMER, Interest::READABLE)?;
    Ok(timer)
}

#[cfg(not(all(target_os = "linux", not(curium_portable_timer))))]
#[derive(Default)]
pub(super) struct Alarm;

#[cfg(not(all(target_os = "linux", not(curium_portable_timer))))]
impl Alarm {
    pub(super) fn set(
        &mut self,
        _poll: &Poll,
        limit: Duration,
        _deadline: Option<u64>,
    ) -> io::Result<Option<Duration>> {
        Ok(Some(in_whole_millis(limit)))
    }

    pub(super) fn is_other(&mut self, _event: &Event) -> bool {
        true
    }
}
