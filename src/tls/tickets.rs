//! Session tickets without a store: each is sealed under a key that is derived from one secret of
//! the process and the identity that the session belongs to (RFC 5077; RFC 8446 section 4.6.1).
//!
//! A session never resumes across two identities, since neither can open the other's tickets; it
//! does resume on every worker and after a reload, since all share the secret.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, rand};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

/// Seconds for which a ticket may be used; the secret is to be rotated twice in that time.
const LIFETIME_SECONDS: u32 = 12 * 3600;

const NAME_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;

/// The secret in force and the one before it.
pub struct TicketSecrets {
    generations: ArcSwap<[Secret; 2]>,
}

#[derive(Clone, Copy)]
struct Secret {
    name: [u8; NAME_BYTES],
    key: [u8; 32],
}

impl fmt::Debug for TicketSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecrets(..)")
    }
}

impl Secret {
    fn fresh() -> Result<Self, &'static str> {
        let mut secret = Self { name: [0; NAME_BYTES], key: [0; 32] };
        let filled = rand::fill(&mut secret.name).and_then(|()| rand::fill(&mut secret.key));
        filled.map(|()| secret).map_err(|_| "the system gives no random numbers")
    }
}

impl TicketSecrets {
    /// Two fresh secrets.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Arc<Self>, &'static str> {
        let generations = ArcSwap::from_pointee([Secret::fresh()?, Secret::fresh()?]);
        Ok(Arc::new(Self { generations }))
    }

    /// How often [`TicketSecrets::rotate`] is to be called, in seconds.
    pub const ROTATE_SECONDS: u64 = LIFETIME_SECONDS as u64 / 2;

    /// A fresh secret comes into force; tickets of the one before it are still taken.
    ///
    /// # Errors
    /// The system gives no random numbers; the old secret stays.
    pub fn rotate(&self) -> Result<(), &'static str> {
        let [current, _] = **self.generations.load();
        self.generations.store(Arc::new([Secret::fresh()?, current]));
        Ok(())
    }
}

/// Seals and opens the tickets of one identity.
pub(super) struct Ticketer {
    pub(super) secrets: Arc<TicketSecrets>,
    pub(super) identity: [u8; 32],
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticketer(..)")
    }
}

impl Ticketer {
    fn key(&self, secret: &Secret) -> Option<RandomizedNonceKey> {
        let info: [&[u8]; 2] = [b"gatehouse ticket", &self.identity];
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, &secret.name)
            .extract(&secret.key)
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut key))
            .ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    /// `[name of the secret | nonce | sealed session and tag]`
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let [current, _] = **self.secrets.generations.load();
        let mut sealed = plain.to_vec();
        let aad = Aad::from(current.name);
        let nonce = self.key(&current)?.seal_in_place_append_tag(aad, &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_BYTES + sealed.len());
        ticket.extend_from_slice(&current.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let generations = self.secrets.generations.load();
        let secret = generations.iter().find(|secret| secret.name == *name)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = self.key(secret)?;
        let length = key.open_in_place(nonce, Aad::from(*name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

/// Sessions of clients that know no tickets, by their numbers, for one identity. They end with the
/// secret that was in force when they began, as tickets do.
pub(super) struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    secrets: Arc<TicketSecrets>,
}

impl Sessions {
    /// For so many; past that the oldest are forgotten.
    pub(super) fn new(most: usize, secrets: &Arc<TicketSecrets>) -> Arc<Self> {
        let kept = ServerSessionMemoryCache::new(most);
        Arc::new(Self { kept, secrets: Arc::clone(secrets) })
    }

    /// The session without the name of its secret, if that is still in force.
    fn alive(&self, mut value: Vec<u8>) -> Option<Vec<u8>> {
        let (_, name) = value.split_last_chunk::<NAME_BYTES>()?;
        let generations = self.secrets.generations.load();
        generations.iter().find(|secret| secret.name == *name)?;
        value.truncate(value.len() - NAME_BYTES);
        Some(value)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(..)")
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, number: Vec<u8>, mut value: Vec<u8>) -> bool {
        let [current, _] = **self.secrets.generations.load();
        value.extend_from_slice(&current.name);
        self.kept.put(number, value)
    }

    fn get(&self, number: &[u8]) -> Option<Vec<u8>> {
        self.alive(self.kept.get(number)?)
    }

    fn take(&self, number: &[u8]) -> Option<Vec<u8>> {
        self.alive(self.kept.take(number)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer(secrets: &Arc<TicketSecrets>, identity: u8) -> Ticketer {
        Ticketer { secrets: Arc::clone(secrets), identity: [identity; 32] }
    }

    #[test]
    fn a_session_resumes_within_one_identity_only() {
        let secrets = TicketSecrets::new().unwrap();
        let ticket = ticketer(&secrets, 1).encrypt(b"session").unwrap();
        assert_eq!(ticketer(&secrets, 1).decrypt(&ticket).as_deref(), Some(b"session".as_slice()));
        assert_eq!(ticketer(&secrets, 2).decrypt(&ticket), None);
    }

    #[test]
    fn tickets_outlive_one_rotation_and_not_two() {
        let secrets = TicketSecrets::new().unwrap();
        let ours = ticketer(&secrets, 1);
        let ticket = ours.encrypt(b"session").unwrap();
        secrets.rotate().unwrap();
        assert!(ours.decrypt(&ticket).is_some());
        secrets.rotate().unwrap();
        assert_eq!(ours.decrypt(&ticket), None);
    }

    #[test]
    fn a_session_by_number_lives_as_long_as_a_ticket() {
        let secrets = TicketSecrets::new().unwrap();
        let sessions = Sessions::new(8, &secrets);
        assert!(sessions.put(vec![1], b"session".to_vec()));
        secrets.rotate().unwrap();
        assert_eq!(sessions.get(&[1]).as_deref(), Some(b"session".as_slice()));
        assert_eq!(sessions.get(&[2]), None);
        secrets.rotate().unwrap();
        assert_eq!(sessions.get(&[1]), None);
        for number in 0..100 {
            sessions.put(vec![number], vec![number]);
        }
        assert_eq!((sessions.take(&[99]), sessions.take(&[99])), (Some(vec![99]), None));
        assert_eq!(sessions.get(&[0]), None, "the oldest make room");
    }

    #[test]
    fn a_changed_or_cut_ticket_is_no_ticket() {
        let secrets = TicketSecrets::new().unwrap();
        let ours = ticketer(&secrets, 1);
        let ticket = ours.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ours.decrypt(&changed), None, "bit of byte {at}");
            assert_eq!(ours.decrypt(&ticket[..at]), None, "cut at {at}");
        }
    }
}
