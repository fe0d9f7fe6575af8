//! What must hold for any ciphertext, in pieces of any size.

use std::sync::{Arc, LazyLock};

use super::{
    Authorities, Connector, ConnectorSettings, Greeting, Hello, Identity, ListenerProfile, Profile,
    SEALED_EXTRA_BYTES, Session, Terminator, TicketSecrets, certificate,
};

const NAME: &str = "fuzz.test";

/// More than we say in a handshake, however little sense the other side makes.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// A listener, and those who connect to it: with everything, and with TLS 1.2 only.
struct Ends {
    terminator: Terminator,
    connectors: [Connector; 2],
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| ends().unwrap_or_else(|why| panic!("{why}")));

fn ends() -> Result<Ends, String> {
    let fresh = rcgen::generate_simple_self_signed([NAME.to_owned()]);
    let fresh = fresh.map_err(|error| error.to_string())?;
    let (chain, key) = (fresh.cert.pem(), fresh.signing_key.serialize_pem());
    let pair = certificate::load("fuzz", chain.as_bytes(), key.as_bytes());
    let pair = pair.map_err(|fault| format!("{fault:?}"))?;
    let identity = Identity::new(
        0,
        vec![Arc::clone(&pair.key)],
        ListenerProfile::Modern,
        &TicketSecrets::new()?,
    )?;
    let mut terminator = Terminator::default();
    terminator.add(NAME, &identity);
    let authorities = Authorities::these(&pair.chain)?;
    let connector = |profile| {
        Connector::new(&ConnectorSettings {
            authorities: authorities.clone(),
            pin_sha256: Vec::new(),
            verify: None,
            send_name: true,
            profile,
        })
    };
    Ok(Ends { connectors: [connector(Profile::Modern)?, connector(Profile::Tls12)?], terminator })
}

/// Bytes of a stranger, to a listener or, after an odd first byte, from a server: they are judged
/// the same however they are cut, and never make a session.
pub fn fuzz_greeting(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    if choice & 1 == 1 {
        let connector = &ENDS.connectors[usize::from(choice >> 1 & 1)];
        let connect = || connector.connect(NAME).unwrap_or_else(|fault| panic!("{fault}"));
        return stranger(connect, input);
    }
    if let Some(Hello { name: Some(name), .. }) = Hello::read(input) {
        assert!(name.len() <= input.len() && name.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let greet = |bytes: &[u8]| {
        let mut alert = Vec::new();
        let greeted = ENDS.terminator.greet(bytes, &mut alert);
        assert!(alert.len() <= 64, "{} bytes of alert", alert.len());
        assert!(greeted.is_err() || alert.is_empty(), "an alert, and no fault");
        greeted
    };
    let whole = greet(input);
    for end in (0..input.len()).step_by(input.len() / 48 + 1) {
        match (greet(input.get(..end).unwrap_or_default()), &whole) {
            (Err(fault), Ok(_)) => panic!("{end} bytes are refused, and all are not: {fault}"),
            (Ok(Some(_)), Ok(None)) => panic!("{end} bytes are a greeting, and all are not"),
            _ => {}
        }
    }
    if let Ok(Some(_)) = whole {
        let again = || match greet(input) {
            Ok(Some(Greeting { session, .. })) => session,
            other => panic!("another judgement of the same bytes: {other:?}"),
        };
        stranger(again, input);
    }
}

/// Gives `input` to sessions in pieces of several sizes.
fn stranger(session: impl Fn() -> Session, input: &[u8]) {
    let judge = |step: usize| {
        let mut end = End::new(Some(session()));
        for piece in input.chunks(step) {
            end.receive(piece);
            assert!(!end.session.as_ref().is_some_and(Session::is_established));
            assert!(end.plain.is_empty(), "plaintext of a stranger");
        }
        assert!(end.output.len() <= OUTPUT_BYTES_MAX, "{} bytes are said", end.output.len());
        end.is_broken
    };
    let whole = judge(input.len().max(1));
    for step in [1, 7, 300] {
        if step < input.len() {
            assert_eq!(judge(step), whole, "{step} bytes at a time");
        }
    }
}

/// One end of a connection.
struct End {
    session: Option<Session>,
    /// Came, and is not used yet.
    incoming: Vec<u8>,
    /// For the other end, and not there yet.
    output: Vec<u8>,
    plain: Vec<u8>,
    sent: Vec<u8>,
    has_closed: bool,
    is_broken: bool,
}

impl End {
    fn new(session: Option<Session>) -> Self {
        Self {
            session,
            incoming: Vec::new(),
            output: Vec::new(),
            plain: Vec::new(),
            sent: Vec::new(),
            has_closed: false,
            is_broken: false,
        }
    }

    fn receive(&mut self, piece: &[u8]) {
        if self.is_broken {
            return;
        }
        self.incoming.extend_from_slice(piece);
        if self.session.is_none() {
            match ENDS.terminator.greet(&self.incoming, &mut self.output) {
                Ok(Some(greeting)) => self.session = Some(greeting.session),
                Ok(None) => {}
                Err(_) => self.is_broken = true,
            }
        }
        let Some(session) = &mut self.session else { return };
        let plain = |record: &[u8]| self.plain.extend_from_slice(record);
        match session.receive(&mut self.incoming, plain, &mut self.output) {
            Ok(received) => {
                assert!(received.used <= self.incoming.len(), "more is used than there is");
                self.incoming.drain(..received.used);
            }
            Err(_) => self.is_broken = true,
        }
    }

    fn is_open(&self) -> bool {
        let established = self.session.as_ref().is_some_and(Session::is_established);
        established && !self.is_broken && !self.has_closed
    }

    /// Seals so many bytes, or the end.
    fn seal(&mut self, length: Option<usize>) {
        if !self.is_open() {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let start = self.sent.len();
        let plain: Vec<u8> = (start..start + length.unwrap_or(0)).map(|at| at as u8).collect();
        let mut room = vec![0; plain.len() + (plain.len() / 16_384 + 3) * SEALED_EXTRA_BYTES];
        let sealed = match length {
            Some(_) => session.seal(&mut self.incoming, &plain, &mut room),
            None => session.close(&mut self.incoming, &mut room),
        };
        let sealed = sealed.unwrap_or_else(|fault| panic!("an open session cannot seal: {fault}"));
        self.output.extend_from_slice(room.get(..sealed).unwrap_or_default());
        self.sent.extend_from_slice(&plain);
        self.has_closed |= length.is_none();
    }
}

/// Two ends of ours understand each other in pieces of any size, whatever is sent when; and if a bit
/// is turned on the way, nothing that was not sent is ever received. `input` is a script.
pub fn fuzz_pieces(input: &[u8]) {
    let mut script = input.iter().copied();
    let first = script.next().unwrap_or(0);
    let connector = &ENDS.connectors[usize::from(first & 1)];
    let mut client = End::new(connector.connect(NAME).ok());
    let mut server = End::new(None);
    client.receive(&[]);
    let mut is_spoilt = false;
    while let Some(byte) = script.next() {
        let much = usize::from(byte >> 4);
        let (from, to) = match byte & 1 {
            0 => (&mut client, &mut server),
            _ => (&mut server, &mut client),
        };
        match byte >> 1 & 7 {
            0 => deliver(from, to, much + 1),
            1 | 2 => deliver(from, to, (much + 1) * 131),
            3 => from.seal(Some(much + 1)),
            4 => from.seal(Some((much + 1) * 1217)),
            5 if much == 15 && !is_spoilt => from.seal(None),
            // Not behind an end that was said: there the library's debug assertions take its alert
            // for a second one. Without them it goes out, and nobody reads it.
            6 if first & 2 != 0 && !from.output.is_empty() && !to.has_closed => {
                let at = usize::from(script.next().unwrap_or(0)) * 16 + much;
                let at = at % from.output.len();
                from.output[at] ^= 1 << (much % 8);
                is_spoilt = true;
            }
            _ => deliver(from, to, usize::MAX),
        }
    }
    while !client.output.is_empty() || !server.output.is_empty() {
        deliver(&mut client, &mut server, usize::MAX);
        deliver(&mut server, &mut client, usize::MAX);
    }
    for (from, to) in [(&client, &server), (&server, &client)] {
        assert!(from.sent.starts_with(&to.plain), "what came is not what was sent");
        if !is_spoilt {
            assert!(!to.is_broken, "an honest end is refused");
            assert!(to.session.as_ref().is_some_and(Session::is_established));
            assert_eq!(to.plain.len(), from.sent.len(), "all of it comes");
            let ended = to.session.as_ref().is_some_and(Session::is_ended);
            assert_eq!(ended, from.has_closed, "an end is heard of");
        }
    }
}

/// Some bytes arrive. One who was refused is not talked to any more.
fn deliver(from: &mut End, to: &mut End, most: usize) {
    let end = from.output.len().min(most);
    let piece: Vec<u8> = from.output.drain(..end).collect();
    if !piece.is_empty() {
        to.receive(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind the first fault nothing is read, or a second alert would be made of it.
    #[test]
    fn a_server_that_breaks_the_protocol_twice_is_told_once() {
        for connector in &ENDS.connectors {
            let mut session = connector.connect(NAME).unwrap();
            let mut output = Vec::new();
            session.receive(&mut [], |_| (), &mut output).unwrap();
            output.clear();
            let mut faults = [&[23, 3, 3, 0, 1, 0][..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            let told = session.receive(&mut faults, |_| (), &mut output);
            assert!(told.is_err());
            assert_eq!(output, [21, 3, 3, 0, 2, 2, 10], "unexpected_message, fatal");
        }
    }
}
