//! Helpers that the tests share.

// Each test binary uses a part of this.
#![allow(dead_code, unused_macros, unused_imports)]

#[cfg(unix)]
pub(crate) mod both;
pub(crate) mod children;
pub(crate) mod connections;
pub(crate) mod dirs;
#[cfg(target_os = "linux")]
pub(crate) mod half_open;
pub(crate) mod leftovers;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod reports;
pub(crate) mod tasks;
pub(crate) mod time;
pub(crate) mod traces;
