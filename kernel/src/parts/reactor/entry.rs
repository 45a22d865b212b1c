//! What the reactor knows of a registration, and what an event says of it.

use std::num::NonZeroU32;

use mio::event::Event;

use crate::id::TaskId;

/// A registration. There is one for every idle connection, so it is small.
pub(super) struct Entry {
    pub(super) generation: NonZeroU32,
    /// What is true of each direction: the constants below.
    pub(super) state: [u8; 2],
    /// Who is parked there, if the state says so.
    pub(super) who: [TaskId; 2],
}

/// An event came that nobody has taken yet.
pub(super) const READY: u8 = 1;
/// This direction has ended or failed: always worth a try, as no further event will say so. So is
/// one where urgent bytes came: they cut reads short with more behind them.
pub(super) const ENDED: u8 = 1 << 1;
/// A task is parked here by its own waker.
pub(super) const TASK: u8 = 1 << 2;
/// Somebody with another waker is; `who` has the place of that.
pub(super) const FOREIGN: u8 = 1 << 3;

/// What an event says of each direction.
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
