//! The macros of most shims: an await that cannot fail, a handle that is awaited for its value, a
//! channel of two ends. A shim redefines those that differ.

macro_rules! done {
    ($value:expr) => {
        $value
    };
}
macro_rules! go {
    ($future:expr) => {
        $future.await
    };
}
macro_rules! join {
    ($task:expr) => {
        $task.await
    };
}
macro_rules! detach {
    ($task:expr) => {
        let _detached = $task;
    };
}
macro_rules! send {
    ($sender:expr, $item:expr) => {
        $sender.send($item).await.expect("the receiver exists")
    };
}
macro_rules! recv {
    ($receiver:expr) => {
        $receiver.recv().await.expect("a sender exists")
    };
}
macro_rules! lock {
    ($lock:expr) => {
        $lock.lock().await
    };
}
macro_rules! receive {
    ($receiver:expr) => {
        $receiver.recv()
    };
}
