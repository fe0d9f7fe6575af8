//! Gatehouse, a reverse-proxy appliance for the perimeter.

pub mod net;
pub mod pool;
pub mod tls;
