//! Streams for Curium: what all of them share.

pub use kernel::io::*;
