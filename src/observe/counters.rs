//! One worker's counters: written by that worker alone, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use super::tally::Tallies;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One worker's counters, on cache lines that no other worker writes.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// The same by site and by server.
            pub tallies: Tallies,
        }

        /// Their values at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// The values now; each is exact, together they may be a moment apart.
            #[must_use]
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.read(),)* }
            }
        }

        impl std::ops::AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)*
            }
        }
    };
}

counters! {
    /// Client connections accepted.
    clients,
    /// Client connections ended.
    clients_ended,
    /// TLS handshakes completed with clients.
    handshakes,
    /// Of these, sessions that were resumed.
    handshakes_resumed,
    /// Of the completed, those with a cipher suite of old Windows: ECDHE-RSA-AES128-SHA256.
    handshakes_aes128_sha256,
    /// ECDHE-RSA-AES256-SHA.
    handshakes_aes256_sha,
    /// ECDHE-RSA-AES128-SHA.
    handshakes_aes128_sha,
    /// ECDHE-RSA-AES256-SHA384.
    handshakes_aes256_sha384,
    /// TLS handshakes with servers with a cipher suite of old Windows: ECDHE-RSA-AES128-SHA256.
    upstream_aes128_sha256,
    /// ECDHE-RSA-AES256-SHA.
    upstream_aes256_sha,
    /// ECDHE-RSA-AES128-SHA.
    upstream_aes128_sha,
    /// ECDHE-RSA-AES256-SHA384.
    upstream_aes256_sha384,
    /// TLS handshakes with clients that failed.
    handshakes_failed,
    /// Connections that were closed unanswered, since `handshakes_max` were under way.
    handshakes_refused,
    /// Clients beyond a limit, whether they were told so or just closed.
    clients_refused,
    /// Of these, beyond `clients_max`.
    refused_clients_max,
    /// Beyond `clients_per_address_max`.
    refused_per_address,
    /// Since buffers took up as much as `memory_max` allows.
    refused_memory,
    /// For want of file descriptors.
    refused_descriptors,
    /// Exchanges ended, whatever their status.
    exchanges,
    /// Exchanges that a Failure ended.
    failures,
    /// Upstream connections opened.
    dials,
    /// Exchanges that went over an upstream connection that had served before.
    reuses,
    /// Upstream connections tied to one client.
    pins,
    /// Tunnels opened by an upgrade.
    tunnels,
    /// Tunnels ended; those that are open now are the difference.
    tunnels_ended,
    /// Body and head bytes that clients sent us.
    bytes_in,
    /// Body and head bytes that clients got from us.
    bytes_out,
    /// Access records that the full queue to the log thread did not take.
    records_dropped,
    /// Connections that ended by a panic of ours.
    panics,
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the worker that owns it may.
    #[inline]
    pub fn add(&self, count: u64) {
        // One writer: a load and a store are enough, and cheaper than a locked addition.
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(count), Ordering::Relaxed);
    }

    /// Its value now.
    #[inline]
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
