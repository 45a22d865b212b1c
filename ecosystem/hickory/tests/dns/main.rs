//! hickory-resolver on Curium: on a simulated network and a virtual clock, so that limits pass at
//! once.

mod hickory_page;
mod hickory_resolver;
mod kit;
