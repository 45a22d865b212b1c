//! curium
