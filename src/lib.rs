//! Gatehouse, a reverse-proxy appliance for the perimeter.

pub mod bench;
pub mod net;
pub mod pool;
