//! hyper, axum and the client on Curium: on a simulated network and a virtual clock, so that limits
//! pass at once and nothing depends on times of the system. `.ci/ecosystem` runs the examples
//! against real clients.

mod hyper_client;
mod hyper_cores;
mod hyper_executor;
mod hyper_local;
mod hyper_page;
mod hyper_server;
mod hyper_server_stops;
mod hyper_swept;
mod hyper_tls;
mod hyper_websocket;
mod kit;
