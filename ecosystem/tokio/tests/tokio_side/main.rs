//! tokio on a side thread, and crates that need it inside tasks of Curium.

#[cfg(target_os = "linux")]
mod tokio_guest;
mod tokio_nats;
mod tokio_page;
mod tokio_reqwest;
mod tokio_sqlx;
mod tokio_thread;
