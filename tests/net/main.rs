//! Listeners and streams, and what peers do to them.
//!
//! No test here starts a process. Until a child has begun its program it holds a duplicate of every
//! descriptor of this process, so a listener that another test closes meanwhile still answers.

#[path = "../support/mod.rs"]
mod support;

mod net_empty_buffers;
mod net_left_outside;
mod net_linger;
mod net_listener;
mod net_readiness;
mod net_server;
mod net_shutdown;
mod net_stream;
mod net_stream_sharing;
mod net_zones;
mod peers_bad;
mod peers_cancelled;
mod peers_cancelled_writes;
mod peers_moving;
mod peers_proxy;
mod peers_restarted;
mod peers_urgent;
