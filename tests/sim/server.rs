//! Scripted servers: they read strictly, write down what comes, and answer in many manners, most of
//! them bad.

use std::net::SocketAddr;
use std::rc::Rc;

use super::machine::SimSocket;
use super::notes::Came;
use super::tunnels;
use super::wire::{
    First, Framing, Head, OF_ANSWER, OF_REQUEST, Stop, Wire, body_of, both, chunks, first, is_of,
};
use super::world::{MS, World};

/// How often a server does what; each one time in so many, 0: never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Temper {
    /// Answers before it has read the request's body.
    pub(crate) early: usize,
    /// And does not read the rest of it.
    pub(crate) early_leaves: usize,
    /// Ends an answer in the middle.
    pub(crate) cuts: usize,
    /// Ends the connection instead of an answer.
    pub(crate) silent: usize,
    /// The same, and only where the connection has served before.
    pub(crate) silent_later: usize,
    /// Says that an answer is the last.
    pub(crate) last: usize,
    /// Ends the connection behind an answer without having said so.
    pub(crate) dies_idle: usize,
    /// Says something unasked before that.
    pub(crate) unasked: usize,
    /// Sends interim answers first.
    pub(crate) interim: usize,
    /// Frames an answer by the end of the connection.
    pub(crate) until_close: usize,
    /// Asks for a log-in of the connection from those who have shown none.
    pub(crate) challenges: usize,
    /// Knows users by the connection, and says in every answer whom it takes the asker for.
    pub(crate) ties: bool,
    /// The longest time that it thinks.
    pub(crate) thinks: u64,
}

/// What a server knows of one of its connections.
struct Seat {
    world: Rc<World>,
    address: SocketAddr,
    temper: Temper,
    wire: Wire,
    logged_in: bool,
    /// Whom the connection is logged in as; 0: nobody.
    user: u32,
    /// Who has sent the first message of a log-in.
    begun: Option<u32>,
    /// Requests so far.
    served: u32,
}

impl Seat {
    fn is_one_in(&self, sides: usize) -> bool {
        sides > 0 && self.world.one_in(sides)
    }

    fn is_silent(&self) -> bool {
        let later = self.served > 0 && self.is_one_in(self.temper.silent_later * 2);
        let silent = later || self.is_one_in(self.temper.silent * 2);
        if silent {
            self.world.notes.borrow_mut().see("silent");
        }
        silent
    }

    fn wrong(&self, what: String) {
        self.world.notes.borrow_mut().wrong.push(what);
    }
}

/// What a request says.
struct Request {
    id: u32,
    head: bool,
    framing: Option<Framing>,
    length: usize,
    login: bool,
    /// The message of a log-in, and whose it is.
    message: Option<(String, u32)>,
    upgrade: bool,
}

fn read_request(head: &Head) -> Option<Request> {
    let mut words = head.start.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let mut parts = target.split('/');
    let (root, pool, id) = (parts.next()?, parts.next()?, parts.next()?);
    let proper = version == "HTTP/1.1" && root.is_empty() && pool.len() == 1;
    proper.then_some(())?;
    let token = head.field("authorization").and_then(|value| value.strip_prefix("NTLM "));
    let message = token.and_then(|token| token.split_once('.'));
    let message = message.and_then(|(word, user)| Some((word.to_owned(), user.parse().ok()?)));
    Some(Request {
        id: id.parse().ok()?,
        head: method == "HEAD",
        framing: head.framing(),
        length: head.number("x-length").unwrap_or(0),
        login: token.is_some(),
        message,
        upgrade: head.field("upgrade") == Some("websocket"),
    })
}

/// Serves one connection of the proxy.
pub(crate) async fn serve(
    world: Rc<World>,
    socket: SimSocket,
    address: SocketAddr,
    temper: Temper,
) {
    let wire = Wire::new(&world, socket);
    let mut seat =
        Seat { world, address, temper, wire, logged_in: false, user: 0, begun: None, served: 0 };
    loop {
        if seat.served > 0 && seat.is_one_in(temper.dies_idle) {
            let after = seat.world.up_to(seat.world.pick(&[1, 3 * MS, 300 * MS]));
            let world = Rc::clone(&seat.world);
            if let First::Right(()) = first(seat.wire.more(), world.sleep(after)).await {
                return die_idle(seat).await;
            }
        }
        let head = match seat.wire.head().await {
            Ok(head) => head,
            Err(Stop::Ended { .. }) => return,
            Err(Stop::Nonsense(what)) => return seat.wrong(format!("{address} was sent {what}")),
        };
        let Some(request) = read_request(&head) else {
            return seat.wrong(format!("{address} was asked {:?}", head.start));
        };
        if !exchange(&mut seat, &request).await {
            return;
        }
        seat.served += 1;
    }
}

async fn die_idle(seat: Seat) {
    let world = &seat.world;
    if seat.is_one_in(seat.temper.unasked) {
        world.notes.borrow_mut().see("said unasked");
        let id = seat.wire.id();
        let connection = seat.wire.connection();
        connection.note_unasked(seat.wire.inbox.len());
        world.unasked.borrow_mut().insert(id, connection);
        let text = format!(
            "HTTP/1.1 408 Request Timeout\r\nX-Unasked: {id}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        seat.wire.pen.give(text.as_bytes()).await.ok();
        seat.wire.pen.end();
        world.sleep(world.up_to(100 * MS)).await;
    } else if world.one_in(4) {
        // A reset takes with it what has not arrived yet, and that would not be idle.
        while seat.wire.connection().end(1).borrow().unsent() > 0 {
            world.sleep(MS).await;
        }
        seat.wire.pen.reset();
    }
    world.notes.borrow_mut().see("died idle");
}

/// Whether the connection goes on.
async fn exchange(seat: &mut Seat, request: &Request) -> bool {
    let world = Rc::clone(&seat.world);
    let came = Came {
        id: request.id,
        server: seat.address,
        connection: seat.wire.id(),
        at: world.now(),
        login: request.login,
    };
    world.notes.borrow_mut().came.push(came);
    world.note(10, u64::from(request.id));
    if seat.is_silent() {
        return false;
    }
    if request.upgrade {
        tunnels::serve(&world, &mut seat.wire, (request.id, request.length)).await;
        return false;
    }
    let has_body = request.framing.is_some_and(|framing| framing != Framing::Length(0));
    if has_body && seat.is_one_in(seat.temper.early) {
        world.notes.borrow_mut().see("early");
        if seat.is_one_in(seat.temper.early_leaves) {
            answer(seat, request, true).await;
            return false;
        }
        return early(seat, request).await;
    }
    if !take_body(seat, request).await {
        return false;
    }
    world.sleep(1 + world.up_to(seat.temper.thinks)).await;
    if seat.is_silent() {
        return false;
    }
    answer(seat, request, false).await
}

/// Answers and reads the body side by side.
async fn early(seat: &mut Seat, request: &Request) -> bool {
    let world = Rc::clone(&seat.world);
    let (text, further) = answer_text(seat, request, false);
    let pen = seat.wire.pen.clone();
    let writing = async {
        world.sleep(1 + world.up_to(20 * MS)).await;
        pen.give(&text).await.is_ok()
    };
    let (given, taken) = both(writing, take_body(seat, request)).await;
    given && taken && further
}

/// Reads the request's body; whether it came to its end.
async fn take_body(seat: &mut Seat, request: &Request) -> bool {
    let mut body = Vec::new();
    let read = seat.wire.body(request.framing.unwrap_or(Framing::Length(0)), &mut body).await;
    let whole = read.is_ok();
    if let Err(Stop::Nonsense(what)) = read {
        seat.wrong(format!("{}: the body went up as {what}", request.id));
    }
    if body.len() > request.length || (whole && body.len() < request.length) {
        let (there, due) = (body.len(), request.length);
        seat.wrong(format!("{}: {there} bytes of {due} seem to be all, at the server", request.id));
    }
    if !is_of(&body, request.id, OF_REQUEST) {
        seat.wrong(format!("{}: other bytes than the client sent", request.id));
    }
    let mut notes = seat.world.notes.borrow_mut();
    match whole {
        true => notes.whole.push(request.id),
        false => notes.see("request cut"),
    }
    whole
}

/// What a message of a log-in does to the connection; whether another one has to follow.
fn log_in(seat: &mut Seat, request: &Request) -> bool {
    let Some((word, user)) = &request.message else { return false };
    let begun = seat.begun.take();
    match word.as_str() {
        "ticket" => seat.user = *user,
        "third" if begun == Some(*user) => seat.user = *user,
        _ => {
            seat.user = 0;
            seat.begun = Some(*user).filter(|_| word == "first");
            return true;
        }
    }
    seat.world.notes.borrow_mut().see("logged in");
    false
}

/// The bytes of an answer, as far as they are to be sent; and whether the connection goes on.
fn answer_text(seat: &mut Seat, request: &Request, last: bool) -> (Vec<u8>, bool) {
    let world = Rc::clone(&seat.world);
    let mut text = Vec::new();
    if seat.is_one_in(seat.temper.interim) {
        text.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    let challenges = !request.login && !seat.logged_in && seat.is_one_in(seat.temper.challenges);
    if challenges {
        let note = (seat.wire.id(), u64::from(request.id));
        world.notes.borrow_mut().challenged.push(note);
        world.notes.borrow_mut().see("challenged");
    }
    seat.logged_in |= challenges || request.login;
    let begins = log_in(seat, request);
    let length = world.body_length();
    let until_close = !request.head && seat.is_one_in(seat.temper.until_close);
    let closes = last || until_close || seat.is_one_in(seat.temper.last);
    let chunked = !until_close && world.one_in(2);
    let mut head = format!(
        "HTTP/1.1 {}\r\nX-Id: {}\r\nX-Connection: {}\r\nX-Length: {length}\r\n",
        if challenges || begins { "401 Unauthorized\r\nWWW-Authenticate: NTLM" } else { "200 OK" },
        request.id,
        seat.wire.id(),
    );
    if seat.temper.ties {
        head += &format!("X-User: {}\r\n", seat.user);
    }
    if chunked {
        head += "Transfer-Encoding: chunked\r\n";
    } else if !until_close {
        head += &format!("Content-Length: {length}\r\n");
    }
    if closes {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    text.extend_from_slice(head.as_bytes());
    let body = if request.head { Vec::new() } else { body_of(request.id, OF_ANSWER, length) };
    let body_at = text.len();
    if chunked && !request.head {
        text.extend(chunks(&world, &body));
    } else {
        text.extend(body);
    }
    if seat.is_one_in(seat.temper.cuts) {
        // Nobody could tell the end that was meant from one that was not.
        let resets = until_close || world.one_in(2);
        if resets {
            seat.wire.pen.reset();
        }
        let from = if resets { 0 } else { body_at / 2 };
        if text.len() > from {
            text.truncate(from + world.roll(text.len() - from));
            world.notes.borrow_mut().see("cut by the server");
        }
        return (text, false);
    }
    if !closes {
        let lasting = (seat.wire.id(), request.id);
        world.notes.borrow_mut().lasting.insert(lasting);
    }
    (text, !closes)
}

async fn answer(seat: &mut Seat, request: &Request, last: bool) -> bool {
    let (text, further) = answer_text(seat, request, last);
    let given = seat.wire.pen.give(&text).await.is_ok();
    given && further
}
