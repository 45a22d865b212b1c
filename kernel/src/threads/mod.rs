//! Other threads: a job on a thread of the pool.

pub(crate) mod detached;
pub(crate) mod pool;
