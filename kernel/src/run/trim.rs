//! Releases memory: that of ended tasks between polls, and other memory when the kernel is idle.

use crate::core::state::Stage;
use crate::parts::KEEP;
use crate::parts::reactor::Reactor;
use crate::run::tick::RunLoop;

/// A kernel with ready tasks frees some chunks at one look of this many.
const LOOKS: u32 = 256;

impl RunLoop<'_> {
    /// Frees some of the chunks of ended tasks. Returns whether there may be more.
    ///
    /// A kernel with ready tasks keeps most of them, because its next tasks may need them. One that
    /// shuts down does not: what a task needs when it is cancelled then gets the memory of those
    /// that have ended, which is still in the caches.
    #[inline]
    pub(super) fn trim(&self, busy: bool) -> bool {
        let surplus = self.core.tasks.borrow().has_surplus();
        surplus && self.trim_some(busy)
    }

    #[inline(never)]
    fn trim_some(&self, busy: bool) -> bool {
        if busy && self.core.stage.get() == Stage::Open {
            let looks = self.core.busy_looks.get().wrapping_add(1);
            self.core.busy_looks.set(looks);
            if looks % LOOKS != 0 {
                return false;
            }
        }
        let chunks = self.core.tasks.borrow_mut().trim();
        if !chunks.is_empty() {
            self.core.idle_since_burst.set(1);
        }
        !chunks.is_empty() && self.core.tasks.borrow().has_surplus()
    }

    /// Releases the memory that a burst of tasks used outside the chunks. An arena can shrink only
    /// down to its last used entry, so this is tried several times, at growing intervals.
    #[cold]
    pub(super) fn shrink(&mut self) {
        let since = self.core.idle_since_burst.get();
        self.core.idle_since_burst.set(if since < 1 << 16 { since + 1 } else { 0 });
        if !since.is_power_of_two() {
            return;
        }
        self.core.ready.borrow_mut().shrink(&mut self.batch);
        self.core.scopes.borrow_mut().shrink();
        self.core.owners.borrow_mut().shrink();
        self.core.timers.borrow_mut().shrink();
        self.core.with_reactor(Reactor::shrink);
        let mut names = self.core.names.borrow_mut();
        let few = names.len().max(KEEP);
        names.shrink_to(few);
    }
}
