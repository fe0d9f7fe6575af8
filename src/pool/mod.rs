//! Servers that can stand in for each other: which one is asked next.

mod balance;
pub mod health;
mod registry;
pub mod settings;

pub use balance::{Candidate, pick};
pub use registry::{Entered, Load, Registry, Shelf, Tie};
