//! Cancels inside crates that need no adapter, with servers of the tests' own. `.ci/ecosystem` runs
//! the examples against the real ones.

mod direct_deadpool;
mod direct_page;
mod direct_postgres;
mod direct_redis;
