//! Memory that goes back: of ended tasks while others run, of the rest when the kernel is idle.

use crate::parts::KEEP;
use crate::parts::reactor::Reactor;
use crate::run::tick::RunLoop;

impl RunLoop<'_> {
    /// Gives the memory of ended tasks back. True: there may be more.
    #[inline]
    pub(super) fn trim(&self) -> bool {
        let surplus = self.core.tasks.borrow().has_surplus();
        surplus && self.trim_some()
    }

    #[inline(never)]
    pub(super) fn trim_some(&self) -> bool {
        let chunks = self.core.tasks.borrow_mut().trim();
        if !chunks.is_empty() {
            self.core.idle_since_burst.set(1);
        }
        !chunks.is_empty() && self.core.tasks.borrow().has_surplus()
    }

    /// Gives back the room that a burst of tasks took beside their cells. What is used at the end
    /// of an arena keeps its room, so this is tried a few times, less and less often.
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
