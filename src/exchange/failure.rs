//! Why an exchange did not succeed, by who has to change something. The one place where a failure
//! becomes a status code and a log word.

use crate::http::Malformed;

/// The party that has to change something, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client, or who configured it.
    Client(ClientFault),
    /// The server, its network, or what the file says about it.
    Upstream(UpstreamFault),
    /// This box: its limits, its file.
    Proxy(ProxyFault),
}

/// What the client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// Its request is ambiguous or breaks the protocol.
    Malformed(Malformed),
    /// The path cannot be judged safely: broken escapes, above the root, decoded twice.
    BadPath,
    /// The head was not complete in time.
    SlowHead,
    /// Nothing of a due body came in time, or it came slower than `client_rate_min`.
    SlowBody,
    /// It did not take its answer in time, or took it slower than `client_rate_min`.
    SlowReader,
    /// It closed or reset the connection before the exchange had ended.
    Left,
    /// The body is longer than `body_bytes_max`.
    BodyTooLong,
    /// No site has the asked name on this listener, or TLS was set up for another site.
    Misdirected,
    /// The site has no rule for this path.
    NoRule,
    /// The site is not for clients with its address.
    AddressRefused,
    /// More connections from its address than `clients_per_address_max`.
    TooManyFromAddress,
    /// Too many wrong passwords of this user.
    UserLocked,
    /// Too many wrong passwords from its address.
    AddressLocked,
    /// Too many POSTs for web tickets from its address.
    TooManyTickets,
    /// It speaks nothing newer than TLS 1.1.
    TlsTooOld,
    /// It knows no cipher suite that the listener offers.
    NoCommonSuite,
}

/// What the server, or the way to it, did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFault {
    /// No server of the pool may be asked: probes say that they are down, or the operator has taken
    /// them out.
    AllDown,
    /// It refused the connection.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// The connection was not set up in time.
    SlowConnect,
    /// TLS could not be set up: certificate, name, protocol.
    TlsFailed,
    /// It closed the connection before an answer.
    ClosedBeforeHead,
    /// Its answer did not begin in time.
    SlowHead,
    /// Its answer breaks the protocol.
    Malformed(Malformed),
    /// Its answer ended before its end.
    Truncated,
    /// Its answer stopped coming.
    SlowBody,
    /// A connection that belongs to a logged-in client ended.
    PinLost,
}

/// What this box lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// No file descriptor is left.
    NoDescriptors,
    /// No port is left for another connection to the server.
    NoPorts,
    /// More clients than `clients_max`.
    TooManyClients,
    /// The pool has no server with an address.
    NoServer,
    /// Buffers take up as much as `memory_max` allows.
    MemoryFull,
}

impl Failure {
    /// The status that the client gets, if it can still get one.
    ///
    /// 502 makes Lync's mobile clients throw away what they know about their home server, so it
    /// stands only where nothing else is true; trouble that passes is 503 or 504.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Client(fault) => match fault {
                ClientFault::Malformed(malformed) => malformed.status(),
                ClientFault::BadPath => 400,
                ClientFault::SlowHead | ClientFault::SlowBody => 408,
                ClientFault::SlowReader | ClientFault::Left => 499,
                ClientFault::BodyTooLong => 413,
                ClientFault::Misdirected => 421,
                ClientFault::NoRule => 404,
                ClientFault::AddressRefused => 403,
                ClientFault::TooManyFromAddress
                | ClientFault::UserLocked
                | ClientFault::AddressLocked
                | ClientFault::TooManyTickets => 429,
                ClientFault::TlsTooOld | ClientFault::NoCommonSuite => 400,
            },
            Self::Upstream(fault) => match fault {
                UpstreamFault::AllDown
                | UpstreamFault::Refused
                | UpstreamFault::Unreachable
                | UpstreamFault::TlsFailed
                | UpstreamFault::ClosedBeforeHead
                | UpstreamFault::PinLost => 503,
                UpstreamFault::SlowConnect | UpstreamFault::SlowHead | UpstreamFault::SlowBody => {
                    504
                }
                UpstreamFault::Malformed(_) | UpstreamFault::Truncated => 502,
            },
            Self::Proxy(fault) => match fault {
                ProxyFault::NoDescriptors
                | ProxyFault::NoPorts
                | ProxyFault::TooManyClients
                | ProxyFault::NoServer
                | ProxyFault::MemoryFull => 503,
            },
        }
    }

    /// The word that stands for it in the log and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Client(fault) => match fault {
                ClientFault::Malformed(malformed) => malformed.word(),
                ClientFault::BadPath => "bad_path",
                ClientFault::SlowHead => "client_slow_head",
                ClientFault::SlowBody => "client_slow_body",
                ClientFault::SlowReader => "client_slow_reader",
                ClientFault::Left => "client_left",
                ClientFault::BodyTooLong => "body_too_long",
                ClientFault::Misdirected => "misdirected",
                ClientFault::NoRule => "no_rule",
                ClientFault::AddressRefused => "address_refused",
                ClientFault::TooManyFromAddress => "too_many_from_address",
                ClientFault::UserLocked => "user_locked",
                ClientFault::AddressLocked => "address_locked",
                ClientFault::TooManyTickets => "too_many_tickets",
                ClientFault::TlsTooOld => "client_tls_too_old",
                ClientFault::NoCommonSuite => "client_no_common_suite",
            },
            Self::Upstream(fault) => match fault {
                UpstreamFault::AllDown => "all_down",
                UpstreamFault::Refused => "upstream_refused",
                UpstreamFault::Unreachable => "upstream_unreachable",
                UpstreamFault::SlowConnect => "upstream_slow_connect",
                UpstreamFault::TlsFailed => "upstream_tls_failed",
                UpstreamFault::ClosedBeforeHead => "upstream_closed",
                UpstreamFault::SlowHead => "upstream_slow_head",
                UpstreamFault::Malformed(malformed) => malformed.word(),
                UpstreamFault::Truncated => "upstream_truncated",
                UpstreamFault::SlowBody => "upstream_slow_body",
                UpstreamFault::PinLost => "pin_lost",
            },
            Self::Proxy(fault) => match fault {
                ProxyFault::NoDescriptors => "no_descriptors",
                ProxyFault::NoPorts => "no_ports",
                ProxyFault::TooManyClients => "too_many_clients",
                ProxyFault::NoServer => "no_server",
                ProxyFault::MemoryFull => "memory_full",
            },
        }
    }

    /// Who has to change something: `client`, `upstream` or `proxy`.
    #[must_use]
    pub fn party(self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Upstream(_) => "upstream",
            Self::Proxy(_) => "proxy",
        }
    }

    /// Whether the bytes that follow on the client's connection cannot be trusted to be a request.
    #[must_use]
    pub fn spoils_connection(self) -> bool {
        match self {
            Self::Client(
                ClientFault::BadPath
                | ClientFault::NoRule
                | ClientFault::Misdirected
                | ClientFault::AddressRefused
                | ClientFault::UserLocked
                | ClientFault::AddressLocked
                | ClientFault::TooManyTickets,
            ) => false,
            Self::Client(_) | Self::Proxy(_) => true,
            Self::Upstream(_) => false,
        }
    }
}
