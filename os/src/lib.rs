//! Signals, processes and files for Curium.
//!
//! Each is a feature, off by default: `signal`, `process` and `fs`. They are for Linux first.

#[cfg(all(unix, feature = "fs"))]
pub mod fs;
#[cfg(any(all(unix, feature = "signal"), all(target_os = "linux", feature = "process")))]
mod number;
#[cfg(all(target_os = "linux", feature = "process"))]
pub mod process;
#[cfg(all(unix, feature = "signal"))]
pub mod signal;
