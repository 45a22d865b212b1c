//! Examples of crates that run on Curium without an adapter: they take any stream with the traits
//! of tokio, which those of Curium have with its feature `tokio-io`.
//!
//! Here is no code but that of the examples. `docs/ecosystem.md` has their text, and how to use the
//! crates.
