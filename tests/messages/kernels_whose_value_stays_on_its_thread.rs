//! A core whose value cannot be sent back.
//~ contains: `Rc<usize>` cannot be sent between threads safely
//~ contains: it is sent back to the thread that called `kernels`

use std::rc::Rc;

use curium::kernel::kernels;
use curium::prelude::*;

fn main() {
    let done = kernels(2, async |core| Ok::<_, TaskCancelled>(Rc::new(core.index())));
    assert!(done.is_ok());
}
