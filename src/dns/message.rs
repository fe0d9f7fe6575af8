//! The bytes of questions and answers (RFC 1035).

use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message_builder::MessageBuilder;
use domain::base::name::{Name, ParsedName, ToLabelIter, ToName};
use domain::base::record::ParsedRecord;
use domain::base::{Message, Rtype, Ttl};
use domain::rdata::{A, Aaaa, Cname, Soa};

use super::Chance;

/// Addresses of one family that one name may have; the rest of a longer answer is left out.
pub const ADDRESSES_MAX: usize = 32;

/// The longest answer over UDP to a question that allows no more (RFC 1035 section 4.2.1).
pub const UDP_BYTES_MAX: usize = 512;

/// Aliases (CNAME) on the way from a name to its addresses.
pub(super) const ALIASES_MAX: usize = 8;

/// Alias records in one answer; no honest one has more than a chain.
const ALIAS_RECORDS_MAX: usize = 4 * ALIASES_MAX;

/// Which kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, record A.
    V4,
    /// IPv6, record AAAA.
    V6,
}

impl Family {
    fn rtype(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
        }
    }
}

/// What is asked: the name in the letters that were sent.
#[derive(Clone, Debug)]
pub(super) struct Question {
    id: u16,
    name: Name<Vec<u8>>,
    family: Family,
}

/// What an answer to our question says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The name has these addresses, sorted, for so long; so many more were left out.
    Addresses { addresses: Vec<IpAddr>, left_out: usize, ttl: Duration },
    /// The name is an alias of another, whose addresses the answer does not hold.
    Elsewhere { name: Name<Vec<u8>>, aliases: usize, ttl: Duration },
    /// There is no such name, or it has no address of this family; so for how long, if that was
    /// said (RFC 2308).
    Nothing { exists: bool, ttl: Option<Duration> },
    /// The whole does not fit into this answer, or its letters are not those that were sent: to be
    /// asked over TCP, which nobody can forge from aside.
    Cut,
    /// The name server cannot tell: its code (RFC 1035 section 4.1.1).
    Cannot(u8),
    /// Nothing that could be understood.
    Nonsense(&'static str),
}

/// A message that is no answer to our question: somebody else's, or forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOurs;

/// The name as it is asked for; `None` if DNS cannot hold it.
pub(super) fn name_of(host: &str) -> Option<Name<Vec<u8>>> {
    // The text form of names has escapes, which hosts have not.
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    host.parse().ok()
}

impl Question {
    /// A question with a number, and capital and small letters, that nobody can guess: an answer has
    /// to repeat them.
    pub(super) fn new(name: &Name<Vec<u8>>, family: Family, chance: Chance<'_>) -> Self {
        let mut octets = name.as_slice().to_vec();
        let mut bits = (0, 0_u64);
        // Lengths of labels are below 64 and thus never letters.
        for letter in octets.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
            if bits.0 == 0 {
                bits = (64, chance());
            }
            if bits.1 & 1 == 1 {
                *letter ^= 0x20;
            }
            bits = (bits.0 - 1, bits.1 >> 1);
        }
        // Other letters leave a name a name.
        let name = Name::from_octets(octets).unwrap_or_else(|_| name.clone());
        Self { id: (chance() & 0xffff) as u16, name, family }
    }

    /// The message, without the length that TCP wants before it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(self.id);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        // A vector takes whatever is pushed.
        let _ = builder.push((&self.name, self.family.rtype()));
        builder.finish()
    }

    /// What `bytes`, which came over TCP or not, say to this question.
    pub(super) fn read(&self, bytes: &[u8], tcp: bool) -> Result<Said, NotOurs> {
        let message = Message::from_octets(bytes).map_err(|_| NotOurs)?;
        let header = message.header();
        if header.id() != self.id || !header.qr() || header.opcode() != Opcode::QUERY {
            return Err(NotOurs);
        }
        let asked = message.sole_question().map_err(|_| NotOurs)?;
        if asked.qtype() != self.family.rtype()
            || asked.qclass() != Class::IN
            || !self.name.name_eq(asked.qname())
        {
            return Err(NotOurs);
        }
        if !tcp {
            let same_letters = self
                .name
                .iter_labels()
                .map(AsRef::as_ref)
                .eq(asked.qname().iter_labels().map(AsRef::<[u8]>::as_ref));
            if header.tc() || bytes.len() > UDP_BYTES_MAX || !same_letters {
                return Ok(Said::Cut);
            }
        }
        Ok(match header.rcode() {
            Rcode::NOERROR => self.records(&message).unwrap_or_else(Said::Nonsense),
            Rcode::NXDOMAIN => {
                Said::Nothing { exists: false, ttl: authority(&message).unwrap_or_default().soa }
            }
            other => Said::Cannot(other.to_int()),
        })
    }

    /// What the records of an answer without error say.
    fn records(&self, message: &Message<&[u8]>) -> Result<Said, &'static str> {
        let found = Found::read(message, self.family)?;
        let (mut name, mut aliases, mut ttl) = (None, 0, Duration::MAX);
        while let Some(link) = found.alias(&self.name, name) {
            aliases += 1;
            if aliases > ALIASES_MAX {
                return Err("its aliases do not end");
            }
            ttl = ttl.min(link.ttl);
            name = Some(&link.target);
        }
        let mut addresses = Vec::new();
        let mut unusable = false;
        for (owner, address, lasts) in &found.addresses {
            if is_at(&self.name, name, owner) {
                ttl = ttl.min(*lasts);
                if is_usable(*address) {
                    addresses.push(*address);
                } else {
                    unusable = true;
                }
            }
        }
        if addresses.is_empty() {
            if unusable {
                return Err("its address is none that a server can be reached at");
            }
            let beside = authority(message).ok_or(GARBLED)?;
            return match name {
                Some(name) if beside.soa.is_none() => {
                    Ok(Said::Elsewhere { name: name.to_vec(), aliases, ttl })
                }
                None if beside.refers => Err("it names other name servers instead of asking them"),
                _ => Ok(Said::Nothing { exists: true, ttl: beside.soa }),
            };
        }
        // Sorted, so that a name server that shuffles changes nothing.
        addresses.sort_unstable();
        addresses.dedup();
        let left_out = addresses.len().saturating_sub(ADDRESSES_MAX);
        addresses.truncate(ADDRESSES_MAX);
        Ok(Said::Addresses { addresses, left_out, ttl })
    }
}

const GARBLED: &str = "the message is garbled";

type Parsed<'m> = ParsedName<&'m [u8]>;

struct Link<'m> {
    owner: Parsed<'m>,
    target: Parsed<'m>,
    ttl: Duration,
}

/// The records of an answer that matter.
#[derive(Default)]
struct Found<'m> {
    aliases: Vec<Link<'m>>,
    addresses: Vec<(Parsed<'m>, IpAddr, Duration)>,
}

impl<'m> Found<'m> {
    fn read(message: &'m Message<&'m [u8]>, family: Family) -> Result<Self, &'static str> {
        let mut found = Self::default();
        for record in message.answer().map_err(|_| GARBLED)? {
            let record = record.map_err(|_| GARBLED)?;
            if record.class() != Class::IN {
                continue;
            }
            found.take(&record, family).ok_or(GARBLED)?;
            if found.aliases.len() > ALIAS_RECORDS_MAX {
                return Err("its aliases do not end");
            }
        }
        Ok(found)
    }

    fn take(&mut self, record: &ParsedRecord<'m, &'m [u8]>, family: Family) -> Option<()> {
        let (owner, ttl) = (record.owner().deref_octets(), lasting(record.ttl()));
        if record.rtype() == Rtype::CNAME {
            let alias = record.to_record::<Cname<_>>().ok()??;
            self.aliases.push(Link { owner, target: alias.into_data().into_cname(), ttl });
        } else if record.rtype() == family.rtype() {
            let address = match family {
                Family::V4 => record.to_record::<A>().ok()??.into_data().addr().into(),
                Family::V6 => record.to_record::<Aaaa>().ok()??.into_data().addr().into(),
            };
            self.addresses.push((owner, address, ttl));
        }
        Some(())
    }

    /// The alias that the question's name, or the one that it led to, is.
    fn alias(&self, asked: &Name<Vec<u8>>, name: Option<&Parsed<'m>>) -> Option<&Link<'m>> {
        self.aliases.iter().find(|link| is_at(asked, name, &link.owner))
    }
}

/// Whether a record's owner is the name that the question has led to so far.
fn is_at(asked: &Name<Vec<u8>>, name: Option<&Parsed<'_>>, owner: &Parsed<'_>) -> bool {
    name.map_or_else(|| owner.name_eq(asked), |name| owner.name_eq(name))
}

/// What stands beside an answer without addresses.
#[derive(Default)]
struct Beside {
    /// How long there will be none (RFC 2308 section 5).
    soa: Option<Duration>,
    /// Other name servers are named.
    refers: bool,
}

/// `None` if it is garbled.
fn authority(message: &Message<&[u8]>) -> Option<Beside> {
    let mut beside = Beside::default();
    for record in message.authority().ok()? {
        let record = record.ok()?;
        match record.rtype() {
            Rtype::SOA => {
                let soa = record.to_record::<Soa<_>>().ok()??;
                let ttl = lasting(soa.ttl()).min(lasting(soa.data().minimum()));
                beside.soa = Some(beside.soa.map_or(ttl, |before| before.min(ttl)));
            }
            Rtype::NS => beside.refers = true,
            _ => {}
        }
    }
    Some(beside)
}

/// RFC 2181 section 8: with the highest bit set it is nothing.
fn lasting(ttl: Ttl) -> Duration {
    let seconds = ttl.as_secs();
    Duration::from_secs(if seconds > i32::MAX as u32 { 0 } else { seconds.into() })
}

/// Whether the address is one that a server can be reached at.
fn is_usable(address: IpAddr) -> bool {
    let is_odd = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        // An IPv4 address in disguise, or one that means something on one link only.
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().is_some() || address.is_unicast_link_local()
        }
    };
    !(address.is_unspecified() || address.is_multicast() || is_odd)
}
