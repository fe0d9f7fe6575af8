//! Passwords that clients try: whether one may be tried at a server now, and what came of it.
//!
//! The way of it: `judge` reads whose password a request tries and has the Site's guard reserve a
//! place for it; the [`LogIn`] goes with the plan, and the status of the answer ends it. Whatever way
//! an exchange takes out, a place that nobody has spoken for is given back.

use std::net::IpAddr;
use std::sync::Arc;

use crate::exchange::{ClientFault, Failure};
use crate::http::{Credential, Method, RequestHead, Trial, UserName, trial};
use crate::net::{Machine, Moment};
use crate::observe::Text;
use crate::pool::Load;
use crate::site::{Guess, Locked, LogInGuard, Pending, Verdict, path};

use super::client::Client;
use super::judge::Plan;
use super::worker::Shared;

/// Where log-ins for web tickets are posted (\[MS-SIPAE\], Lync's web ticket service).
const TICKETS: &str = "/webticket";

/// A password that is tried at a server.
pub(super) struct LogIn {
    user: UserName,
    ntlm: bool,
    guarded: Option<Guarded>,
}

struct Guarded {
    shared: Arc<Shared>,
    guard: LogInGuard,
    /// `None` once it has ended.
    pending: Option<Pending>,
    begun: Moment,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end(Verdict::Unsaid, self.begun);
    }
}

impl Guarded {
    fn end(&mut self, verdict: Verdict, now: Moment) {
        if let Some(pending) = self.pending.take() {
            self.guard.end(&self.shared.log_ins, pending, verdict, micros(now));
        }
    }
}

fn micros(now: Moment) -> u64 {
    now.0 / 1_000
}

/// A refusal, and after how many seconds the client may try again.
pub(super) type Locks = (Failure, u32);

/// A Site's guard, and its name.
pub(super) type Guard<'g> = (&'g LogInGuard, &'g str);

/// Whether a request may ask for a web ticket. `scratch` is for reuse.
pub(super) fn admit_ticket<M: Machine>(
    client: &Client<M>,
    ((guard, site), head): (Guard<'_>, &RequestHead<'_, '_>),
    scratch: &mut Vec<u8>,
    begun: Moment,
) -> Result<(), Locks> {
    if head.facts.method != Method::Post || !path::is_within(head.path, TICKETS, scratch) {
        return Ok(());
    }
    let (shared, address) = (&client.worker.shared, client.peer.ip());
    let admitted = guard.admit_ticket(&shared.log_ins, (site, address), micros(begun));
    admitted.map_err(|locked| refuse(shared, site, locked, ("", address), begun))
}

/// The password that a request tries, if it tries one and may. Without a guard only NTLM is of
/// interest.
pub(super) fn admit<M: Machine>(
    client: &Client<M>,
    (guard, head): (Option<Guard<'_>>, &RequestHead<'_, '_>),
    begun: Moment,
) -> Result<Option<Box<LogIn>>, Locks> {
    let may_matter = match head.facts.credential {
        Credential::None => false,
        Credential::PerRequest => guard.is_some(),
        Credential::Connection => true,
    };
    if !may_matter {
        return Ok(None);
    }
    let Some(Trial { user, proof, ntlm }) = trial(head.fields) else { return Ok(None) };
    let guarded = match guard {
        None => None,
        Some((guard, site)) => {
            let (shared, address) = (&client.worker.shared, client.peer.ip());
            let guess = Guess { site, user: user.as_str(), proof, address };
            let admitted = guard.admit(&shared.log_ins, &guess, micros(begun));
            let pending = admitted
                .map_err(|locked| refuse(shared, site, locked, (user.as_str(), address), begun))?;
            let (shared, pending) = (Arc::clone(shared), Some(pending));
            Some(Guarded { shared, guard: *guard, pending, begun })
        }
    };
    // Boxed: few requests bring one, and all plans would be as large.
    Ok(Some(Box::new(LogIn { user, ntlm, guarded })))
}

/// Somebody may be under attack, which the operator wants to know at once, and not a thousand times.
#[cold]
fn refuse(
    shared: &Shared,
    site: &str,
    (locked, wait): (Locked, u32),
    (user, address): (&str, IpAddr),
    now: Moment,
) -> Locks {
    let failure = Failure::Client(match locked {
        Locked::User => ClientFault::UserLocked,
        Locked::Address => ClientFault::AddressLocked,
        Locked::Tickets => ClientFault::TooManyTickets,
    });
    if !shared.locked_said.is_time(now.0) {
        return (failure, wait);
    }
    let address = address.to_canonical();
    let (whose, why) = match (locked, user) {
        (Locked::User, "") => (
            format!("log-ins that name no user that can be read, the last from {address},"),
            "too many of them were wrong",
        ),
        (Locked::User, user) => (
            format!("log-ins of user \"{}\", the last from {address},", user.escape_default()),
            "too many passwords of that user were wrong",
        ),
        (Locked::Address, _) => {
            (format!("log-ins from {address}"), "too many passwords from there were wrong")
        }
        (Locked::Tickets, _) => {
            (format!("POSTs for web tickets from {address}"), "they are too many")
        }
    };
    let what = format!(
        "{whose} are refused with 429 for {wait} s: {why}; `gatehouse keys site.NAME.log_in_guard` shows the limits"
    );
    shared.notices.say(&format!("site {site}"), &what);
    (failure, wait)
}

/// What an attempt has come to.
pub(super) struct Outcome {
    /// 0: there was no answer.
    pub(super) status: u16,
    /// The client has ended it.
    pub(super) left: bool,
}

/// Takes in what the server of `load` has answered to `plan`.
pub(super) fn note<M: Machine>(
    client: &Client<M>,
    plan: &mut Plan,
    load: &Load,
    Outcome { status, left }: Outcome,
) {
    let is_guarded = plan.view.config.table.terms(plan.terms).log_in_guard.is_some();
    if plan.log_in.is_none() && !(is_guarded && status == 401) {
        return;
    }
    let now = client.worker.machine.now();
    let log_ins = &client.worker.shared.log_ins;
    let record = &plan.record;
    let place = (record.text(Text::Site), record.text(Text::Method), record.text(Text::Path));
    if is_guarded && status == 401 {
        log_ins.note_asked(place, micros(now));
    }
    let Some(log_in) = &mut plan.log_in else { return };
    let answered = matches!(status, 101 | 200..=399);
    let verdict = match status {
        401 => Verdict::Refused,
        _ if answered && log_ins.is_asked(place, micros(now)) => Verdict::Accepted,
        0 if left => Verdict::Left,
        _ => Verdict::Unsaid,
    };
    if log_in.ntlm && (status == 401 || answered) {
        load.note_log_in(log_in.user, status == 401);
    }
    if let Some(guarded) = &mut log_in.guarded {
        guarded.end(verdict, now);
    }
}
