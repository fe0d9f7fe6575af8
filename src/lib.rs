//! Gatehouse, a reverse-proxy appliance for the perimeter: it publishes internal web services over
//! HTTPS from a Linux box with two network adapters. This page is the map of the code.
//!
//! # From above
//!
//! One package, one library, two small programs: `gatehouse` (the operator's command and the proxy
//! itself) and `gatehouse-bench` (origin, load, comparison).
//!
//! ```text
//!                 control thread                         log thread
//!      file, names, signals │ publishes Live      ▲ records
//!                           ▼                     │
//!  clients ──▶ worker 0 … n: own ring, own listening sockets, own upstream connections ──▶ servers
//! ```
//!
//! A worker is one thread on one core with one ring. A client connection is one task of its worker
//! and drives the upstream connection that it leases; nothing of an exchange crosses threads. What
//! all workers share they read through one atomic pointer ([`proxy::Live`]) and a few padded
//! counters.
//!
//! # A request's way
//!
//! ```text
//! accept     proxy/accept.rs    readiness of the worker's listening socket, then accept4
//! handshake  tls/server.rs      the greeting names the site, the session gets its certificate
//! head       http/request.rs    slices of the received block, or Malformed: 4xx and close
//! rule       site/table.rs      (listener, host, canonical path) to Rule, without a lock
//! pick       pool/balance.rs    a server that is well, else the least ill
//! lease      proxy/obtain.rs    the client's pin, an idle connection, or a new one
//! send       http/write.rs      kept lines copied in runs; head and first body bytes in one send
//! relay up   proxy/upload.rs    pieces as they come; then a watch whether the client leaves
//! answer     proxy/answer.rs    1xx passed on, 101 becomes proxy/tunnel.rs, else relay down
//! settle     exchange/pin.rs    reuse, pin or close
//! record     observe/record.rs  one line per exchange, written by another thread
//! ```
//!
//! `proxy/forward.rs` puts these in order: read it first.
//!
//! # Another file while it runs
//!
//! ```text
//! ask        control/service.rs SIGHUP, the admin socket, or certificates that have changed
//! read       config/            every complaint goes to whoever asked, and nothing changes
//! prepare    control/start.rs   sockets and logs that are missing, then the next Live
//! swap       proxy/live.rs      one pointer; what has begun keeps the Live that it began with
//! spread     control/doors.rs   listening sockets over workers; none is closed while its place stays
//! ```
//!
//! Names of servers are asked for all the time (`control/resolver`); other addresses make another Live
//! of the same Config (`Live::readdressed`), which is swapped in the same way.
//!
//! What has to mean the same in every Config (numbers of listeners, of what is counted, and of sets of
//! certificates, the places of idle connections, sessions to servers) is in `proxy/kept.rs`.
//!
//! # Which servers are well
//!
//! ```text
//! met        proxy/forward.rs   an exchange that was not answered, and the first that is again
//! looked at  control/probes.rs  each server at its own beat, by the way that requests take
//! judged     pool/health.rs     both, into one word for each server
//! read       proxy/obtain.rs    by every pick, without a lock; it outlasts every Config
//! said       control/health.rs  in the service's log, once for each change, with what to do
//! ```
//!
//! # What can be seen of it
//!
//! ```text
//! count      observe/tally.rs     each worker's own cells, by site and server
//! gather     control/overview.rs  all of it at one moment, on the thread of whoever asks
//! show       control/page.rs      /metrics and /healthz by HTTP
//!            control/admin.rs     `gatehouse status` by the admin socket
//! ```
//!
//! # Why a server and TLS do not get on
//!
//! ```text
//! ask        control/doctor/look.rs    `gatehouse doctor`: question after question to a server
//! speak      tls/survey                greetings that offer one thing, and what is said to them
//! advise     control/doctor/advice.rs  findings in, profile and lines of the file out
//! watch      control/certificates.rs   when servers' certificates end, for `gatehouse status`
//! ```
//!
//! # The rooms
//!
//! Code either *decides* (bytes, time and chance are arguments; no socket, no clock, no runtime) or
//! *waits* (async functions, generic over [`net::Machine`]). Who may name whom is kept true by
//! `tests/it/tidy.rs`.
//!
//! * decides: [`http`], [`tls`], [`site`], [`pool`], [`exchange`], [`dns`], [`document`],
//!   [`config`], [`observe`]
//! * waits: [`net`], [`proxy`], [`control`]
//! * tools: [`bench`]; [`command`] is the command line
//! * in tests only: `fuzz.rs` lists the `fuzz_*` functions beside the code: what must hold for any bytes
//!
//! # What is deliberately not here
//!
//! * No header map, no body in memory: heads are slices, bodies pass through lent blocks.
//! * No ring reads or writes: the ring is asked when a socket is ready, bytes are taken and given by
//!   calls that never wait. Measured as cheap, and a wait can be given up without losing a byte.
//! * No lock, name resolution, file or formatting on a request's way.
//! * No repair of ambiguous messages: they are refused.
//! * No way back from a [pinned](exchange::OwnSettled) connection to one that anybody may use.
//! * No clock reading outside `net/clock.rs`, no name of the runtime outside `net/uring.rs`, no
//!   unsafe code outside `net/sys.rs`, `tls/legacy.rs` and `bench/ring.rs`.

pub mod bench;
pub mod command;
pub mod config;
pub mod control;
pub mod dns;
pub mod document;
pub mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod net;
pub mod observe;
pub mod pool;
pub mod proxy;
pub mod site;
pub mod tls;
