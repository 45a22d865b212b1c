//! A core whose error type cannot be inferred.
//~ contains: cannot infer type of the type parameter `E` declared on the enum `Result`
//~ contains: Ok::<usize, E>(core.index())

use curium::kernel::kernels;
use curium::prelude::*;

fn main() {
    let done = kernels(2, async |core| {
        sleep(Duration::ZERO).await?;
        Ok(core.index())
    });
    assert!(done.is_ok());
}
