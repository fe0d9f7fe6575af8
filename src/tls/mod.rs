//! Certificates and sessions without sockets.

pub mod certificate;
