//! A crawler: three fetches at once, failed ones again after a growing delay, a limit of time.
//!
//! The children of the scope borrow the crawl, a local of `main`. Clock and network are simulated.

use std::cell::RefCell;
use std::collections::BTreeMap;

use curium::prelude::*;
use curium::{Kernel, Scope};

/// The pages: how many milliseconds a fetch takes, how often it fails before, and the links.
const SITE: [(&str, u64, u32, &[&str]); 6] = [
    ("/", 100, 0, &["/about", "/blog", "/down", "/slow"]),
    ("/about", 200, 0, &["/"]),
    ("/blog", 300, 2, &["/blog/1", "/about"]),
    ("/blog/1", 100, 1, &[]),
    ("/down", 50, 9, &[]),
    ("/slow", 60_000, 0, &[]),
];

struct Crawl {
    at_once: Semaphore,
    pages: RefCell<BTreeMap<&'static str, String>>,
}

/// One attempt. Without a page, the fetch has failed.
async fn fetch(page: &str, attempt: u32) -> Result<Option<&'static [&'static str]>> {
    let (_, millis, failures, links) = SITE.iter().find(|(path, ..)| *path == page).unwrap();
    sleep(Duration::from_millis(*millis)).await?;
    Ok((attempt > *failures).then_some(links))
}

impl Crawl {
    async fn try_four_times(&self, page: &'static str) -> Result<&'static [&'static str]> {
        let mut delay = Duration::from_millis(100);
        for attempt in 1..=4 {
            let permit = self.at_once.acquire().await?;
            let fetched = fetch(page, attempt).await?;
            drop(permit); // others fetch during the delay
            if let Some(links) = fetched {
                self.pages.borrow_mut().insert(page, format!("fetched, attempt {attempt}"));
                return Ok(links);
            }
            sleep(delay).await?;
            delay *= 2;
        }
        self.pages.borrow_mut().insert(page, "given up".to_owned());
        Ok(&[])
    }

    /// Starts a child for a page that was not seen before.
    fn visit<'env>(&'env self, s: &Scope<'env, TaskCancelled>, page: &'static str) {
        if self.pages.borrow().contains_key(page) {
            return;
        }
        self.pages.borrow_mut().insert(page, "not fetched in time".to_owned());
        let own = s.clone();
        s.spawn(async move {
            let links = self.try_four_times(page).await?;
            links.iter().for_each(|link| self.visit(&own, link));
            Ok(())
        });
    }
}

fn main() -> Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let crawl = Crawl { at_once: Semaphore::new(3), pages: RefCell::default() };
        let whole = scope(async |s| {
            crawl.visit(&s, "/");
            Ok::<_, TaskCancelled>(())
        });
        let in_time = ignore_after(Duration::from_secs(5), whole).await?;
        println!("{}", if in_time.is_some() { "all is done" } else { "the time is over" });
        for (page, end) in crawl.pages.take() {
            println!("{page}: {end}");
        }
        Ok(())
    })
}
