//! Standard streams that are shared with a shell.

use std::process::Command;

use curium::io::stdin;
use curium::kernel::spawn;
use curium::kernel::testing;

use crate::support::children;
use crate::typist::{Input, Typist, next};

/// I5: the reads of a shell still wait after a program has waited for the same input and has read a
/// line of it.
#[test]
fn a_shell_that_shares_the_input_still_waits_for_it() {
    if children::role().is_none() {
        for input in [Input::Pipe, Input::Terminal] {
            let child = children::command(children::this_test!(), children::ALONE);
            let program = child.get_program().to_str().unwrap().to_owned();
            let words = child.get_args().map(|word| word.to_str().unwrap().to_owned());
            let mut shell = Command::new("sh");
            let script = "\"$@\" || exit; echo 'the test goes on' >&2; \
                          read -r line || exit 9; echo \"the shell has read: $line\"";
            shell.args(["-c", script, "sh", &program]).args(words);
            shell.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?))));
            let mut typist = Typist::of(shell, input);
            typist.next();
            typist.types("first\n");
            typist.next();
            typist.types("second\n");
            let written = typist.ends();
            let text = String::from_utf8_lossy(&written);
            assert!(text.contains("the shell has read: second"), "{text}");
        }
        return;
    }
    testing::run(async || {
        let waiting = spawn(async { stdin().lines().next().await });
        testing::settle().await?;
        assert_eq!(waiting.state().to_string(), "READ");
        next();
        assert_eq!(waiting.await?.as_deref(), Some("first"));
        Ok::<(), std::io::Error>(())
    })
    .unwrap();
}
