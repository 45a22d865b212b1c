//! Faults of the system and of peers that are processes: calls that fail or are interrupted,
//! descriptors that run out, peers that are stopped or killed.
//!
//! Each test is alone in a process: see `tests/net/main.rs`.

#[path = "../support/mod.rs"]
mod support;

mod faults_accept;
#[cfg(target_os = "linux")]
mod faults_black_holes;
mod faults_closed;
#[cfg(target_os = "linux")]
mod faults_core_wakes;
mod faults_idle_threads;
mod faults_interrupts;
mod faults_jobs;
mod faults_look_ups;
mod faults_shortage;
mod faults_sources;
mod faults_system_calls;
mod faults_thread_members;
mod faults_universal;
mod net_accept_errors;
mod net_connect_itself;
mod net_shortage;
mod peers_connects;
mod peers_processes;
