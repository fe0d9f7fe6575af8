//! What the operator's file says, with positions: plain types that judge nothing.
//!
//! A value is here because it was written, not because it makes sense; whatever is `None` was not
//! written. `config/` decides what it means and words every complaint.

mod effective;
pub mod keys;
mod place;
mod read;
mod table;
mod twice;

pub use effective::{FileText, effective, one_line};
pub use place::{At, Files, Place, Written};
#[cfg(test)]
use read::asked;
pub use read::read;

/// The whole of what was written.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// `include`
    pub include: Texts,
    /// `[adapter.NAME]`
    pub adapters: Vec<Named<Adapter>>,
    /// `[resolver]`
    pub resolver: Resolver,
    /// `[workers] count`
    pub worker_count: Option<Written<Scalar>>,
    /// `[listener.NAME]`
    pub listeners: Vec<Named<Listener>>,
    /// `[certificate.NAME]`
    pub certificates: Vec<Named<Certificate>>,
    /// `[pool.NAME]`
    pub pools: Vec<Named<Pool>>,
    /// `[site.NAME]`
    pub sites: Vec<Named<Site>>,
    /// `[limits]`
    pub limits: Limits,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Admin,
    /// `[errors]`: a status, or `default`, and a file.
    pub errors: Vec<Named<Written<String>>>,
    /// Every key that was written, as a pattern in which names are `*`: `pool.*.probe`.
    pub keys: Vec<Written<String>>,
}

/// A table that carries a name in its header.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// The name and where it stands.
    pub name: Written<String>,
    /// What is in the table.
    pub table: T,
}

/// Text or a number: what sizes, lengths of time and `"auto"` are written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// In quotes.
    Text(String),
    /// A bare integer.
    Number(i64),
}

/// Several texts, and where the list stands.
pub type Texts = Option<Written<Vec<Written<String>>>>;
/// A text.
pub type Text = Option<Written<String>>;
/// A whole number.
pub type Number = Option<Written<i64>>;
/// Yes or no.
pub type Flag = Option<Written<bool>>;
/// A text or a number.
pub type Amount = Option<Written<Scalar>>;

/// `[adapter.NAME]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Adapter {
    pub interface: Text,
    pub mac: Text,
    pub addresses: Texts,
    pub gateway: Text,
    pub routes: Texts,
}

/// `[resolver]`
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// Servers to ask.
    pub servers: Texts,
    /// Names that need no asking.
    pub hosts: Vec<Named<Vec<Written<String>>>>,
}

/// `[listener.NAME]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Listener {
    pub adapter: Text,
    pub port: Number,
    pub published_port: Number,
    pub tls: Flag,
    pub profile: Text,
    pub certificate: Texts,
}

/// `[certificate.NAME]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    pub chain: Text,
    pub key: Text,
}

/// `[pool.NAME]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub adapter: Text,
    pub servers: Option<Written<Vec<Written<Server>>>>,
    pub backup: Option<Written<Vec<Written<Server>>>>,
    pub balance: Text,
    pub affinity: Option<Written<Affinity>>,
    pub idle_max: Number,
    pub tls: Option<Written<PoolTls>>,
    pub probe: Option<Written<Probe>>,
    pub timeouts: Timeouts,
}

/// An entry of `servers` or `backup`.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// `host:port`
    pub address: Text,
    /// Its share of the load.
    pub weight: Number,
}

/// `affinity`
#[derive(Clone, Debug)]
pub enum Affinity {
    /// `"none"`, `"source"`
    Word(String),
    /// `{ cookie = "…" }`
    Cookie(Text),
}

/// `[pool.NAME.tls]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct PoolTls {
    pub ca: Text,
    pub server_name: Text,
    pub sni: Text,
    pub pin_sha256: Texts,
    pub profile: Text,
    pub sha384_suite: Flag,
}

/// `[pool.NAME.probe]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Probe {
    pub tcp: Number,
    pub http: Option<Written<ProbeHttp>>,
    pub every: Amount,
    pub timeout: Amount,
    pub fall: Number,
    pub rise: Number,
    pub all_down: Text,
}

/// `http = { … }`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct ProbeHttp {
    pub path: Text,
    pub host: Text,
    pub expect: Number,
}

/// `[site.NAME]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Site {
    pub names: Texts,
    pub listeners: Texts,
    pub certificate: Texts,
    pub redirect_http: Flag,
    pub path_check: Text,
    pub forwarded: Text,
    pub allow: Texts,
    pub deny: Texts,
    pub rules: Vec<Written<Rule>>,
    pub errors: Vec<Named<Written<String>>>,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub log_in_guard: Option<Written<LogInGuard>>,
}

/// `[site.NAME.log_in_guard]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct LogInGuard {
    pub user_refused_max: Number,
    pub address_refused_max: Number,
    pub window: Amount,
    pub tickets_per_minute: Number,
}

/// `[[site.NAME.rule]]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub name: Text,
    pub path: Text,
    pub pool: Text,
    pub refuse: Number,
    pub redirect: Text,
    pub redirect_status: Number,
    pub respond: Option<Written<Respond>>,
}

/// `respond = { … }`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Respond {
    pub status: Number,
    pub body: Text,
    pub content_type: Text,
}

/// `[limits]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub clients_max: Amount,
    pub clients_per_address_max: Amount,
    pub handshakes_max: Amount,
    pub head_bytes_max: Amount,
    pub field_bytes_max: Amount,
    pub target_bytes_max: Amount,
    pub fields_max: Amount,
    pub body_bytes_max: Amount,
    pub memory_max: Amount,
    pub client_rate_min: Amount,
}

/// `[timeouts]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Timeouts {
    pub handshake: Amount,
    pub client_head: Amount,
    pub client_idle: Amount,
    pub client_body_idle: Amount,
    pub client_write_idle: Amount,
    pub connect: Amount,
    pub response_head: Amount,
    pub response_body_idle: Amount,
    pub tunnel_idle: Amount,
    pub upstream_idle: Amount,
    pub tcp_keepalive: Amount,
    pub drain: Amount,
}

/// `[log]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub access: Texts,
    pub query: Text,
    pub rotate: Option<Written<Rotate>>,
}

/// `rotate = { … }`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Rotate {
    pub bytes: Amount,
    pub files: Number,
}

/// `[admin]`
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Debug, Default)]
pub struct Admin {
    pub socket: Text,
    pub adapter: Text,
    pub port: Number,
}

/// What could not be taken into a [`Document`]. Facts; the wording is `config/complaint.rs`'s.
#[derive(Clone, Debug)]
pub enum Misread {
    /// Not TOML.
    Syntax {
        /// Where it stops making sense.
        at: At,
        /// What the parser of TOML says.
        message: String,
        /// What stands there.
        found: String,
    },
    /// A key or table that was there before.
    Twice {
        /// The second.
        at: At,
        /// The first, if it can be told.
        first: Option<At>,
        /// Its name.
        key: String,
    },
    /// A value of another type than the key takes.
    WrongType {
        /// The value.
        at: At,
        /// The key that it stands behind.
        key: String,
        /// What the key takes.
        expected: &'static str,
        /// What stands there.
        actual: &'static str,
    },
    /// A value where a table with a name of its own should be.
    NoName {
        /// The value.
        at: At,
        /// The key that it stands behind.
        key: String,
        /// What it would be the name of.
        kind: &'static str,
        /// What stands there.
        actual: &'static str,
    },
    /// A key that nobody asked for.
    UnknownKey {
        /// The key.
        at: At,
        /// It and its tables, with `*` for names.
        pattern: String,
        /// As written.
        key: String,
        /// What would have been understood here.
        known: Vec<&'static str>,
    },
}
