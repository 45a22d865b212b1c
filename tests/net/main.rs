//! Listeners and streams, and what peers do to them.

#[path = "../support/mod.rs"]
mod support;

mod net_left_outside;
mod net_listener;
mod net_readiness;
mod net_server;
mod net_shortage;
mod net_stream;
mod net_stream_sharing;
mod peers_bad;
mod peers_cancelled;
mod peers_cancelled_writes;
mod peers_connects;
mod peers_moving;
mod peers_processes;
mod peers_proxy;
mod peers_restarted;
mod peers_urgent;
