//! PUBLISH and SUBSCRIBE.
//!
//! The rule for slow subscribers: what is published waits in the outbox of each subscriber until
//! its connection takes it. A subscriber whose outbox would have more than 8 MiB is disconnected.
//! So a publisher never waits, and no subscriber misses a message between two others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use curium::kernel::{CancelScope, Result};
use curium::sync::Event;

use crate::resp::Answer;

/// How many bytes may wait for a subscriber.
const MOST: usize = 8 << 20;

type Subscribers = Vec<Rc<Outbox>>;

#[derive(Default)]
pub(crate) struct Channels(RefCell<HashMap<Box<[u8]>, Subscribers>>);

impl Channels {
    /// Gives the number of channels of the subscriber. A second time to the same one changes
    /// nothing.
    pub(crate) fn subscribe(&self, channel: &[u8], outbox: &Rc<Outbox>) -> usize {
        let mut channels = self.0.borrow_mut();
        let subscribers = channels.entry(channel.into()).or_default();
        if !subscribers.iter().any(|other| Rc::ptr_eq(other, outbox)) {
            subscribers.push(outbox.clone());
            outbox.channels.set(outbox.channels.get() + 1);
        }
        outbox.channels.get()
    }

    pub(crate) fn unsubscribe_all(&self, outbox: &Rc<Outbox>) {
        self.0.borrow_mut().retain(|_, subscribers| {
            subscribers.retain(|other| !Rc::ptr_eq(other, outbox));
            !subscribers.is_empty()
        });
    }

    /// Gives the number of subscribers that will get the message.
    pub(crate) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut framed = Vec::new();
        Answer::Array(&[b"message", channel, message].map(Answer::Bulk)).append(&mut framed);
        let channels = self.0.borrow();
        let subscribers = channels.get(channel).map_or(&[][..], Vec::as_slice);
        subscribers.iter().for_each(|outbox| outbox.add(&framed));
        subscribers.iter().filter(|outbox| !outbox.connection.is_cancelled()).count()
    }
}

/// What waits to be sent to a subscriber: messages, and the answers to its own commands.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: RefCell<Vec<u8>>,
    filled: Event,
    channels: Cell<usize>,
    /// The connection. It is cancelled when there is too much.
    pub(crate) connection: CancelScope,
}

impl Outbox {
    pub(crate) fn add(&self, more: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() + more.len() > MOST {
            self.connection.cancel();
        } else {
            bytes.extend_from_slice(more);
            self.filled.set();
        }
    }

    /// Waits until there is something, and takes it.
    pub(crate) async fn take(&self) -> Result<Vec<u8>> {
        self.filled.wait().await?;
        self.filled.clear();
        Ok(self.bytes.take())
    }
}
