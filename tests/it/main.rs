//! The proxy between real peers, over real sockets and its real ring: nginx and Apache as origins,
//! curl and openssl as clients, and for the fine cases a client and a server whose every byte the
//! test chooses.
//!
//! Nothing sleeps: whatever has to happen is waited for, and not longer than [`rig::LIMIT`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

mod address;
mod bodies;
mod bulk;
mod check;
mod crossing;
#[path = "../hostile/dice.rs"]
mod dice;
mod doctor;
mod doors;
mod early;
mod every_key;
mod fields;
mod front_tls;
mod health;
mod health_clients;
mod health_probes;
mod identity;
mod late_tls;
mod latency;
mod limits;
mod limits_clients;
mod limits_edges;
mod limits_pace;
mod limits_site;
mod log;
mod log_in_guard;
mod malformed;
mod manual;
mod metrics;
mod names;
mod namespaces;
mod ntlm;
mod old_clients;
mod old_tls;
mod pages;
mod patience;
mod pools;
mod pressure;
mod probe_keys;
mod publish;
mod reload;
mod reload_hard;
mod retry;
mod rig;
mod site_keys;
mod smoke;
mod startup;
mod status;
mod stop;
mod storm;
mod tidy;
mod times;
mod upgrade;
mod websocket;
mod windows;
