//! Other threads: a job on a thread of the pool.

pub(crate) mod job;
pub(crate) mod pool;
