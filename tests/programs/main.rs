//! Programs that are made from a seed, on the virtual clock.

mod random;
mod random_programs;
mod wanderers;
