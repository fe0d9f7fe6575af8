//! Gatehouse, a reverse-proxy appliance for the perimeter.

pub mod http;
pub mod net;
pub mod pool;
pub mod tls;
