//! Curium.
pub use kernel::*;
pub use {net, sync};
