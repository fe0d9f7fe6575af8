//! A snapshot as Prometheus reads it: text format 0.0.4, seconds and bytes.
//!
//! How many series there can be is bounded: [`NUMBERS_MAX`](super::NUMBERS_MAX) sites and servers,
//! [`CAUSES_MAX`](super::CAUSES_MAX) failures of each, of which only those are written that
//! there were, and buckets with fixed bounds.
//!
//! Measured with 1,000 sites and as many pools, all with traffic, two workers: 3.9 MB, 26 ms of a
//! thread of its own, and no time of a worker beyond what it takes when idle (less than 3 µs).

use std::fmt::Write;

use super::latency::Latencies;
use super::snapshot::{STATES, ServerNow, Snapshot, UP};
use super::tally::{CLASSES, Sum};

/// The `Content-Type` of this text.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of `snapshot`.
#[must_use]
pub fn metrics(snapshot: &Snapshot) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    process(&mut text, snapshot);
    limits(&mut text, snapshot);
    traffic(&mut text, snapshot);
    own_log(&mut text, snapshot);
    certificates(&mut text, snapshot);
    sites(&mut text, snapshot);
    servers(&mut text, snapshot);
    text.0
}

/// Label names with values.
type Labels<'l> = &'l [(&'l str, &'l str)];

struct Text(String);

impl Text {
    /// Begins a family. What is written into a text cannot fail.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            self.escaped(value);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn escaped(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// One counter with a value for each word of one label.
    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.family(name, "counter", help);
        for (word, value) in values {
            self.sample(name, &[(label, word)], value);
        }
    }

    fn histogram(&mut self, name: &str, labels: Labels<'_>, latency: &Latencies) {
        let bucket = format!("{name}_bucket");
        let with = |bound: &str, text: &mut Self, count: u64| {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            text.sample(&bucket, &labels, count);
        };
        for power in Latencies::BOUNDS {
            with(&2_f64.powi(power).to_string(), self, latency.below(power));
        }
        with("+Inf", self, latency.count());
        self.sample(&format!("{name}_sum"), labels, Seconds(latency.micros));
        self.sample(&format!("{name}_count"), labels, latency.count());
    }

    /// Exchanges by class of status, as far as there were any.
    fn classes(&mut self, name: &str, labels: Labels<'_>, sum: &Sum) {
        for (class, count) in CLASSES.iter().zip(sum.classes).filter(|(_, count)| *count > 0) {
            let mut labels = labels.to_vec();
            labels.push(("class", class));
            self.sample(name, &labels, count);
        }
    }

    fn failures(&mut self, name: &str, labels: Labels<'_>, sum: &Sum) {
        for ((word, party), count) in &sum.failures {
            let mut labels = labels.to_vec();
            labels.extend([("failure", *word), ("fault_of", *party)]);
            self.sample(name, &labels, count);
        }
    }
}

/// Microseconds, written as seconds without loss.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

fn process(text: &mut Text, now: &Snapshot) {
    let name = "gatehouse_info";
    text.family(name, "gauge", "Version, and what the kernel granted to the rings; always 1.");
    text.sample(name, &[("version", now.version), ("ring_flags", &now.ring_flags)], 1);
    text.gauge(
        "gatehouse_start_time_seconds",
        "When the process started, since 1970.",
        now.started,
    );
    text.gauge(
        "gatehouse_config_generation",
        "Number of the file in force since the start.",
        now.generation,
    );
    text.gauge(
        "gatehouse_config_in_force_timestamp_seconds",
        "Since when the file is in force, since 1970.",
        now.in_force_since,
    );
    text.gauge(
        "gatehouse_config_last_reload_taken",
        "1 if the last file that was read was taken, 0 if it was refused and the one before stays.",
        u8::from(now.last_refusal.is_none()),
    );
    text.counters(
        "gatehouse_config_reloads_total",
        "Files that were read again, by what came of it.",
        "result",
        &[("taken", now.reloads_taken), ("refused", now.reloads_refused)],
    );
    text.gauge("gatehouse_draining", "1 while the process is ending.", u8::from(now.draining));
    text.gauge("gatehouse_workers", "Workers that accept clients.", now.workers);
    text.counter(
        "gatehouse_worker_restarts_total",
        "Workers that ended by a fault of ours and were replaced.",
        now.restarts,
    );
    text.counter(
        "gatehouse_panics_total",
        "Connections that ended by a fault of ours.",
        now.counts.panics,
    );
    text.gauge(
        "gatehouse_listeners",
        "Addresses that clients are accepted on.",
        now.listeners.len(),
    );
}

fn limits(text: &mut Text, now: &Snapshot) {
    for (name, help, value) in [
        ("gatehouse_clients", "Clients connected now.", now.clients.0),
        ("gatehouse_clients_max", "The most clients: limits.clients_max.", now.clients.1),
        ("gatehouse_handshakes_under_way", "TLS handshakes under way now.", now.handshakes.0),
        (
            "gatehouse_handshakes_max",
            "The most handshakes at a time: limits.handshakes_max.",
            now.handshakes.1,
        ),
        (
            "gatehouse_memory_held_bytes",
            "Memory that buffers and sessions take up now.",
            now.memory.0,
        ),
        (
            "gatehouse_memory_max_bytes",
            "The most memory for them: limits.memory_max.",
            now.memory.1,
        ),
    ] {
        text.gauge(name, help, value);
    }
    let counts = &now.counts;
    text.counters(
        "gatehouse_clients_refused_total",
        "Clients that were not let in, by what was full.",
        "limit",
        &[
            ("clients_max", counts.refused_clients_max),
            ("clients_per_address_max", counts.refused_per_address),
            ("handshakes_max", counts.handshakes_refused),
            ("memory_max", counts.refused_memory),
            ("file_descriptors", counts.refused_descriptors),
        ],
    );
    if let Some((overflows, drops)) = now.kernel_listen {
        text.counter(
            "gatehouse_kernel_listen_overflows_total",
            "Connections that the kernel lost since a listener's queue was full: all programs of this machine, since it started.",
            overflows,
        );
        text.counter(
            "gatehouse_kernel_listen_drops_total",
            "Connections to listeners that the kernel lost for any reason: all programs of this machine, since it started.",
            drops,
        );
    }
}

fn traffic(text: &mut Text, now: &Snapshot) {
    let counts = &now.counts;
    for (name, help, value) in [
        ("gatehouse_clients_total", "Client connections accepted.", counts.clients),
        (
            "gatehouse_handshakes_resumed_total",
            "Handshakes that took a session up again.",
            counts.handshakes_resumed,
        ),
        (
            "gatehouse_upstream_connects_total",
            "Connections to servers that were begun.",
            counts.dials,
        ),
        (
            "gatehouse_upstream_reuses_total",
            "Exchanges over a connection to a server that had served before.",
            counts.reuses,
        ),
        (
            "gatehouse_pins_total",
            "Connections to servers that were tied to one logged-in client.",
            counts.pins,
        ),
        ("gatehouse_tunnels_total", "Tunnels (WebSocket) that were opened.", counts.tunnels),
        ("gatehouse_received_bytes_total", "Bytes of requests.", counts.bytes_in),
        ("gatehouse_sent_bytes_total", "Bytes of answers.", counts.bytes_out),
    ] {
        text.counter(name, help, value);
    }
    text.counters(
        "gatehouse_handshakes_total",
        "TLS handshakes with clients, by how they ended.",
        "result",
        &[("ok", counts.handshakes), ("failed", counts.handshakes_failed)],
    );
    text.counters(
        "gatehouse_old_suite_handshakes_total",
        "Of the handshakes with clients that ended ok, those with a cipher suite of old Windows, by suite.",
        "suite",
        &[
            ("ECDHE-RSA-AES128-SHA256", counts.handshakes_aes128_sha256),
            ("ECDHE-RSA-AES256-SHA", counts.handshakes_aes256_sha),
            ("ECDHE-RSA-AES128-SHA", counts.handshakes_aes128_sha),
            ("ECDHE-RSA-AES256-SHA384", counts.handshakes_aes256_sha384),
        ],
    );
    text.counters(
        "gatehouse_upstream_old_suite_handshakes_total",
        "TLS handshakes with servers with a cipher suite of old Windows, by suite.",
        "suite",
        &[
            ("ECDHE-RSA-AES128-SHA256", counts.upstream_aes128_sha256),
            ("ECDHE-RSA-AES256-SHA", counts.upstream_aes256_sha),
            ("ECDHE-RSA-AES128-SHA", counts.upstream_aes128_sha),
            ("ECDHE-RSA-AES256-SHA384", counts.upstream_aes256_sha384),
        ],
    );
    text.gauge(
        "gatehouse_tunnels",
        "Tunnels open now.",
        counts.tunnels.saturating_sub(counts.tunnels_ended),
    );
}

fn own_log(text: &mut Text, now: &Snapshot) {
    for (name, help, value) in [
        (
            "gatehouse_log_records_dropped_total",
            "Lines of the access log that were never written since the log thread did not keep up.",
            now.counts.records_dropped,
        ),
        (
            "gatehouse_log_lines_lost_total",
            "Lines that a file or log service did not take.",
            now.lines_lost.0,
        ),
        ("gatehouse_notices_total", "Sentences for the service's own log.", now.notices.0),
        (
            "gatehouse_notices_dropped_total",
            "Of these, left out since too many waited.",
            now.notices.1,
        ),
    ] {
        text.counter(name, help, value);
    }
    let name = "gatehouse_log_in_guard_driven_out_total";
    text.counter(
        name,
        "Users or addresses whose wrong passwords were forgotten since more than 65536 were counted at a time.",
        now.guard_driven_out,
    );
}

fn certificates(text: &mut Text, now: &Snapshot) {
    let name = "gatehouse_certificate_expiry_seconds";
    text.family(name, "gauge", "Seconds until a certificate ends; below 0 it has ended.");
    for (certificate, ends) in &now.certificates {
        let left = i128::from(*ends) - i128::from(now.now);
        text.sample(name, &[("certificate", certificate)], left);
    }
}

/// Names, each with its help.
type Family<'f> = (&'f str, &'f str);

/// What was counted for each of `all`, sites or servers, with the labels that tell it apart:
/// exchanges by class, those that failed by why, and times.
fn sums(
    text: &mut Text,
    all: &[(Labels<'_>, &Sum)],
    [exchanges, failures, times]: [Family<'_>; 3],
) {
    text.family(exchanges.0, "counter", exchanges.1);
    for (labels, sum) in all {
        text.classes(exchanges.0, labels, sum);
    }
    text.family(failures.0, "counter", failures.1);
    for (labels, sum) in all {
        text.failures(failures.0, labels, sum);
    }
    text.family(times.0, "histogram", times.1);
    for (labels, sum) in all.iter().filter(|(_, sum)| sum.latency.count() > 0) {
        text.histogram(times.0, labels, &sum.latency);
    }
}

fn sites(text: &mut Text, now: &Snapshot) {
    let labels: Vec<_> = now.sites.iter().map(|site| [("site", site.name.as_str())]).collect();
    let counted = labels.iter().zip(&now.sites).map(|(labels, site)| (&labels[..], &site.sum));
    sums(
        text,
        &counted.collect::<Vec<_>>(),
        [
            (
                "gatehouse_exchanges_total",
                "Exchanges by site (empty: of none) and class of status (none: not even that was sent).",
            ),
            (
                "gatehouse_failures_total",
                "Exchanges that failed, by why and by who has to change something; `gatehouse explain WORD` says more.",
            ),
            (
                "gatehouse_exchange_seconds",
                "From the end of a request's head to the end of its answer; without tunnels.",
            ),
        ],
    );
}

fn labels_of(server: &ServerNow) -> [(&str, &str); 2] {
    [("pool", &server.pool), ("server", &server.address)]
}

fn health(text: &mut Text, now: &Snapshot) {
    let in_force = || now.servers.iter().filter(|server| server.in_flight.is_some());
    let name = "gatehouse_server_state";
    text.family(
        name,
        "gauge",
        "1 for the state that a server is in (up, left out, down, drained), 0 for the others.",
    );
    for server in in_force() {
        for state in STATES {
            let [pool, address] = labels_of(server);
            let labels = [pool, address, ("state", state)];
            text.sample(name, &labels, u8::from(server.health.state == state));
        }
    }
    let name = "gatehouse_server_pinned";
    text.family(name, "gauge", "Connections to a server that are tied to one logged-in client.");
    for server in in_force() {
        text.sample(name, &labels_of(server), server.pinned);
    }
    let name = "gatehouse_pool_servers_up";
    text.family(
        name,
        "gauge",
        "Servers of a pool that are up, backups too; 0 too if none has an address.",
    );
    let by_pool = now.servers_by_pool();
    for pool in &now.pools {
        let ours = by_pool.get(pool.as_str()).into_iter().flatten();
        let is_up = |it: &&&ServerNow| it.in_flight.is_some() && it.health.state == UP;
        let up = ours.filter(is_up).count();
        text.sample(name, &[("pool", pool)], up);
    }
    text.gauge(
        "gatehouse_names_in_trouble",
        "Names of servers that have no answer, or lead back to this box.",
        now.names.len(),
    );
}

fn servers(text: &mut Text, now: &Snapshot) {
    let name = "gatehouse_server_in_flight";
    text.family(name, "gauge", "Exchanges under way at a server.");
    for server in &now.servers {
        if let Some(in_flight) = server.in_flight {
            text.sample(name, &labels_of(server), in_flight);
        }
    }
    health(text, now);
    let labels: Vec<_> = now.servers.iter().map(labels_of).collect();
    let counted = labels.iter().zip(&now.servers).map(|(labels, one)| (&labels[..], &one.sum));
    let counted: Vec<_> = counted.collect();
    let name = "gatehouse_server_unreached_total";
    text.family(
        name,
        "counter",
        "Connections to a server that could not be set up, by TCP or TLS.",
    );
    for (labels, sum) in counted.iter().filter(|(_, sum)| sum.unreached > 0) {
        text.sample(name, labels, sum.unreached);
    }
    sums(
        text,
        &counted,
        [
            (
                "gatehouse_server_exchanges_total",
                "Exchanges by the server that was asked last, and class of the status that the client got.",
            ),
            ("gatehouse_server_failures_total", "The same that failed, by why."),
            (
                "gatehouse_server_first_byte_seconds",
                "From the end of a request's head to the first byte of a server's answer.",
            ),
        ],
    );
}
