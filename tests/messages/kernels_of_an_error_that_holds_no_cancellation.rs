//! A core whose error cannot hold a cancellation.
//~ contains: the error type `TryFromIntError` cannot hold a cancellation
//~ contains: use an error that implements `From<TaskCancelled>`

use curium::kernel::kernels;

fn main() {
    let done = kernels(2, async |core| {
        let index: u8 = core.index().try_into()?;
        Ok::<_, std::num::TryFromIntError>(index)
    });
    assert!(done.is_ok());
}
