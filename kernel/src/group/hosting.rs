//! A group whose owner polls its members (`children/`).

use crate::core::host_queue::HostQueue;
use crate::core::state::{Core, TaskRef};
use crate::group::policy::WaitPolicy;
use crate::group::state::GroupState;

impl GroupState {
    /// From now on the owner of the group polls the members.
    pub(crate) fn host_members(&self) -> &HostQueue {
        let queue = self.hosted.get_or_init(Box::default);
        queue.open();
        queue
    }

    /// The ready members, if the owner of the group polls them.
    #[inline]
    pub(crate) fn host_queue(&self) -> Option<&HostQueue> {
        self.hosted.get().map(|queue| &**queue).filter(|queue| queue.is_open())
    }

    /// Whether a hosted member that ends well now wakes nothing that waits for the group.
    #[inline]
    pub(crate) fn member_ends_quietly(&self) -> bool {
        let others = self.counted.get() > 1;
        others && self.wait.get() == WaitPolicy::All && !self.failing.get()
    }

    /// Counts the end of such a member: what [`Owner::ended`] does for it.
    ///
    /// [`Owner::ended`]: crate::core::owner::Owner::ended
    #[inline]
    pub(crate) fn ended_quietly(&self, core: &Core, member: &TaskRef) {
        self.leave(core, member);
        self.any_ended.set(true);
        self.succeeded.set(true);
    }

    /// The kernel polls the members of the group that uses this memory next.
    pub(super) fn close_host(&self) {
        if let Some(host) = self.host_queue() {
            host.close();
        }
    }
}
