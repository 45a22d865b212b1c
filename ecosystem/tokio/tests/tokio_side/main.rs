//! tokio on a side thread, and crates that need it inside tasks of Curium.

mod tokio_page;
mod tokio_reqwest;
mod tokio_sqlx;
mod tokio_thread;
