use std::sync::{Arc, LazyLock};

use rustls::pki_types::pem::PemObject;

use super::*;
use crate::net::monotonic;
use crate::tls::{
    Authorities, Connector, ConnectorSettings, Identity, ListenerProfile, Profile,
    SEALED_EXTRA_BYTES, Session, Terminator, TicketSecrets, certificate,
};

const ALL: [Cbc; 4] = [Cbc::Aes128Sha256, Cbc::Aes256Sha1, Cbc::Aes128Sha1, Cbc::Aes256Sha384];

fn pair(cbc: Cbc) -> (Box<dyn MessageEncrypter>, Box<dyn MessageDecrypter>) {
    let secret: Vec<u8> = (0..).take(cbc.mac_bytes() + cbc.key_bytes()).collect();
    let records = Records(cbc);
    let none = || AeadKey::from([0; 32]);
    (records.encrypter(none(), &secret, &[]), records.decrypter(none(), &secret))
}

fn seal(encrypter: &mut dyn MessageEncrypter, plain: &[u8], sequence: u64) -> Vec<u8> {
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_2,
        payload: plain.into(),
    };
    encrypter.encrypt(message, sequence).unwrap().encode()[5..].to_vec()
}

fn open(
    decrypter: &mut dyn MessageDecrypter,
    sealed: &mut [u8],
    sequence: u64,
) -> Result<Vec<u8>, String> {
    let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
    let message = InboundOpaqueMessage::new(kind, version, sealed);
    let opened = decrypter.decrypt(message, sequence);
    opened.map(|plain| plain.payload.to_vec()).map_err(|error| error.to_string())
}

#[test]
fn what_is_sealed_is_opened_and_as_long_as_was_said() {
    for cbc in ALL {
        let (mut encrypter, mut decrypter) = pair(cbc);
        for (sequence, length) in (0..300).chain([4095, 4096, 16_383, 16_384]).enumerate() {
            let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut sealed = seal(encrypter.as_mut(), &plain, sequence as u64);
            assert_eq!(sealed.len(), encrypter.encrypted_payload_len(length), "{cbc:?} {length}");
            assert!(5 + sealed.len() <= length + SEALED_EXTRA_BYTES, "{cbc:?} {length}");
            let opened = open(decrypter.as_mut(), &mut sealed, sequence as u64);
            assert_eq!(opened.as_ref(), Ok(&plain), "{cbc:?} {length}");
        }
        // No two IVs are alike.
        let two = [0, 0].map(|sequence| seal(encrypter.as_mut(), b"same", sequence));
        assert_ne!(two[0], two[1], "{cbc:?}");
    }
}

/// Wrong in the IV, the text, the MAC or the padding, too short, or in another place: one error.
#[test]
fn whatever_is_wrong_the_error_is_the_same() {
    for cbc in ALL {
        let (mut encrypter, mut decrypter) = pair(cbc);
        for length in [0, 1, 15, 16, 37, 60] {
            let plain = vec![7; length];
            let sealed = seal(encrypter.as_mut(), &plain, 9);
            let mut expect_refusal = |mut changed: Vec<u8>, sequence, what: &str| {
                let opened = open(decrypter.as_mut(), &mut changed, sequence);
                assert_eq!(
                    opened,
                    Err("cannot decrypt peer's message".to_owned()),
                    "{cbc:?} {what}"
                );
            };
            for bit in 0..sealed.len() * 8 {
                let mut changed = sealed.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                expect_refusal(changed, 9, &format!("bit {bit}"));
            }
            for end in 0..sealed.len() {
                expect_refusal(sealed[..end].to_vec(), 9, &format!("cut at {end}"));
            }
            expect_refusal([&sealed[..], &[0; 16]].concat(), 9, "longer");
            expect_refusal(sealed.clone(), 10, "another number");
            assert_eq!(open(decrypter.as_mut(), &mut sealed.clone(), 9), Ok(plain), "still works");
        }
    }
}

#[test]
fn keys_of_one_side_come_to_lie_side_by_side() {
    let mut block: Vec<u8> = [[1; 20], [2; 20]].concat();
    block.extend([[3; 32], [4; 32]].concat());
    side_by_side(&mut block, Cbc::Aes256Sha1);
    assert_eq!(block, [&[1; 20][..], &[3; 32], &[2; 20], &[4; 32]].concat());
}

/// aws-lc-rs links one copy of its C library; another would have other types, and cost 2 MB.
#[test]
fn the_c_library_is_linked_once() {
    let lock = include_str!("../../../Cargo.lock");
    assert_eq!(lock.matches("name = \"aws-lc-sys\"\n").count(), 1);
}

/// Of each round one reading for each kind of record, in turn, so that whatever else the machine does
/// falls on all alike; then medians, in nanoseconds, which a few disturbed readings do not move.
fn medians(rounds: usize, kinds: &mut [impl FnMut()]) -> Vec<u64> {
    let mut readings = vec![Vec::with_capacity(rounds); kinds.len()];
    for round in 0..rounds {
        for at in 0..kinds.len() {
            // Each is measured behind each of the others.
            let kind = (at + round) % kinds.len();
            let from = monotonic();
            kinds[kind]();
            readings[kind].push(monotonic().since(from));
        }
    }
    let middle = |mut of: Vec<u64>| {
        of.sort_unstable();
        of[of.len() / 2]
    };
    readings.into_iter().map(middle).collect()
}

/// A wrong MAC, a wrong padding and a padding of another length take the same time: that
/// the library's functions have no branch and no index that depends on what is inside is their own
/// promise (`crypto/cipher_extra/tls_cbc.c` of aws-lc); this test would see it broken. Records of each
/// kind are opened in turn and their medians compared; a difference below 2 % is none, and on
/// a machine that has other work one of ten tries must be quiet. A record whose length is no multiple of
/// the block is refused before anything is hashed, since everybody can see its length: it shows that
/// the method would find such a difference.
#[test]
fn what_is_wrong_takes_the_same_time() {
    for cbc in ALL {
        for length in [300, 16_000] {
            let (mut encrypter, _) = pair(cbc);
            // So long that the padding is a whole block.
            let length = length - (length + cbc.mac_bytes()) % IV_BYTES;
            let sealed = seal(encrypter.as_mut(), &vec![7; length], 0);
            let last = sealed.len() - 1;
            // What is turned in one block comes out turned in the next.
            let turned = |at: usize, bits: u8| {
                let mut changed = sealed.clone();
                changed[at] ^= bits;
                changed
            };
            let records = [
                turned(IV_BYTES, 1),
                turned(last - IV_BYTES, 1),
                turned(last - IV_BYTES, 0xf0),
                sealed[..last].to_vec(),
            ];
            let quiet = (0..10).any(|_| {
                let mut openers: Vec<_> = records
                    .iter()
                    .map(|record| {
                        let (_, mut decrypter) = pair(cbc);
                        let mut room = record.clone();
                        move || {
                            room.copy_from_slice(record);
                            assert!(open(decrypter.as_mut(), &mut room, 0).is_err());
                        }
                    })
                    .collect();
                let mut medians = medians(400, &mut openers);
                // Deciphered too, and not hashed: the method sees what that is.
                let cut = medians.pop().unwrap();
                let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
                cut * 10 < *least * 9 && (*most as f64) / (*least as f64) < 1.02
            });
            assert!(quiet, "{cbc:?}, {length} bytes");
        }
    }
}

/// A listener for Windows 7, and what it is reached with.
struct Ends {
    terminator: Terminator,
    authorities: Authorities,
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let pair = certificate::load("a", chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let secrets = TicketSecrets::new().unwrap();
    let identity = Identity::new(0, vec![pair.key], ListenerProfile::Windows7, &secrets).unwrap();
    let mut terminator = Terminator::default();
    terminator.add("a.test", &identity);
    let certificates = rustls::pki_types::CertificateDer::pem_slice_iter(chain.as_bytes());
    let certificates: Vec<_> = certificates.map(Result::unwrap).collect();
    Ends { terminator, authorities: Authorities::these(&certificates).unwrap() }
});

/// Of two that could speak better, since only the old suites are left to the client.
fn shaken(suite: OldSuite) -> (Session, Session) {
    let settings = ConnectorSettings {
        authorities: ENDS.authorities.clone(),
        pin_sha256: Vec::new(),
        verify: None,
        send_name: true,
        profile: Profile::Windows2012R2 { sha384: false },
    };
    let mut provider = (*settings.profile.provider()).clone();
    provider.cipher_suites.retain(|one| OldSuite::of(one.suite()) == Some(suite));
    let connector = Connector::offering(&settings, Arc::new(provider)).unwrap();
    let mut client = connector.connect("a.test").unwrap();
    let mut server = None;
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    client.receive(&mut [], |_| (), &mut to_server).unwrap();
    for _ in 0..6 {
        let server = server.get_or_insert_with(|| {
            let greeting = ENDS.terminator.greet(&to_server, &mut Vec::new());
            greeting.unwrap().unwrap().session
        });
        exchange(server, &mut to_server, &mut to_client);
        exchange(&mut client, &mut to_client, &mut to_server);
    }
    let server = server.unwrap();
    assert!(client.is_established() && server.is_established());
    assert_eq!((client.old_suite(), server.old_suite()), (Some(suite), Some(suite)));
    (client, server)
}

fn exchange(session: &mut Session, from: &mut Vec<u8>, to: &mut Vec<u8>) {
    let used = session.receive(from, |_| (), to).unwrap().used;
    from.drain(..used);
}

/// What is done to a record on its way.
type Spoil = fn(&mut Vec<u8>);

#[test]
fn a_peer_is_told_the_same_whatever_is_wrong() {
    for suite in [OldSuite::Aes128Sha256, OldSuite::Aes256Sha, OldSuite::Aes128Sha] {
        let cases: [(&str, Spoil); 5] = [
            ("nothing", |_| ()),
            ("wrong MAC", |record| record[5 + IV_BYTES] ^= 1),
            ("wrong padding", |record| {
                let last = record.len() - 1;
                record[last - IV_BYTES] ^= 1;
            }),
            ("cut block", |record| {
                record.pop();
                record[4] -= 1;
            }),
            ("too short for a MAC", |record| {
                record.truncate(5 + 2 * IV_BYTES);
                record[3..5].copy_from_slice(&[0, 32]);
            }),
        ];
        let mut told = Vec::new();
        for (what, spoil) in cases {
            let (mut client, mut server) = shaken(suite);
            let mut room = vec![0; 40 + 3 * SEALED_EXTRA_BYTES];
            let sealed = client.seal(&mut [], &[7; 40], &mut room).unwrap();
            room.truncate(sealed);
            spoil(&mut room);
            let (mut plain, mut alert) = (Vec::new(), Vec::new());
            let result = server.receive(&mut room, |it| plain.extend_from_slice(it), &mut alert);
            if what == "nothing" {
                assert!(result.is_ok() && plain == [7; 40], "{suite:?}");
                continue;
            }
            assert!(plain.is_empty(), "{suite:?}, {what}");
            let here = result.unwrap_err().to_string();
            let there = client.receive(&mut alert, |_| (), &mut Vec::new()).unwrap_err();
            told.push((here, there.to_string(), alert.len()));
        }
        told.dedup();
        assert_eq!(told.len(), 1, "{suite:?}: {told:?}");
        assert_eq!(told[0].1, "received fatal alert: BadRecordMac", "{suite:?}");
    }
}
