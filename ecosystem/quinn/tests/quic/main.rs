//! quinn on Curium, over the loopback and on a virtual clock, so that limits pass at once.

mod kit;
mod quinn_endpoints;
mod quinn_page;
