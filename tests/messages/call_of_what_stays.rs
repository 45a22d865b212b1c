//! A call that takes something to the other core that must stay on its thread.
//~ contains: `Rc<i32>` cannot be sent between threads safely
//~ contains: it is sent to the other core: make inside what stays on its thread

use std::rc::Rc;

use curium::kernel::kernels;
use curium::prelude::*;

fn main() {
    let done = kernels(2, async |core| {
        let name = Rc::new(7);
        core.call(0, move || async move { *name }).await?;
        Ok::<_, TaskCancelled>(())
    });
    assert!(done.is_ok());
}
