//! Pools.

pub mod settings;
