//! Signals, processes and files for Curium.
//!
//! Each is a feature, off by default: `signal`, `process` and `fs`. They are for Linux first.

#[cfg(all(unix, feature = "fs"))]
pub mod fs;
#[cfg(all(unix, feature = "signal"))]
mod number;
#[cfg(all(unix, feature = "signal"))]
pub mod signal;
