//! A child that borrows a local of the body, one that two children change, a child that outlives
//! what it borrows, and a scope on another thread.
//~ contains: error[E0373]: async block may outlive the current function, but it borrows `local`
//~ contains: error[E0499]: cannot borrow `count` as mutable more than once at a time
//~ contains: error[E0505]: cannot move out of `text` because it is borrowed
//~ contains: error[E0277]: `std::rc::Weak<

use curium::prelude::*;
use curium::scope;

async fn local_of_the_body() -> Result<()> {
    scope(async |s| {
        let local = String::from("ends with the body");
        s.spawn(async { drop(local.as_str()) });
        Ok(())
    })
    .await
}

async fn changed_by_two() -> Result<u32> {
    let mut count = 0;
    scope(async |s| {
        s.spawn(async { count += 1 });
        s.spawn(async { count += 1 });
        Ok(())
    })
    .await?;
    Ok(count)
}

async fn moved_while_borrowed() -> Result<()> {
    let text = String::from("borrowed by a child");
    scope(async |s| {
        s.spawn(async { drop(text.as_str()) });
        drop(text);
        Ok(())
    })
    .await
}

async fn sent_to_a_thread() -> Result<()> {
    scope(async |s| {
        std::thread::spawn(move || drop(s));
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    run(async || {
        local_of_the_body().await?;
        changed_by_two().await?;
        moved_while_borrowed().await?;
        sent_to_a_thread().await
    })
}
