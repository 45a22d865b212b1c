//! The macros of most shims: an await that cannot fail, a handle that is awaited for its value, a
//! channel of two ends. A shim defines anew what differs.

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
macro_rules! send {
    ($sender:expr, $item:expr) => {
        $sender.send($item).await.expect("somebody receives")
    };
}
macro_rules! recv {
    ($receiver:expr) => {
        $receiver.recv().await.expect("somebody sends")
    };
}
macro_rules! lock {
    ($lock:expr) => {
        $lock.lock().await
    };
}
