//! Many kernels: a structured scope over the processor's cores.
//!
//! Each core is a thread with a kernel of its own. They share nothing but what is in `shared.rs`,
//! which is touched when a core starts, fails, stops or ends, and never by a poll.
//!
//! ```text
//!   caller of kernels()        thread of a core
//!   starts the threads ──────▶ builds the kernel; waits until all have
//!                              runs main, in a scope that others cancel
//!   reports blocked cores      waits until every main has ended, and serves calls meanwhile
//!   joins the threads  ◀────── shuts the kernel down
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `kernels.rs` | `kernels`: the threads, and what comes out of them |
//! | `settings.rs` | `Cores`: how many, where, and with which settings |
//! | `bounds.rs` | what `kernels` takes, with messages for the compiler |
//! | `core.rs` | `Core`: one core, as its tasks see it |
//! | `shared.rs` | what the threads share |
//! | `local.rs` | what a core keeps on its thread: its main function, its stop |
//! | `error.rs` | how cores fail |
//! | `seen.rs` | what every core does, in snapshots |
//! | `ask.rs` | how one core asks all for them |
//! | `place.rs` | processors and nice values, of the system |
//!
//! Sources: Seastar's shards, Glommio's executors; the scope is that of `std::thread::scope`.

mod ask;
pub(crate) mod bounds;
mod core;
mod error;
mod kernels;
mod local;
mod place;
mod seen;
mod settings;
mod shared;

pub use self::core::Core;
pub use self::error::{CoreError, CoreErrors};
pub use self::kernels::kernels;
pub use self::seen::{CoreSilent, CoreSnapshots};
pub use self::settings::Cores;
