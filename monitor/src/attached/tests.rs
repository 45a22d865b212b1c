use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use kernel::Kernel;

use super::*;

/// A hub whose monitor calls this when it listens.
fn hub(announce: impl Fn(&Listening) + Send + 'static) -> Arc<Hub> {
    Hub::new(Monitor::new().address(([127, 0, 0, 1], 0)).announce(announce))
}

fn kernel(hub: &Arc<Hub>) -> Kernel {
    Kernel::builder().watcher(Attached::to(hub)).build().expect("a kernel")
}

/// P6: the function of the program holds up no other core. It may wait until that has begun.
#[test]
fn a_core_begins_while_another_one_announces_the_monitor() {
    let (give, has_begun) = channel();
    let (announced, announces) = channel();
    let hub = hub(move |_| {
        announced.send(()).expect("the test waits");
        // The time is for a failure.
        has_begun.recv_timeout(Duration::from_secs(60)).expect("the other core begins");
    });
    let other = hub.clone();
    let other = thread::spawn(move || {
        announces.recv().expect("the first kernel announces");
        let second = kernel(&other);
        give.send(()).expect("the first kernel waits");
        drop(second);
    });
    drop(kernel(&hub));
    other.join().expect("it does not panic");
    assert!(hub.lock().running.is_none(), "the last kernel has ended");
}

/// M3: a panic of that function leaves no monitor behind.
#[test]
fn a_panic_of_announce_ends_the_monitor() {
    let hub = hub(|_| panic!("of the program"));
    let made = catch_unwind(AssertUnwindSafe(|| kernel(&hub)));
    assert!(made.is_err(), "the panic goes on");
    let state = hub.lock();
    assert!(state.running.is_none() && state.kernels == 0, "no kernel was made");
}
