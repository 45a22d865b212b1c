//! Listeners and streams, and the behaviour of peers.
//!
//! What `both::run` runs is run on the network of the system and on a simulated one. The other
//! tests need what the simulated network does not have: descriptors and their duplicates, options
//! of the system, urgent bytes, threads and kernels beside the test's own, or Unix sockets.
//!
//! No test here starts a process. Until a child process has called `exec`, it holds a duplicate of
//! every descriptor of this process, so that a listener which another test closes still answers.

#[path = "../support/conformance/mod.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

mod net_conformance;
mod net_cores;
mod net_empty_buffers;
#[cfg(target_os = "linux")]
mod net_every_socket;
#[cfg(target_os = "linux")]
mod net_happy_eyeballs;
#[cfg(target_os = "linux")]
mod net_hung_up;
mod net_left_outside;
mod net_linger;
mod net_listener;
#[cfg(target_os = "linux")]
mod net_options;
mod net_owned;
mod net_polls;
mod net_readiness;
mod net_server;
mod net_server_stops;
mod net_shutdown;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod net_sizes;
mod net_stream;
mod net_stream_sharing;
mod net_streams;
mod net_udp;
#[cfg(target_os = "linux")]
mod net_unix;
#[cfg(target_os = "linux")]
mod net_unix_datagrams;
#[cfg(unix)]
mod net_vectored;
mod net_zones;
mod peers_bad;
mod peers_cancelled;
mod peers_cancelled_writes;
mod peers_moving;
mod peers_proxy;
mod peers_restarted;
mod peers_urgent;
#[cfg(unix)]
mod simulated;
#[cfg(unix)]
mod simulated_faults;
#[path = "../support/zz_nothing_left.rs"]
mod zz_nothing_left;
