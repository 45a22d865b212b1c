//! A core whose main function returns no `Result`.
//~ contains: the main function of a core returns a `Result`, and this one gives `usize`
//~ contains: end it with `Ok::<_, TaskCancelled>(value)`

use curium::kernel::kernels;

fn main() {
    let done = kernels(2, async |core| core.index());
    assert!(done.is_ok());
}
