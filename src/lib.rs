//! Gatehouse, a reverse-proxy appliance for the perimeter.

pub mod bench;
pub mod command;
pub mod config;
pub mod control;
pub mod document;
pub mod exchange;
pub mod http;
pub mod net;
pub mod observe;
pub mod pool;
pub mod proxy;
pub mod site;
pub mod tls;
