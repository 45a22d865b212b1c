//! A future in place of the function that each core calls.
//~ contains: `kernels` takes an async function or closure of the core, which each core calls
//~ contains: or an async closure: `kernels(2, async |core| { .. })`

use curium::kernel::kernels;
use curium::prelude::*;

fn main() {
    let done = kernels(2, async { Ok::<_, TaskCancelled>(1) });
    assert!(done.is_ok());
}
