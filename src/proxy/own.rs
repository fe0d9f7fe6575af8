//! Answers that we give ourselves: short, without a product's name.

use crate::exchange::Failure;
use crate::http::{Framing, Method, RequestFacts, Version};
use crate::net::{Block, Machine};
use crate::site::{Action, ErrorPages};

use super::alarm::Which;
use super::client::{After, Client};
use super::judge::{Reply, ReplyKind};
use super::worker::Worker;

/// The name of a status (RFC 9110 section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// What the person in front of the browser reads.
fn sentence(status: u16) -> &'static str {
    match status {
        400 | 405 | 408 | 414 | 417 | 431 | 501 | 505 => {
            "The request was not understood, or was too large or too slow."
        }
        403 => "Access is refused.",
        404 => "There is nothing here.",
        413 => "The request is too large.",
        421 => "This name is not served on this connection.",
        429 => "Too many requests; try again later.",
        _ => "The service cannot be reached at the moment; try again in a minute.",
    }
}

/// Seconds after which a client may try again where nobody knows better.
const RETRY_AFTER: u32 = 5;

/// One answer of ours.
pub(super) struct Own<'a> {
    pub(super) status: u16,
    /// Field lines, each with its line end.
    pub(super) fields: String,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
}

impl Own<'_> {
    fn write<M: Machine>(
        &self,
        worker: &Worker<M>,
        request: Option<&RequestFacts>,
        keep: bool,
    ) -> Block {
        let mut out = Block::small();
        let body_sent = request.is_none_or(|request| request.method != Method::Head);
        out.put(format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).as_bytes());
        out.put(&worker.date_line());
        out.put(self.fields.as_bytes());
        if self.status != 204 {
            let length = self.body.len();
            if length > 0 {
                out.put(format!("Content-Type: {}\r\n", self.content_type).as_bytes());
            }
            out.put(format!("Content-Length: {length}\r\n").as_bytes());
        }
        let old = request.is_some_and(|request| request.version == Version::Http10);
        out.put(match (keep, old) {
            (false, _) => b"Connection: close\r\n\r\n",
            (true, true) => b"Connection: keep-alive\r\n\r\n",
            (true, false) => b"\r\n",
        });
        if body_sent && self.status != 204 {
            out.put(self.body);
        }
        out
    }
}

/// The content of a failure's answer and what it is: the operator's page, else ours with the
/// record's number, so that the log can be searched for it.
fn page(pages: &ErrorPages, status: u16, id: u64) -> (&'static str, String) {
    let id = format!("{id:016x}");
    match pages.find(status) {
        Some(page) => (page.content_type, page.render(status, &id)),
        None => {
            let (reason, sentence) = (reason(status), sentence(status));
            ("text/plain", format!("{status} {reason}\n{sentence}\nRequest {id}\n"))
        }
    }
}

/// Answers a request that goes to no server. Its body, if one is due, is not read.
pub(super) async fn reply<M: Machine>(client: &mut Client<M>, mut reply: Reply) -> After {
    client.client_idle = reply.client_idle;
    let request = reply.request;
    let bodyless = matches!(request.framing, Framing::None | Framing::Length(0));
    let mut keep = request.keep_alive && bodyless && client.worker.keeps_clients();
    let text;
    let pages = reply.view.config.errors(reply.errors);
    let own = match &reply.kind {
        ReplyKind::Failure(failure) => {
            reply.record.failure = Some((failure.word(), failure.party()));
            keep &= !failure.spoils_connection();
            text = page(pages, failure.status(), reply.record.id);
            let usual = matches!(failure.status(), 429 | 503).then_some(RETRY_AFTER);
            let wait = reply.retry_after.or(usual);
            let fields = wait.map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
            Own { fields, ..told(failure.status(), &text) }
        }
        ReplyKind::Refused(200) => empty(200),
        ReplyKind::Refused(status) => {
            text = page(pages, *status, reply.record.id);
            told(*status, &text)
        }
        ReplyKind::Redirect { status, location } => {
            Own { fields: format!("Location: {location}\r\n"), ..empty(*status) }
        }
        ReplyKind::Respond(rule) => {
            match &reply.view.config.table.rules()[rule.0 as usize].action {
                Action::Respond(answer) => Own {
                    status: answer.status,
                    fields: String::new(),
                    content_type: &answer.content_type,
                    body: &answer.body,
                },
                _ => empty(500),
            }
        }
    };
    let out = own.write(&client.worker, Some(&request), keep);
    let status = own.status;
    let patience = (Which::Upstream, reply.view.config.timeouts.client_write_idle);
    let given = client.stream.give_all(out.filled(), &client.alarm, patience, None).await;
    reply.record.bytes_out = out.len() as u64;
    reply.record.status = status;
    client.close_record(reply.record, reply.begun);
    match given {
        Ok(()) if keep => After::Next,
        Ok(()) => After::Linger,
        Err(_) => After::Close,
    }
}

fn told<'t>(status: u16, (content_type, text): &'t (&'static str, String)) -> Own<'t> {
    Own { status, fields: String::new(), content_type, body: text.as_bytes() }
}

fn empty(status: u16) -> Own<'static> {
    Own { status, fields: String::new(), content_type: "text/plain", body: b"" }
}

/// Tells a client about a failure where its request cannot be gone on with.
pub(super) async fn tell_failure<M: Machine>(
    client: &mut Client<M>,
    failure: Failure,
    (request, pages): (Option<&RequestFacts>, &ErrorPages),
    id: u64,
    keep: bool,
) -> (usize, After) {
    let text = page(pages, failure.status(), id);
    let keep = keep && !failure.spoils_connection();
    let mut own = told(failure.status(), &text);
    if matches!(failure.status(), 429 | 503) {
        own.fields = format!("Retry-After: {RETRY_AFTER}\r\n");
    }
    let out = own.write(&client.worker, request, keep);
    let patience = (Which::Upstream, client.worker.view().config.timeouts.client_write_idle);
    match client.stream.give_all(out.filled(), &client.alarm, patience, None).await {
        Ok(()) => (out.len(), if keep { After::Next } else { After::Linger }),
        Err(_) => (0, After::Close),
    }
}
