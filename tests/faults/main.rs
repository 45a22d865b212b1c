//! Faults of the system: calls that fail or are interrupted, and descriptors that run out.

#[path = "../support/mod.rs"]
mod support;

mod faults_accept;
mod faults_closed;
mod faults_interrupts;
mod faults_shortage;
mod faults_sources;
mod faults_system_calls;
