//! The same in a test, on a kernel of one's own, and by a builder.
//~ contains: `run` takes an async function or closure, which it calls itself, not `{async block@
//~ contains: a bound in `curium::testing::run`
//~ contains: required by this bound in `run_with`
//~ contains: required by this bound in `Kernel::run`
//~ contains: required by this bound in `Builder::run`

use curium::{Kernel, testing};

fn main() {
    testing::run(async {});
    testing::run_with(Kernel::builder(), async {});
    Kernel::new().unwrap().run(async {});
    Kernel::builder().run(async {});
}
