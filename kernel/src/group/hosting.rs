//! A group whose owner polls its members (`children/`).

use crate::core::hosted::HostQueue;
use crate::group::state::GroupState;

impl GroupState {
    /// From now on the owner of the group polls the members.
    pub(crate) fn host_members(&self) {
        self.hosted.get_or_init(Box::default).open();
    }

    /// The ready members, if the owner of the group polls them.
    #[inline]
    pub(crate) fn host_queue(&self) -> Option<&HostQueue> {
        self.hosted.get().map(|queue| &**queue).filter(|queue| queue.is_open())
    }

    /// The kernel polls the members of the group that uses this memory next.
    pub(super) fn close_host(&self) {
        if let Some(host) = self.host_queue() {
            host.close();
        }
    }
}
