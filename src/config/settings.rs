//! `[workers]`, `[limits]`, `[timeouts]`, `[log]`.

use std::path::PathBuf;
use std::time::Duration;

use super::judge::Judge;
use super::{
    Access, AccessFormat, AccessTarget, FIELDS_MOST, Limits, Log, Timeouts, Workers, value,
};
use crate::document::{self, Amount, At, Scalar, Written};
use crate::site;

const LIMITS: site::Limits = site::Limits {
    head_bytes_max: 32_768,
    field_bytes_max: 16_384,
    target_bytes_max: 16_384,
    fields_max: 128,
    body_bytes_max: None,
};

/// No head is larger than this, whatever the operator would like: it is held in memory.
const HEAD_BYTES_MOST: u64 = 16 << 20;

/// Where systemd-journald takes messages of its own protocol.
const JOURNALD: &str = "/run/systemd/journal/socket";

/// Where the machine's syslog daemon takes messages.
const SYSLOG: &str = "/dev/log";

impl Judge<'_> {
    pub(super) fn workers(&mut self) -> Workers {
        match self.document.worker_count.as_ref() {
            None => Workers::Auto,
            Some(count) if is_word(count, "auto") => Workers::Auto,
            Some(count) => {
                let count = self.counted("count", Some(count), (1, 1_024));
                Workers::Count(count.unwrap_or(1) as u16)
            }
        }
    }

    /// What `table` says, and `otherwise` where it says nothing.
    pub(super) fn timeouts(&mut self, otherwise: Timeouts, table: &document::Timeouts) -> Timeouts {
        let t = table;
        Timeouts {
            handshake: self.time("handshake", &t.handshake, otherwise.handshake),
            client_head: self.time("client_head", &t.client_head, otherwise.client_head),
            client_idle: self.time("client_idle", &t.client_idle, otherwise.client_idle),
            client_body_idle: self.time(
                "client_body_idle",
                &t.client_body_idle,
                otherwise.client_body_idle,
            ),
            client_write_idle: self.time(
                "client_write_idle",
                &t.client_write_idle,
                otherwise.client_write_idle,
            ),
            connect: self.time("connect", &t.connect, otherwise.connect),
            response_head: self.time("response_head", &t.response_head, otherwise.response_head),
            response_body_idle: self.time(
                "response_body_idle",
                &t.response_body_idle,
                otherwise.response_body_idle,
            ),
            tunnel_idle: self.time("tunnel_idle", &t.tunnel_idle, otherwise.tunnel_idle),
            upstream_idle: self.time("upstream_idle", &t.upstream_idle, otherwise.upstream_idle),
            tcp_keepalive: self.time("tcp_keepalive", &t.tcp_keepalive, otherwise.tcp_keepalive),
            drain: self.time("drain", &t.drain, otherwise.drain),
        }
    }

    pub(super) fn time(&mut self, key: &str, written: &Amount, otherwise: Duration) -> Duration {
        let Some(written) = written else { return otherwise };
        value::duration(&written.value).unwrap_or_else(|| {
            self.faults.not_a_duration(written.at, key);
            otherwise
        })
    }

    pub(super) fn limits(&mut self) -> Limits {
        let table = &self.document.limits;
        let exchange = self.exchange_limits(LIMITS, table);
        let addresses = table.clients_per_address_max.as_ref();
        let per_address = self.counted("clients_per_address_max", addresses, COUNT);
        Limits {
            clients_max: self
                .unless(&table.clients_max, "auto", |judge, written| {
                    judge.counted("clients_max", Some(written), COUNT)
                })
                .map(|count| count as u32),
            clients_per_address_max: per_address.unwrap_or(500) as u32,
            handshakes_max: self
                .counted("handshakes_max", table.handshakes_max.as_ref(), COUNT)
                .unwrap_or(512) as u32,
            memory_max: self.unless(&table.memory_max, "auto", |judge, written| {
                judge.counted("memory_max", Some(written), (1 << 20, u64::MAX))
            }),
            client_rate_min: self.rate("client_rate_min", &table.client_rate_min, 500),
            exchange,
            largest: exchange,
        }
    }

    /// What `table` says, and `otherwise` where it says nothing.
    pub(super) fn exchange_limits(
        &mut self,
        otherwise: site::Limits,
        table: &document::Limits,
    ) -> site::Limits {
        let bytes = (256, HEAD_BYTES_MOST);
        let head = self.counted("head_bytes_max", table.head_bytes_max.as_ref(), bytes);
        let field = self.counted("field_bytes_max", table.field_bytes_max.as_ref(), bytes);
        let target = self.counted("target_bytes_max", table.target_bytes_max.as_ref(), bytes);
        let fields = self.counted("fields_max", table.fields_max.as_ref(), (1, FIELDS_MOST));
        let or = |count: Option<u64>, otherwise: u32| count.map_or(otherwise, |count| count as u32);
        let body_bytes_max = if table.body_bytes_max.is_none() {
            otherwise.body_bytes_max
        } else {
            self.unless(&table.body_bytes_max, "none", |judge, written| {
                judge.counted("body_bytes_max", Some(written), (0, u64::MAX))
            })
        };
        site::Limits {
            head_bytes_max: or(head, otherwise.head_bytes_max),
            field_bytes_max: or(field, otherwise.field_bytes_max),
            target_bytes_max: or(target, otherwise.target_bytes_max),
            fields_max: or(fields, otherwise.fields_max),
            body_bytes_max,
        }
    }

    fn unless<T>(
        &mut self,
        written: &Amount,
        word: &str,
        read: impl FnOnce(&mut Self, &Written<Scalar>) -> Option<T>,
    ) -> Option<T> {
        let written = written.as_ref().filter(|written| !is_word(written, word))?;
        read(self, written)
    }

    /// A size or count between two bounds, or a complaint.
    fn counted(
        &mut self,
        key: &str,
        written: Option<&Written<Scalar>>,
        (least, most): (u64, u64),
    ) -> Option<u64> {
        let written = written?;
        match value::size(&written.value) {
            Some(count) if (least..=most).contains(&count) => return Some(count),
            Some(_) => self.faults.out_of_range(written.at, key, least, most),
            None => self.faults.not_a_size(written.at, key),
        }
        None
    }

    fn rate(&mut self, key: &str, written: &Amount, otherwise: u64) -> u64 {
        let Some(written) = written else { return otherwise };
        if is_word(written, "off") {
            return 0;
        }
        value::rate(&written.value).unwrap_or_else(|| {
            self.faults.not_a_rate(written.at, key);
            otherwise
        })
    }

    pub(super) fn log(&mut self) -> Log {
        let table = &self.document.log;
        let (mut bytes, mut files) = (100_000_000, 10);
        if let Some(Written { value, .. }) = &table.rotate {
            let written = self.counted("bytes", value.bytes.as_ref(), (65_536, 1 << 40));
            bytes = written.unwrap_or(bytes);
            files = self.number("files", value.files.as_ref(), (0, 10_000)).unwrap_or(files);
        }
        let queries = [("drop", false), ("keep", true)];
        Log {
            access: self.access(),
            keep_query: self.choice("query", table.query.as_ref(), &queries),
            rotate: (bytes, files),
        }
    }

    fn access(&mut self) -> Vec<Access> {
        let Some(list) = &self.document.log.access else {
            let to = AccessTarget::File(PathBuf::from("/var/log/gatehouse/access.log"));
            return vec![Access { format: AccessFormat::Json, to }];
        };
        let mut access = Vec::new();
        for text in &list.value {
            if text.value == "off" {
                if list.value.len() > 1 {
                    self.faults.log_off_and_on(text.at);
                }
                continue;
            }
            let (format, to) = text.value.split_once(':').unwrap_or((&text.value, ""));
            let format = match format {
                "json" => AccessFormat::Json,
                "combined" => AccessFormat::Combined,
                _ => {
                    self.faults.not_a_log(text.at, &text.value);
                    continue;
                }
            };
            match self.access_target(text.at, to) {
                Some(to) => access.push(Access { format, to }),
                None => self.faults.not_a_log(text.at, &text.value),
            }
        }
        access
    }

    /// `stdout`, a path, or a service of this machine, whose socket may be named behind it.
    fn access_target(&self, at: At, text: &str) -> Option<AccessTarget> {
        let (service, socket) = match text.split_once(':') {
            Some((service, socket)) => (service, Some(socket)),
            None => (text, None),
        };
        let socket = |usual: &str| match socket {
            None => Some(PathBuf::from(usual)),
            Some(path) => path.contains('/').then(|| self.files.resolve(at, path)),
        };
        match service {
            "journald" => socket(JOURNALD).map(AccessTarget::Journald),
            "syslog" => socket(SYSLOG).map(AccessTarget::Syslog),
            "stdout" => (text == "stdout").then_some(AccessTarget::Stdout),
            _ if text.contains('/') => Some(AccessTarget::File(self.files.resolve(at, text))),
            _ => None,
        }
    }
}

const COUNT: (u64, u64) = (1, u32::MAX as u64);

fn is_word(written: &Written<Scalar>, word: &str) -> bool {
    matches!(&written.value, Scalar::Text(text) if text == word)
}

/// A Site's time-outs with those of a pool over them, as far as the pool says anything itself.
pub(super) fn overlaid(site: Timeouts, written: &document::Timeouts, pool: Timeouts) -> Timeouts {
    let pick = |written: &Amount, pool: Duration, site: Duration| {
        if written.is_some() { pool } else { site }
    };
    let w = written;
    Timeouts {
        client_body_idle: pick(&w.client_body_idle, pool.client_body_idle, site.client_body_idle),
        client_write_idle: pick(
            &w.client_write_idle,
            pool.client_write_idle,
            site.client_write_idle,
        ),
        connect: pick(&w.connect, pool.connect, site.connect),
        response_head: pick(&w.response_head, pool.response_head, site.response_head),
        response_body_idle: pick(
            &w.response_body_idle,
            pool.response_body_idle,
            site.response_body_idle,
        ),
        tunnel_idle: pick(&w.tunnel_idle, pool.tunnel_idle, site.tunnel_idle),
        // The rest is a pool's or a client connection's alone.
        upstream_idle: pool.upstream_idle,
        tcp_keepalive: pool.tcp_keepalive,
        ..site
    }
}
