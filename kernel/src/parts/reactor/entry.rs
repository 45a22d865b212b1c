//! What the reactor stores for a registration, and what an event means for each direction.

use std::num::NonZeroU32;

use mio::event::Event;

use crate::id::TaskId;

/// A registration. It is small, because every idle connection has one.
pub(super) struct Entry {
    pub(super) generation: NonZeroU32,
    /// The state of each direction, made of the constants below.
    pub(super) state: [u8; 2],
    /// The waiter of each direction, valid if `TASK` or `FOREIGN` is set.
    pub(super) who: [TaskId; 2],
}

/// An event has come, and no leaf has consumed it yet.
pub(super) const READY: u8 = 1;
/// This direction has ended or failed. From then on a leaf always attempts its operation, because
/// no further event reports the end. Also set when urgent bytes came, because they end a read early
/// although more bytes follow.
pub(super) const ENDED: u8 = 1 << 1;
/// A task is parked here; `who` is its id.
pub(super) const TASK: u8 = 1 << 2;
/// A foreign waker is parked here; `who` contains the index of the waker.
pub(super) const FOREIGN: u8 = 1 << 3;

/// The flags that an event sets for each direction.
#[inline]
pub(super) fn news_of(event: &Event) -> [u8; 2] {
    let plain = !event.is_error()
        && !event.is_priority()
        && !event.is_read_closed()
        && !event.is_write_closed();
    if plain {
        return [
            if event.is_readable() { READY } else { 0 },
            if event.is_writable() { READY } else { 0 },
        ];
    }
    let failed = event.is_error();
    let (read_closed, write_closed) = (event.is_read_closed(), event.is_write_closed());
    let mut news = [0; 2];
    if failed || read_closed || event.is_readable() {
        let ended = failed || read_closed || event.is_priority();
        news[0] = if ended { READY | ENDED } else { READY };
    }
    if failed || write_closed || event.is_writable() {
        news[1] = if failed || write_closed { READY | ENDED } else { READY };
    }
    news
}
