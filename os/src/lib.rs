//! Signals, processes and files for Curium.
//!
//! Each is a feature, off by default: `signal`, `process` and `fs`. They are for Linux first.
