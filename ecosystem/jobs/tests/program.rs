//! How the program is called. What it does is for its judge, `judge.py`, which CI runs.

use std::process::Command;

/// A call that names no runtime or no server is refused, with a line that says how to call it.
#[test]
fn the_service_says_how_it_is_called() {
    let calls = [
        "smol 127.0.0.1:0 a b",
        "curium 127.0.0.1:0",
        "curium 127.0.0.1:0 a b --cores 0",
        "tokio 127.0.0.1:0 a b --cores 2",
    ];
    for arguments in calls.map(|call| call.split(' ')) {
        let program = Command::new(env!("CARGO_BIN_EXE_curium-jobs")).args(arguments).output();
        let output = program.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: curium-jobs"));
    }
}
