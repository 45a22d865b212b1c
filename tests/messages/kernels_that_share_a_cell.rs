//! Cores that share what one thread alone may use.
//~ contains: `Cell<i32>` cannot be shared between threads safely
//~ contains: all cores share it: capture atomics, a `Mutex` or a channel, or make it inside

use std::cell::Cell;

use curium::kernel::kernels;
use curium::prelude::*;

fn main() {
    let calls = Cell::new(0);
    let done = kernels(2, async |_| {
        calls.set(calls.get() + 1);
        Ok::<_, TaskCancelled>(())
    });
    assert!(done.is_ok());
}
