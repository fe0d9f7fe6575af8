//! The keys of limits, time-outs, the log and the admin plane.

use super::Otherwise::{Value, Words};
use super::{Key, Kind, key, table};

const COUNT: u64 = u32::MAX as u64;
const SITE: &[&str] = &["site.*"];
const POOL: &[&str] = &["pool.*"];
const BOTH: &[&str] = &["pool.*", "site.*"];

pub(super) const KEYS: &[Key] = &[
    table("limits", Kind::Table, "What is refused. Each limit holds over all workers together.").stronger(SITE),
    key("limits.clients_max", Kind::Size(1, COUNT), Value("\"auto\""),
        "Client connections. auto comes from the limit of open files. Who comes when it is full gets 503.", "20000")
        .words(&["auto"]),
    key("limits.clients_per_address_max", Kind::Size(1, COUNT), Value("500"),
        "Client connections of one address; an IPv6 network of 64 bits counts as one. Who comes beyond gets 429.", "500")
        .when("Raise it when many users come through one address."),
    key("limits.handshakes_max", Kind::Size(1, COUNT), Value("512"),
        "TLS handshakes under way at a time; connections beyond are closed at once.", "512"),
    key("limits.head_bytes_max", Kind::Size(256, 16 << 20), Value("32768"),
        "Start line and fields of a request together; more is answered with 431.", "131072")
        .stronger(SITE)
        .when("Windows authentication of users in many groups needs 131072."),
    key("limits.field_bytes_max", Kind::Size(256, 16 << 20), Value("16384"),
        "One field of a request; more is answered with 431.", "65536")
        .stronger(SITE)
        .when("Windows authentication of users in many groups needs 65536."),
    key("limits.target_bytes_max", Kind::Size(256, 16 << 20), Value("16384"),
        "Path and query of a request; more is answered with 414.", "16384")
        .stronger(SITE),
    key("limits.fields_max", Kind::Size(1, 256), Value("128"),
        "Fields of a request; more is answered with 431.", "128")
        .stronger(SITE),
    key("limits.body_bytes_max", Kind::Size(0, u64::MAX), Value("\"none\""),
        "The body of a request; more is answered with 413.", "\"100MB\"")
        .words(&["none"])
        .stronger(SITE),
    key("limits.memory_max", Kind::Size(1 << 20, u64::MAX), Value("\"auto\""),
        "Memory for all buffers together; auto is a quarter of the machine's. While it is full, what is new gets 503.", "\"2GB\"")
        .words(&["auto"]),
    key("limits.client_rate_min", Kind::Rate, Value("\"500B/s\""),
        "Bytes a second that a client has to send or take, on the average of 30 s, while it is the one who is waited for; off: any rate will do. A slow upload gets 408, a slow download is reset.", "\"500B/s\"")
        .words(&["off"]),
    table("timeouts", Kind::Table, "How long things may take.").stronger(BOTH),
    key("timeouts.handshake", Kind::Duration, Value("\"10s\""),
        "A client's TLS handshake.", "\"10s\""),
    key("timeouts.client_head", Kind::Duration, Value("\"10s\""),
        "The head of a request, from its first byte; then 408.", "\"10s\""),
    key("timeouts.client_idle", Kind::Duration, Value("\"120s\""),
        "How long a client connection is kept between two requests.", "\"120s\"")
        .stronger(SITE),
    key("timeouts.client_body_idle", Kind::Duration, Value("\"60s\""),
        "How long nothing may come of a request body that is due; then 408.", "\"60s\"")
        .stronger(BOTH),
    key("timeouts.client_write_idle", Kind::Duration, Value("\"60s\""),
        "How long a client may take nothing of its answer; then the connection is reset.", "\"60s\"")
        .stronger(BOTH),
    key("timeouts.connect", Kind::Duration, Value("\"5s\""),
        "Setting up a connection to a server, with TLS; then the next server is tried.", "\"5s\"")
        .stronger(BOTH),
    key("timeouts.response_head", Kind::Duration, Value("\"1860s\""),
        "How long a server may think before its answer begins; then 504.", "\"1860s\"")
        .stronger(BOTH)
        .when("Lync holds polls for up to 1800 s. For applications without such polls, 60s lets users know sooner."),
    key("timeouts.response_body_idle", Kind::Duration, Value("\"1860s\""),
        "How long an answer that has begun may stop coming.", "\"1860s\"")
        .stronger(BOTH),
    key("timeouts.tunnel_idle", Kind::Duration, Value("\"1860s\""),
        "How long a WebSocket may be silent in both directions.", "\"1860s\"")
        .stronger(BOTH),
    key("timeouts.upstream_idle", Kind::Duration, Value("\"100s\""),
        "How long an idle upstream connection is kept for reuse.", "\"100s\"")
        .stronger(POOL)
        .when("Keep it below the server's own time-out: IIS closes at 120 s."),
    key("timeouts.tcp_keepalive", Kind::Duration, Value("\"120s\""),
        "How long a connection may be silent before the kernel asks whether the other side is still there, and how long it may leave bytes unacknowledged.", "\"120s\"")
        .stronger(POOL)
        .when("Shorten it when a firewall between forgets silent connections sooner."),
    key("timeouts.drain", Kind::Duration, Value("\"30s\""),
        "How long running requests may go on after the service was told to stop.", "\"30s\"")
        .when("Keep it below TimeoutStopSec of the service."),
    table("log", Kind::Table, "What is written down about requests."),
    key("log.access", Kind::Places, Value("[\"json:/var/log/gatehouse/access.log\"]"),
        "Where a line for each request goes, and in which form.", "[\"json:/var/log/gatehouse/access.log\", \"combined:stdout\"]")
        .words(&["off", "json:stdout", "combined:stdout", "json:journald", "combined:syslog"]),
    key("log.query", Kind::Choice, Value("\"drop\""),
        "What stands behind the `?` of a request: its length only, or all of it.", "\"keep\"")
        .words(&["drop", "keep"])
        .when("Queries can hold secrets: keep them only while you look for something."),
    key("log.rotate", Kind::Inline, Words("bytes = \"100MB\", files = 10"),
        "When a new file is begun.", "{ bytes = \"100MB\", files = 10 }"),
    key("log.rotate.bytes", Kind::Size(65_536, 1 << 40), Value("\"100MB\""),
        "The size at which a new file is begun.", "\"100MB\""),
    key("log.rotate.files", Kind::Number(0, 10_000), Value("10"),
        "How many old files are kept; with 0 the file is emptied.", "10"),
    table("admin", Kind::Table, "Where the box is asked and told things while it runs. Never on the external adapter."),
    key("admin.socket", Kind::File, Value("\"/run/gatehouse/admin.sock\""),
        "The local socket that `gatehouse reload` and `gatehouse status` ask; for root and the service's own user.", "\"/run/gatehouse/admin.sock\""),
    key("admin.adapter", Kind::Name("adapter"), Words("internal if `port` is written; without both nothing is served"),
        "The adapter, internal or management, on which `/metrics` (Prometheus) and `/healthz` are served by HTTP.", "\"management\"")
        .when("To watch the box from elsewhere. Ask by the adapter's address: other names are answered with 421."),
    key("admin.port", Kind::Number(1, 65_535), Words("9443 if `adapter` is written"),
        "Its port.", "9443"),
];
