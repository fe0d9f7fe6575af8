//! `[certificate]`.

use super::judge::Judge;
use crate::document::{self, Named};
use crate::tls::certificate::{self, Certificate};
use crate::tls::chain;

/// `o+r`
const READABLE_BY_OTHERS: u32 = 0o004;

impl Judge<'_> {
    /// By their places in the Document; `None` for one that was complained about.
    pub(super) fn certificates(&mut self) -> Vec<Option<Certificate>> {
        let document = self.document;
        document.certificates.iter().map(|entry| self.certificate(entry)).collect()
    }

    fn certificate(&mut self, entry: &Named<document::Certificate>) -> Option<Certificate> {
        let Named { name, table } = entry;
        let what = format!("certificate `{}`", name.value);
        if table.chain.is_none() {
            self.faults.missing(name.at, &what, "chain", "chain = \"certs/chain.pem\"");
        }
        if table.key.is_none() {
            self.faults.missing(name.at, &what, "key", "key = \"certs/key.pem\"");
        }
        let chain = table.chain.as_ref().and_then(|chain| self.file(chain));
        let key = table.key.as_ref().and_then(|key| self.file(key));
        let (chain_at, key_at) = (table.chain.as_ref()?.at, table.key.as_ref()?.at);
        let ((chain_path, chain), (key_path, key)) = (chain?, key?);
        match certificate::load(&name.value, &chain, &key) {
            Ok(certificate) if certificate.names.is_empty() => {
                self.faults.certificate_without_names(chain_at, &chain_path);
                None
            }
            Ok(certificate) => {
                for finding in chain::examine(&certificate.chain, self.now) {
                    self.faults.chain(chain_at, &chain_path, &finding);
                }
                if self.source.mode(&key_path).is_some_and(|mode| mode & READABLE_BY_OTHERS != 0) {
                    self.faults.key_readable(key_at, &key_path);
                }
                Some(certificate)
            }
            Err(fault) => {
                self.faults.certificate((chain_at, &chain_path), (key_at, &key_path), fault);
                None
            }
        }
    }
}
