//! Extensions: what the kernel cannot know, and other crates add to it.
//!
//! An extension has events of its own on the kernel's clock, and reports the readiness of sources
//! in memory, for which the poll has no events. The simulated network is one.

use std::any::Any;
use std::rc::Rc;
use std::time::Instant;

use mio::Token;

use crate::core::current;
use crate::core::state::Core;
use crate::parts::reactor::Readiness;

/// An addition to a kernel, made by [`Builder::with`](crate::Builder::with), and found in it by
/// [`extension`].
///
/// The kernel calls it between the polls of tasks. As long as it has a next event, tasks that are
/// parked are in no deadlock. With a virtual clock, time jumps to that event if no timer is due
/// before.
pub trait Extension: Any {
    /// The kernel was made: its seed, if it has one, and the start of its clock.
    fn begin(&self, _seed: Option<u64>, _now: Instant) {}

    /// When the next event is due.
    fn next_event(&self) -> Option<Instant>;

    /// Handles the events that are due by now. It is called when the time of the next event has
    /// come. No task is being polled.
    fn handle_events(&self, now: Instant);
}

/// The extension of that type of the kernel that runs on this thread.
///
/// It is `None` outside a kernel, and if the kernel was made without it.
pub fn extension<E: Extension>() -> Option<Rc<E>> {
    current::try_with(|core| core.settings.extensions.find()).flatten()
}

/// Reports that a source that is [in memory](crate::io::Registration::in_memory) has become ready.
/// `token` is the one with which the source was registered. A token of a source that is gone, or of
/// another kernel, has no effect.
///
/// It is called from [`Extension::handle_events`], as an event of the poll is handled between polls
/// of tasks.
pub fn report_readiness(token: Token, readiness: Readiness) {
    if let Some(core) = current::try_with(Rc::clone) {
        let woken = core.with_reactor(|reactor| reactor.report(token, readiness));
        woken.into_iter().flatten().flatten().for_each(|waiter| core.wake_waiter(waiter));
    }
}

/// The extensions of a kernel. Each is kept twice: by what it does, and by its type.
#[derive(Default)]
pub(crate) struct Extensions(Vec<(Rc<dyn Extension>, Rc<dyn Any>)>);

impl Extensions {
    pub(crate) fn add(&mut self, extension: impl Extension) {
        let extension = Rc::new(extension);
        self.0.push((extension.clone(), extension));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn begin(&self, seed: Option<u64>, now: Instant) {
        self.0.iter().for_each(|(extension, _)| extension.begin(seed, now));
    }

    fn find<E: Extension>(&self) -> Option<Rc<E>> {
        self.0.iter().find_map(|(_, any)| any.clone().downcast().ok())
    }
}

impl Core {
    /// When an extension has its next event.
    #[inline]
    pub(crate) fn next_of_extensions(&self) -> Option<u64> {
        if self.settings.extensions.is_empty() { None } else { self.next_of_some_extension() }
    }

    #[cold]
    fn next_of_some_extension(&self) -> Option<u64> {
        let next = self.settings.extensions.0.iter().filter_map(|(it, _)| it.next_event());
        next.min().map(|next| self.clock.at(next))
    }

    /// Lets the extensions handle what is due at `now`.
    #[cold]
    pub(crate) fn serve_extensions(&self, now: u64) {
        let Some(instant) = self.clock.instant(now) else { return };
        for (extension, _) in &self.settings.extensions.0 {
            if extension.next_event().is_some_and(|next| self.clock.at(next) <= now) {
                extension.handle_events(instant);
            }
        }
    }
}
