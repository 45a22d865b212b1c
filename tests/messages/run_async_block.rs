//! An async block given to `run`, instead of an async closure.
//~ contains: `run` takes an async function or closure, which it calls itself, not `{async block@
//~ contains: `run(async || { .. })` instead of `run(async { .. })`

fn main() {
    curium::run(async {});
}
