//! Writes a record as a trace of Perfetto: `TracePacket`s with track descriptors and track events,
//! in the binary form of protocol buffers.
//!
//! The numbers are those of the fields in Perfetto's `protos/perfetto/trace`. `.ci/perfetto`
//! decodes a record with the schema that Perfetto publishes.

use std::io;

use crate::recorder::timeline::{Entry, KERNEL, Mark, READY, Timeline, Track};

/// A message in its binary form.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    #[inline]
    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    #[inline]
    fn fixed(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    #[inline]
    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    #[inline]
    fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    #[inline]
    fn message(&mut self, field: u64, value: &Message) -> &mut Self {
        self.bytes(field, &value.0)
    }
}

mod packet {
    pub(super) const TIMESTAMP: u64 = 8;
    pub(super) const SEQUENCE: u64 = 10;
    pub(super) const TRACK_EVENT: u64 = 11;
    pub(super) const SEQUENCE_FLAGS: u64 = 13;
    pub(super) const TRACK_DESCRIPTOR: u64 = 60;
}

mod descriptor {
    pub(super) const UUID: u64 = 1;
    pub(super) const NAME: u64 = 2;
    pub(super) const PARENT: u64 = 5;
    pub(super) const COUNTER: u64 = 8;
    pub(super) const CHILD_ORDERING: u64 = 11;
    pub(super) const RANK: u64 = 12;
    /// The value of `CHILD_ORDERING` by which `RANK` orders the tracks.
    pub(super) const EXPLICIT: u64 = 3;
}

mod event {
    pub(super) const TYPE: u64 = 9;
    pub(super) const TRACK: u64 = 11;
    pub(super) const NAME: u64 = 23;
    pub(super) const COUNTER_VALUE: u64 = 30;
    pub(super) const SITE: u64 = 33;
    pub(super) const FLOW: u64 = 47;
    pub(super) const LAST_OF_FLOW: u64 = 48;
    /// Values of `TYPE`.
    pub(super) const BEGIN: u64 = 1;
    pub(super) const END: u64 = 2;
    pub(super) const INSTANT: u64 = 3;
    pub(super) const COUNTER: u64 = 4;
    /// Fields of `SITE`.
    pub(super) const FILE: u64 = 2;
    pub(super) const LINE: u64 = 4;
}

/// Writes the whole trace. Each kernel is a sequence of packets.
pub(super) fn write(timelines: &[Timeline], mut to: impl io::Write) -> io::Result<()> {
    for (timeline, sequence) in timelines.iter().zip(1..) {
        write_sequence(timeline, sequence, &mut to)?;
    }
    to.flush()
}

fn write_sequence(timeline: &Timeline, sequence: u64, to: &mut impl io::Write) -> io::Result<()> {
    let number = KERNEL + timeline.shift;
    let mut kernel = Message::default();
    kernel.number(descriptor::UUID, number).text(descriptor::NAME, &timeline.kernel);
    kernel.number(descriptor::CHILD_ORDERING, descriptor::EXPLICIT);
    let mut ready = Message::default();
    ready.number(descriptor::UUID, READY + timeline.shift).text(descriptor::NAME, "ready tasks");
    ready.number(descriptor::PARENT, number).message(descriptor::COUNTER, &Message::default());
    let tracks = timeline.tracks.iter().map(describe);
    for (at, track) in [kernel, ready].into_iter().chain(tracks).enumerate() {
        let mut packet = Message::default();
        packet.message(packet::TRACK_DESCRIPTOR, &track);
        if at == 0 {
            // The state of the sequence is cleared: nothing came before.
            packet.number(packet::SEQUENCE_FLAGS, 1);
        }
        send(to, packet, sequence)?;
    }
    for entry in &timeline.entries {
        let mut packet = Message::default();
        packet.number(packet::TIMESTAMP, entry.time);
        packet.message(packet::TRACK_EVENT, &event_of(entry));
        send(to, packet, sequence)?;
    }
    Ok(())
}

/// Writes a packet as one field of the trace.
fn send(to: &mut impl io::Write, mut packet: Message, sequence: u64) -> io::Result<()> {
    packet.number(packet::SEQUENCE, sequence);
    let mut framed = Message::default();
    framed.message(1, &packet);
    to.write_all(&framed.0)
}

#[inline]
fn describe(track: &Track) -> Message {
    let mut message = Message::default();
    message.number(descriptor::UUID, track.number).text(descriptor::NAME, &track.name);
    message.number(descriptor::PARENT, track.parent);
    message.number(descriptor::CHILD_ORDERING, descriptor::EXPLICIT);
    message.number(descriptor::RANK, track.number);
    message
}

#[inline]
fn event_of(entry: &Entry) -> Message {
    let mut message = Message::default();
    message.number(event::TRACK, entry.track);
    match &entry.mark {
        Mark::Begin { name, site, woken } => {
            message.number(event::TYPE, event::BEGIN).text(event::NAME, name);
            if let Some(site) = site {
                let mut place = Message::default();
                place.text(event::FILE, site.file()).number(event::LINE, site.line().into());
                message.message(event::SITE, &place);
            }
            if let Some(arrow) = woken {
                message.fixed(event::LAST_OF_FLOW, *arrow);
            }
        }
        Mark::End => {
            message.number(event::TYPE, event::END);
        }
        Mark::Instant { name, wakes } => {
            message.number(event::TYPE, event::INSTANT).text(event::NAME, name);
            if let Some(arrow) = wakes {
                message.fixed(event::FLOW, *arrow);
            }
        }
        Mark::Counter(value) => {
            message.number(event::TYPE, event::COUNTER);
            message.number(event::COUNTER_VALUE, *value);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M6: numbers of every length, and a field of each kind.
    #[test]
    fn fields_are_written_as_protocol_buffers() {
        let mut message = Message::default();
        message.number(1, 0x7f).number(2, 0x80).number(16, u64::MAX).fixed(3, 1).text(4, "é");
        let expected = [
            &[0x08, 0x7f, 0x10, 0x80, 0x01, 0x80, 0x01][..],
            &[0xff; 9],
            &[0x01, 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x22, 2, 0xc3, 0xa9],
        ];
        assert_eq!(message.0, expected.concat());
    }
}
