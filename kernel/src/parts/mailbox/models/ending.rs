//! Models of an end during use by other threads: of the kernel, and of the last handle.

use super::*;

/// Counts its drops, to show on which side a message was dropped.
struct Letter {
    dropped: Arc<std::sync::atomic::AtomicUsize>,
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// K5, C11: the kernel closes while a handle spawns. Either the handle gets the error, and `build`
/// is dropped there, or the kernel has the message and runs or drops it on its own thread.
#[test]
fn a_spawn_into_a_kernel_that_goes_is_refused_or_the_kernels() {
    check(|| {
        let mut kernel = Model::new();
        let dropped = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (handle, theirs) = (Handle::new(kernel.remote.clone()), dropped.clone());
        let thread = thread::spawn(move || {
            let letter = Letter { dropped: theirs.clone() };
            let spawned = handle.spawn(move || {
                drop(letter);
                std::future::ready(Ok::<(), KernelGone>(()))
            });
            let dropped_here = theirs.load(Ordering::Relaxed);
            assert_eq!(spawned.is_err(), dropped_here == 1, "the error and the drop go together");
            spawned
        });
        let taken = kernel.take_post();
        let left: Vec<Message> = kernel.close().into_messages().collect();
        let spawned = thread.join().unwrap();
        assert_eq!(taken.len() + left.len(), usize::from(spawned.is_ok()));
        assert_eq!(dropped.load(Ordering::Relaxed), usize::from(spawned.is_err()));
        drop((taken, left));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        kernel.end();
    });
}

/// K5, C11: the same for a request to cancel, which is in the mailbox or is returned as an error.
#[test]
fn a_request_to_a_kernel_that_goes_is_refused_or_the_kernels() {
    check(|| {
        let kernel = Model::new();
        let handle = Handle::new(kernel.remote.clone());
        let thread = thread::spawn(move || {
            let asked = [handle.request_cancel(task(1)), handle.request_cancel(task(2))];
            asked.iter().filter(|asked| asked.is_ok()).count()
        });
        let mut had = take(&kernel.remote);
        had.extend(kernel.close().into_messages());
        let accepted = thread.join().unwrap();
        let numbers: Vec<u32> = had.iter().map(number).collect();
        assert_eq!(numbers, &[1, 2][..accepted]);
        assert!(kernel.remote.registry().is_none());
        kernel.end();
    });
}

/// K7: a wake while the kernel closes is dropped by one of the two threads, and the waker with it.
#[test]
fn a_wake_of_a_kernel_that_goes_leaves_nothing_behind() {
    check(|| {
        let kernel = Model::new();
        let waker = kernel.waker();
        let theirs = waker.clone();
        let thread = thread::spawn(move || theirs.wake());
        drop(kernel.close());
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&waker), 1, "somebody kept the message");
        // A wake long after the end.
        waker.wake_by_ref();
        assert_eq!(Arc::strong_count(&waker), 1);
        kernel.end();
    });
}

/// K5, K7: a kernel that closes while a thread writes its eventfd harms neither, and once it is
/// closed no thread holds its descriptors.
#[test]
fn nobody_rings_with_a_descriptor_of_a_kernel_that_is_gone() {
    check(|| {
        let mut kernel = Model::new();
        kernel.sleeps = 1;
        assert!(kernel.remote.announce_sleep(), "no thread has posted");
        let remote = kernel.remote.clone();
        let poster = thread::spawn(move || remote.post(request(1)).is_ok());
        kernel.remote.awake();
        let left = kernel.close().into_messages().count();
        assert_eq!(Arc::strong_count(&kernel.poll), 1, "the eventfd is still held");
        assert_eq!(poster.join().unwrap(), left == 1);
        kernel.end();
    });
}

/// Takes messages and sleeps as long as a handle exists, like a kernel without tasks. Returns the
/// messages.
fn while_handles_live(kernel: &mut Model) -> usize {
    let mut received = 0;
    loop {
        received += kernel.take_post().len();
        // In the order of the run loop.
        if kernel.remote.handles() == 0 && !kernel.remote.has_post() {
            return received;
        }
        kernel.sleep();
    }
}

/// K8: a kernel that waits only for a handle is woken when the last one is gone.
#[test]
fn the_last_handle_wakes_a_kernel_that_waits_for_it() {
    check(|| {
        let mut kernel = Model::new();
        let handle = Handle::new(kernel.remote.clone());
        let thread = thread::spawn(move || drop(handle));
        assert_eq!(while_handles_live(&mut kernel), 0);
        thread.join().unwrap();
        kernel.end();
    });
}

/// K8: with two handles on two threads, it does not matter which is dropped last.
#[test]
fn the_last_of_two_handles_wakes_the_kernel() {
    check(|| {
        let mut kernel = Model::new();
        let handle = Handle::new(kernel.remote.clone());
        let threads = [handle.clone(), handle].map(|handle| thread::spawn(move || drop(handle)));
        assert_eq!(while_handles_live(&mut kernel), 0);
        join(threads);
        kernel.end();
    });
}

/// K8: a thread that sees the last handle gone sees what it posted.
#[test]
fn what_the_last_handle_posted_comes_before_its_end() {
    check(|| {
        let mut kernel = Model::new();
        let handle = Handle::new(kernel.remote.clone());
        let thread = thread::spawn(move || handle.request_cancel(task(1)).unwrap());
        assert_eq!(while_handles_live(&mut kernel), 1);
        thread.join().unwrap();
        kernel.end();
    });
}
