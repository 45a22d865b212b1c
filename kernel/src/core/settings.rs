//! The settings of a kernel, as its builder has chosen them.

use std::rc::Rc;
use std::time::Duration;

use crate::core::extension::Extensions;
use crate::core::observer::Observer;
use crate::core::probe::Probe;
use crate::core::report::Sink;
use crate::core::watcher::Watcher;
use crate::parts::ready::Order;
use crate::recorder::RecordFile;

/// The settings of a kernel.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) virtual_clock: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) shutdown_grace: Option<Duration>,
    /// Of the kernel of a core.
    pub(crate) core: Option<usize>,
    pub(crate) long_poll: Option<Duration>,
    pub(crate) hang: Option<Duration>,
    pub(crate) watch: bool,
    /// A swallowed cancellation is not reported (C14).
    pub(crate) ignore_swallowed: bool,
    /// How long a run of the test kit may take, in real time.
    pub(crate) test_limit: Option<Duration>,
    pub(crate) spin: Duration,
    pub(crate) sink: Option<Sink>,
    /// Of the test kit.
    pub(crate) probe: Option<Rc<dyn Probe>>,
    pub(crate) extensions: Extensions,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    /// Watches the kernel from another thread.
    pub(crate) watcher: Option<Box<dyn Watcher>>,
    /// The size of the flight recorder, if there is one, and the file for its record.
    pub(crate) flight_recorder: Option<usize>,
    pub(crate) flight_record_to: Option<RecordFile>,
    /// Each batch is one task, the first of the ready queue. Of the test kit.
    pub(crate) one_by_one: bool,
}

impl Settings {
    pub(super) fn order(&self) -> Order {
        match self.seed {
            _ if self.one_by_one => Order::OneByOne,
            Some(seed) => Order::seeded(seed),
            None => Order::Fifo,
        }
    }

    /// Whether every task is polled on the path of special tasks.
    pub(crate) fn watches_polls(&self) -> bool {
        self.long_poll.is_some() || self.probe.is_some() || !self.observers.is_empty()
    }

    /// Whether tasks are marked as observed: for observers, or for the recorder.
    pub(crate) fn marks_tasks(&self) -> bool {
        !self.observers.is_empty() || self.flight_recorder.is_some()
    }
}
