//! What has happened in a simulated network, one line an event.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// How many of the last events are kept.
const KEPT: usize = 1 << 16;

/// A packet that has arrived, or that has not.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: Duration,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) what: What,
    pub(super) fate: Fate,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Syn,
    SynAck,
    Data(usize),
    Fin,
    Reset,
    Datagram(usize),
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrived,
    /// A partition holds it back.
    Held,
    Lost,
    Doubled,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { at, from, to, what, fate } = self;
        write!(f, "{:>3}.{:09} {from} > {to} ", at.as_secs(), at.subsec_nanos())?;
        match what {
            What::Syn => write!(f, "syn")?,
            What::SynAck => write!(f, "syn ack")?,
            What::Data(len) => write!(f, "data {len}")?,
            What::Fin => write!(f, "fin")?,
            What::Reset => write!(f, "reset")?,
            What::Datagram(len) => write!(f, "datagram {len}")?,
            What::Unreachable => write!(f, "unreachable")?,
        }
        match fate {
            Fate::Arrived => Ok(()),
            Fate::Held => write!(f, " (held)"),
            Fate::Lost => write!(f, " (lost)"),
            Fate::Doubled => write!(f, " (doubled)"),
        }
    }
}

/// The last events.
#[derive(Debug, Default)]
pub(super) struct Trace(VecDeque<Line>);

impl Trace {
    pub(super) fn add(&mut self, line: Line) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.0 {
            writeln!(text, "{line}").expect("a string takes every text");
        }
        text
    }
}
