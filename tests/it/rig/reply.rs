//! Answers of DNS as bytes, put together by hand: what is tested does not make its own examples.
//! The unit tests of `src/dns` use this file too.

/// A record.
#[derive(Clone, Debug)]
pub(crate) enum Rr<'r> {
    A(&'r str, u32, [u8; 4]),
    Aaaa(&'r str, u32, [u8; 16]),
    /// Name, time to live, target.
    Cname(&'r str, u32, &'r str),
    /// Stands in the second section: time to live, and the time to live of a denial.
    Soa(u32, u32),
}

/// What is answered beside the question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply<'r> {
    pub(crate) code: u8,
    pub(crate) is_cut: bool,
    pub(crate) records: Vec<Rr<'r>>,
}

/// The answer to `question`, with its number and its letters.
pub(crate) fn reply(question: &[u8], said: &Reply<'_>) -> Vec<u8> {
    let (soa, others): (Vec<_>, Vec<_>) =
        said.records.iter().partition(|record| matches!(record, Rr::Soa(..)));
    let mut bytes = question[..2].to_vec();
    bytes.push(0x81 | if said.is_cut { 0x02 } else { 0 });
    bytes.push(0x80 | said.code);
    for count in [1, others.len(), soa.len(), 0] {
        bytes.extend(u16::try_from(count).unwrap().to_be_bytes());
    }
    bytes.extend(&question[12..]);
    for record in others.into_iter().chain(soa) {
        append(&mut bytes, record);
    }
    bytes
}

/// The name that is asked for in small letters, and the type of record.
pub(crate) fn asked(question: &[u8]) -> (String, u16) {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        if !name.is_empty() {
            name.push('.');
        }
        name += &String::from_utf8_lossy(&question[at + 1..end]).to_ascii_lowercase();
        at = end;
    }
    (name, u16::from_be_bytes([question[at + 1], question[at + 2]]))
}

fn append(bytes: &mut Vec<u8>, record: &Rr<'_>) {
    let (owner, kind, ttl, data) = match record {
        Rr::A(owner, ttl, address) => (*owner, 1_u16, *ttl, address.to_vec()),
        Rr::Aaaa(owner, ttl, address) => (*owner, 28, *ttl, address.to_vec()),
        Rr::Cname(owner, ttl, target) => (*owner, 5, *ttl, name(target)),
        Rr::Soa(ttl, minimum) => {
            let mut data = [name("ns.test"), name("admin.test")].concat();
            for number in [1, 3600, 600, 86400, *minimum] {
                data.extend(number.to_be_bytes());
            }
            ("test", 6, *ttl, data)
        }
    };
    bytes.extend(name(owner));
    bytes.extend([kind, 1].map(u16::to_be_bytes).concat());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}
