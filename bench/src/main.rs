//! The table of times.
fn main() {}
