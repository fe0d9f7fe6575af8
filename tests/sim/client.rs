//! Scripted clients: what they ask for in what manner, and how they check what they get.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::network::LAG_MAX;
use super::notes::{Asked, Got, Message};
use super::wire::{
    First, Framing, Head, OF_ANSWER, OF_REQUEST, Stop, Wire, body_of, chunks, first, is_of,
};
use super::world::{MS, World};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u32,
    /// The first letter of its path.
    pub(crate) pool: char,
    pub(crate) method: &'static str,
    /// The length of its body, and whether it is chunked.
    pub(crate) body: Option<(usize, bool)>,
    /// Waits to be asked for the body.
    pub(crate) expects: bool,
    /// Shows a credential of the connection.
    pub(crate) login: bool,
    /// Who asks, and by which message of a log-in.
    pub(crate) user: u32,
    pub(crate) message: Option<Message>,
    /// HTTP/1.0.
    pub(crate) old: bool,
    /// More bytes of fields.
    pub(crate) padding: usize,
    /// A server has to answer it, to the end.
    pub(crate) must_succeed: bool,
    /// What the proxy has to answer by itself, if anything.
    pub(crate) refusal: Option<u16>,
}

impl Ask {
    pub(crate) fn get(id: u32, pool: char) -> Self {
        Self {
            id,
            pool,
            method: "GET",
            body: None,
            expects: false,
            login: false,
            user: 0,
            message: None,
            old: false,
            padding: 0,
            must_succeed: false,
            refusal: None,
        }
    }

    /// A GET or HEAD without a body.
    pub(crate) fn is_repeatable(&self) -> bool {
        let bodyless = matches!(self.body, None | Some((0, false)));
        bodyless && matches!(self.method, "GET" | "HEAD") && !self.login
    }

    /// Its head, and its body as it is sent.
    fn bytes(&self, world: &World) -> (Vec<u8>, Vec<u8>) {
        let Self { id, pool, method, .. } = self;
        let version = if self.old { "1.0" } else { "1.1" };
        let mut head = format!("{method} /{pool}/{id} HTTP/{version}\r\nHost: a.test\r\n");
        let mut body = Vec::new();
        if let Some((length, chunked)) = self.body {
            body = body_of(*id, OF_REQUEST, length);
            head += &format!("X-Length: {length}\r\n");
            if chunked {
                head += "Transfer-Encoding: chunked\r\n";
                body = chunks(world, &body);
            } else {
                head += &format!("Content-Length: {length}\r\n");
            }
        }
        if self.expects {
            head += "Expect: 100-continue\r\n";
        }
        let user = self.user;
        match self.message {
            Some(Message::First) => head += &format!("Authorization: NTLM first.{user}\r\n"),
            Some(Message::Third) => head += &format!("Authorization: NTLM third.{user}\r\n"),
            Some(Message::Ticket) => head += &format!("Authorization: NTLM ticket.{user}\r\n"),
            None if self.login => head += "Authorization: NTLM TlRMTVNTUAABAAAA\r\n",
            None => {}
        }
        if self.padding > 0 {
            head += &format!("X-Padding: {}\r\n", "p".repeat(self.padding));
        }
        head += "\r\n";
        (head.into_bytes(), body)
    }

    pub(crate) fn note(&self, world: &World, client: u32) {
        let asked = Asked {
            client,
            pool: self.pool,
            repeatable: self.is_repeatable(),
            login: self.login,
            user: self.user,
            message: self.message,
            refusal: self.refusal,
            at: world.now(),
        };
        world.notes.borrow_mut().asked.insert(self.id, asked);
    }
}

/// How a client goes when it has what it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Closes,
    /// Ends its own direction and waits for the other end.
    Ends,
    /// Waits until it is sent away.
    Stays,
    Resets,
}

/// The life of one client connection.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) number: u32,
    pub(crate) from: SocketAddr,
    /// Requests of a group are sent without waiting for answers between them.
    pub(crate) groups: Vec<Vec<Ask>>,
    /// Before it comes.
    pub(crate) comes_after: u64,
    /// The longest pause between two groups.
    pub(crate) pause: u64,
    pub(crate) leaving: Leaving,
    /// Goes away after so long, whatever it is doing.
    pub(crate) abandons: Option<u64>,
}

impl Visit {
    /// A client that comes at once, asks for nothing yet, and waits to be sent away.
    pub(crate) fn alone(number: u32, from: SocketAddr) -> Self {
        Self {
            number,
            from,
            groups: Vec::new(),
            comes_after: 0,
            pause: 0,
            leaving: Leaving::Stays,
            abandons: None,
        }
    }
}

/// Whether the connection can be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Further {
    Keep,
    /// It was said to be the last answer.
    Last,
    Over,
}

/// Carries out a visit.
pub(crate) async fn visit(world: Rc<World>, visit: Visit) {
    world.sleep(visit.comes_after).await;
    let socket = world.connect(visit.from);
    let mut wire = Wire::new(&world, socket);
    if let Some(after) = visit.abandons {
        let pen = wire.pen.clone();
        if let First::Right(()) = first(stay(&world, &visit, &mut wire), world.sleep(after)).await {
            world.notes.borrow_mut().see("abandoned");
            if world.one_in(2) {
                pen.reset();
            }
        }
        return;
    }
    stay(&world, &visit, &mut wire).await;
    expect_success(&world, &visit);
}

/// Requests that had to succeed, and were sent, did.
fn expect_success(world: &World, visit: &Visit) {
    let mut notes = world.notes.borrow_mut();
    let due = visit.groups.iter().flatten().filter(|ask| ask.must_succeed);
    for id in due.map(|ask| ask.id) {
        let answered = notes.got.iter().any(|got| got.id == id && got.whole);
        if notes.asked.contains_key(&id) && !answered {
            notes.wrong.push(format!("{id} was not answered, and nothing was amiss"));
        }
    }
}

async fn stay(world: &Rc<World>, visit: &Visit, wire: &mut Wire) {
    for (at, group) in visit.groups.iter().enumerate() {
        if at > 0 {
            world.sleep(world.up_to(visit.pause.max(1))).await;
        }
        match exchange(world, visit, group, wire).await {
            Further::Keep => {}
            Further::Last => return expect_end(world, visit, wire).await,
            Further::Over => return,
        }
    }
    match visit.leaving {
        Leaving::Closes => {}
        Leaving::Resets => wire.pen.reset(),
        Leaving::Ends => {
            wire.pen.end();
            expect_end(world, visit, wire).await;
        }
        Leaving::Stays => expect_end(world, visit, wire).await,
    }
}

/// Nothing may come any more but the end.
async fn expect_end(world: &World, visit: &Visit, wire: &mut Wire) {
    while wire.inbox.is_empty() && wire.more().await.is_ok() {}
    if !wire.inbox.is_empty() {
        let number = visit.number;
        let text = String::from_utf8_lossy(&wire.inbox).into_owned();
        let wrong = format!("client {number} got more than it asked for: {text:?}");
        world.notes.borrow_mut().wrong.push(wrong);
    }
}

async fn exchange(world: &Rc<World>, visit: &Visit, group: &[Ask], wire: &mut Wire) -> Further {
    let invited = Cell::new(false);
    let pen = wire.pen.clone();
    let writing = async {
        for ask in group {
            let (head, body) = ask.bytes(world);
            ask.note(world, visit.number);
            if !ask.expects && world.one_in(2) {
                pen.give(&[head, body].concat()).await.ok();
                continue;
            }
            pen.give(&head).await.ok();
            if ask.expects {
                // Polled whenever the answer's side is.
                poll_fn(|_| if invited.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            }
            pen.give(&body).await.ok();
        }
    };
    let reading = async {
        for ask in group {
            match answer(world, visit, ask, wire, &invited).await {
                Further::Keep => {}
                further => return further,
            }
        }
        invited.set(true);
        Further::Keep
    };
    let (mut reading, mut writing) = (pin!(reading), pin!(writing));
    let (mut answered, mut written) = (false, false);
    poll_fn(|cx| {
        if !answered && let Poll::Ready(further) = reading.as_mut().poll(cx) {
            if further != Further::Keep {
                return Poll::Ready(further);
            }
            answered = true;
        }
        // Whoever keeps the connection has to send its request to the end.
        written |= !written && writing.as_mut().poll(cx).is_ready();
        if answered && written { Poll::Ready(Further::Keep) } else { Poll::Pending }
    })
    .await
}

/// Reads the answer to `ask` and notes what it is.
async fn answer(
    world: &World,
    visit: &Visit,
    ask: &Ask,
    wire: &mut Wire,
    invited: &Cell<bool>,
) -> Further {
    let wrong = |what: String| world.notes.borrow_mut().wrong.push(format!("{}: {what}", ask.id));
    let head = loop {
        match wire.head().await {
            Ok(head) => match status_of(&head) {
                Some(100) => invited.set(true),
                Some(102..=199) => world.notes.borrow_mut().see("interim"),
                _ => break head,
            },
            Err(Stop::Ended { .. }) => {
                if !wire.inbox.is_empty() {
                    world.notes.borrow_mut().see("head cut");
                }
                world.notes.borrow_mut().see("unanswered");
                return Further::Over;
            }
            Err(Stop::Nonsense(what)) => {
                wrong(what);
                return Further::Over;
            }
        }
    };
    let Some(status) = status_of(&head) else {
        wrong(format!("answered by {:?}", head.start));
        return Further::Over;
    };
    let bodyless = ask.method == "HEAD" || matches!(status, 204 | 304);
    let framing = match head.framing() {
        _ if bodyless => Framing::Length(0),
        framing => framing.unwrap_or(Framing::UntilClose),
    };
    let mut body = Vec::new();
    let read = wire.body(framing, &mut body).await;
    let whole = read.is_ok();
    if let Err(Stop::Nonsense(what)) = read {
        wrong(what);
    }
    judge_body(world, ask, &head, (&body, whole, bodyless));
    let got = Got {
        id: head.number("x-id").unwrap_or(ask.id),
        client: visit.number,
        wire: wire.id(),
        status,
        connection: head.number("x-connection"),
        user: head.number("x-user"),
        whole,
        at: world.now(),
    };
    if got.id != ask.id {
        wrong(format!("was answered with the answer to {}", got.id));
    }
    let mut notes = world.notes.borrow_mut();
    notes.got.push(got);
    if !whole {
        notes.see("cut");
        return Further::Over;
    }
    let old = ask.old && head.field("connection") != Some("keep-alive");
    if head.closes() || framing == Framing::UntilClose || old {
        Further::Last
    } else {
        Further::Keep
    }
}

fn judge_body(world: &World, ask: &Ask, head: &Head, (body, whole, bodyless): (&[u8], bool, bool)) {
    let mut notes = world.notes.borrow_mut();
    if let Some(connection) = head.number::<u32>("x-unasked") {
        notes.see("unasked");
        let unasked = world.unasked.borrow();
        let Some(connection) = unasked.get(&connection) else { return };
        let end = connection.end(0).borrow();
        // A turn that is cut takes a little longer.
        if end.stale > LAG_MAX + MS {
            let ms = end.stale / 1_000_000;
            notes.wrong.push(format!("{}: its answer had lain there for {ms} ms", ask.id));
        }
        if end.unprompted {
            notes.wrong.push(format!("{}: its answer was taken before it had left", ask.id));
        }
        return;
    }
    let Some(length) = head.number::<usize>("x-length") else {
        let status = status_of(head).unwrap_or_default();
        notes.see(own_word(status));
        let may = !ask.must_succeed && notes.own_answers.contains(&status);
        if !may && ask.refusal != Some(status) {
            notes.wrong.push(format!("{}: the proxy answered {status}", ask.id));
        }
        return;
    };
    let due = if bodyless { 0 } else { length };
    if body.len() > due || (whole && body.len() < due) {
        let there = body.len();
        notes.wrong.push(format!("{}: {there} bytes of {due} seem to be all", ask.id));
    }
    if !is_of(body, ask.id, OF_ANSWER) {
        notes.wrong.push(format!("{}: other bytes than the server sent", ask.id));
    }
    notes.see("answered");
}

fn own_word(status: u16) -> &'static str {
    match status {
        400 => "own 400",
        404 => "own 404",
        408 => "own 408",
        413 => "own 413",
        421 => "own 421",
        429 => "own 429",
        431 => "own 431",
        502 => "own 502",
        503 => "own 503",
        504 => "own 504",
        _ => "own other",
    }
}

fn status_of(head: &Head) -> Option<u16> {
    let rest = head.start.strip_prefix("HTTP/1.1 ")?;
    let (status, _) = rest.split_once(' ')?;
    status.parse().ok()
}
