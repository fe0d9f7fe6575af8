//! Servers that can stand in for each other: which one is asked next.

mod balance;
mod registry;
pub mod settings;

pub use balance::{Candidate, pick};
pub use registry::{Load, Registry, Shelf};
