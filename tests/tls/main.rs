//! TLS (N13): by itself, swept, and against the tools of OpenSSL.
//!
//! `cargo test --features tls --test tls`. The default tests do without, because rustls takes
//! longer to compile than most of them.

#[path = "../kit/checks.rs"]
#[allow(dead_code, reason = "the sweeps of the kit use the rest")]
mod checks;
#[path = "../support/conformance/mod.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod swept_tls;
mod tls_conformance;
mod tls_handshakes;
mod tls_openssl;
mod tls_streams;
