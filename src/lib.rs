//! Gatehouse, a reverse-proxy appliance for the perimeter.

pub mod config;
pub mod document;
pub mod net;
pub mod pool;
pub mod site;
pub mod tls;
