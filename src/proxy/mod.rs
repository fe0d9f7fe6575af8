//! Workers, client connections, exchanges. Read `forward.rs` first: one exchange from rule to
//! record. Decisions are made elsewhere (`http`, `site`, `pool`, `exchange`); here they are put in
//! order and waited for.
//!
//! Everything is generic over one [`Machine`](crate::net::Machine). Tasks are spawned in
//! `accept.rs` alone: one per client connection, which also drives the upstream connection that it
//! leases.

mod accept;
mod admit;
mod alarm;
mod answer;
mod client;
mod forward;
mod idle;
mod judge;
mod kept;
mod live;
mod log_in;
mod obtain;
mod own;
mod pace;
mod stream;
mod tunnel;
mod upload;
mod visit;
mod worker;

pub use accept::{caught, serve_accepted, serve_listener};
pub use admit::Crowd;
pub use kept::{DoorId, Kept};
pub use live::{Live, LivePool, LiveServer, ServerTls, connector_settings};
pub use visit::{Refusal, Visitor};
pub use worker::{RECORDS_MAX, Shared, Worker, WorkerEnds, WriterEnds, journal};
