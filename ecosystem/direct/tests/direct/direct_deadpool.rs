//! deadpool, cancelled where it waits.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use curium::kernel::testing;
use curium::kernel::{GroupRef, cancellable};
use curium::prelude::*;
use deadpool::managed::{Manager, Metrics, Pool, RecycleResult};
use futures::channel::oneshot;

/// Counts the connections that are open.
struct Connections {
    group: GroupRef<TaskCancelled>,
    open: Arc<AtomicUsize>,
}

struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A second of the kernel's clock, for a future that is `Send`: another task waits.
async fn second(group: GroupRef<TaskCancelled>) {
    let (sender, slept) = oneshot::channel::<()>();
    let sleeper = async move {
        let _sender = sender;
        sleep(Duration::from_secs(1)).await
    };
    let _ = group.try_spawn_daemon(sleeper);
    let _ = slept.await;
}

impl Manager for Connections {
    type Type = Connection;
    type Error = Infallible;

    async fn create(&self) -> Result<Connection, Infallible> {
        self.open.fetch_add(1, Ordering::Relaxed);
        let connection = Connection(self.open.clone());
        second(self.group).await;
        Ok(connection)
    }

    async fn recycle(&self, _: &mut Connection, _: &Metrics) -> RecycleResult<Infallible> {
        second(self.group).await;
        Ok(())
    }
}

/// One user: waits for a connection, and uses it.
async fn user(pool: Pool<Connections>) -> Result<()> {
    let connection = cancellable(pool.get()).await?.expect("no error");
    finally(sleep(Duration::from_secs(1)), async |_| drop(connection)).await
}

/// E1, E2, V4: however a task ends that waits for a place in the pool, for a new connection, or for
/// one that is checked, or that uses one, the pool loses no place and no connection, and what its
/// manager has spawned ends with the group.
#[test]
fn a_pool_of_deadpool_loses_nothing_however_its_user_ends() {
    let swept = testing::sweep().pairs().run(
        async || OnceCell::new(),
        |shared: Rc<OnceCell<Pool<Connections>>>| {
            TaskGroup::<TaskCancelled>::scope(async move |group| {
                let manager = Connections { group, open: Arc::default() };
                let pool = Pool::<Connections>::builder(manager).max_size(1).build().unwrap();
                let pool = shared.get_or_init(|| pool);
                let one = spawn(user(pool.clone()));
                let other = finally(user(pool.clone()), async |_| one.cancel().await);
                other.await?;
                user(pool.clone()).await
            })
        },
        async |shared, _| {
            let Some(pool) = shared.get() else { return };
            let open = &pool.manager().open;
            assert!(open.load(Ordering::Relaxed) <= 1);
            // The manager waits no more, because its group has ended.
            drop(pool.get().await);
            let status = pool.status();
            assert_eq!((status.size, status.available, status.waiting), (1, 1, 0));
            assert_eq!(open.load(Ordering::Relaxed), 1);
        },
    );
    assert!(swept.suspensions >= 3, "{:?}", swept.sites);
}
