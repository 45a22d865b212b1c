//! The suite for streams of every kind, over the pipes of a child.

use curium::process::{Command, Stdio};

use crate::conformance::{Kind, conform, one_way};

/// I1, I2, O2: the input and the output of a child that copies one to the other pass the suite.
#[test]
fn the_pipes_of_a_child_conform() {
    let kinds = one_way(async || {
        let mut cat = Command::new("cat");
        let mut cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let ends = (cat.stdin.take().expect("a pipe"), cat.stdout.take().expect("a pipe"));
        // It ends when its input does, or when nothing reads its output.
        cat.detach();
        Ok(ends)
    });
    conform(kinds.into_iter().map(Kind::not_swept));
}
