//! The last test of a suite: see [`leftovers`](crate::support::leftovers).

use crate::support::leftovers;

/// O1, O2, O3, I5, N8, R1, V4: no descriptor, no thread and no process is left by any test of this
/// suite.
#[test]
fn no_test_has_left_anything() {
    leftovers::assert_none();
}
