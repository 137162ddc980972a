//! TLS towards backends: which authorities are trusted, which name the backend must have, and which
//! certificate it is shown.
//!
//! Every backend is verified: there is no way to make a value here without a name and authorities.
//! The handshake is rustls's; it is made in `upstream/connector.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::files::{self, FileContents, FileFault, Overdue, Pair};
use super::follow::{Files, Followed};
use super::provider::{VERSIONS, provider};

/// The TLS towards the servers of an upstream, which follows its files.
pub type ClientTls = Followed<ClientFiles>;

/// The settings of an upstream's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The file of the authorities to trust; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// The name that the backend's certificate must have; it is also sent in the handshake (SNI).
    pub server_name: ServerName<'static>,
    /// The certificate for a backend that asks for one.
    pub pair: Option<Pair>,
}

impl Files for ClientFiles {
    type Made = ClientConfig;

    fn files(&self) -> Vec<&Path> {
        let of_pair = self.pair.iter().flat_map(|pair| [&*pair.certificate, &*pair.key]);
        of_pair.chain(self.authorities.as_deref()).collect()
    }

    fn make(&self, snapshot: &FileContents) -> Result<ClientConfig, Vec<FileFault>> {
        let authorities = match &self.authorities {
            Some(file) => snapshot.authorities(file),
            None => of_the_machine(),
        };
        let pair = self.pair.as_ref().map(|pair| snapshot.pair(pair)).transpose();
        let (authorities, pair) = match (authorities, pair) {
            (Ok(authorities), Ok(pair)) => (authorities, pair),
            (authorities, pair) => {
                return Err(authorities.err().into_iter().chain(pair.err().into_iter().flatten()).collect());
            }
        };
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS);
        let impossible = |_| vec![FileFault::of_no_file("TLS cannot be set up on this machine; remove it")];
        let builder = builder.map_err(impossible)?.with_root_certificates(authorities);
        let mut config = match pair {
            Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn overdue(&self, snapshot: &FileContents, now: SystemTime) -> Vec<Overdue> {
        overdue_pairs(self.pair.iter(), snapshot, now)
    }

    fn end(&self, snapshot: &FileContents) -> Option<u64> {
        first_end(self.pair.iter(), snapshot)
    }
}

/// The certificates of the authorities of a file, or of those that this machine trusts.
///
/// # Errors
/// What is wrong with them.
pub fn authorities(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs().certs;
        return if found.is_empty() { Err(none_of_the_machine()) } else { Ok(found) };
    };
    let snapshot = FileContents::take([file]);
    snapshot.authorities(file)?;
    snapshot.certificates(file)
}

/// The authorities that this machine trusts: unlike a built-in list, they are kept up to date with
/// the machine.
fn of_the_machine() -> Result<RootCertStore, FileFault> {
    let mut store = RootCertStore::empty();
    // Authorities that cannot be parsed are skipped.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(none_of_the_machine()) } else { Ok(store) }
}

fn none_of_the_machine() -> FileFault {
    let what = "has no `ca`, and this machine has no certificate authorities; name a file of the other side's in `ca`";
    FileFault::of_no_file(what)
}

/// The pairs whose certificates have expired or are not valid yet.
pub fn overdue_pairs<'p>(
    pairs: impl Iterator<Item = &'p Pair>,
    snapshot: &FileContents,
    now: SystemTime,
) -> Vec<Overdue> {
    let judged = |pair: &Pair| {
        let certified = snapshot.pair(pair).ok()?;
        let what = files::overdue(certified.cert.first()?, now)?;
        Some(Overdue { file: pair.certificate.clone(), what })
    };
    pairs.filter_map(judged).collect()
}

/// When the first of the pairs' certificates expires, in seconds since 1970.
pub fn first_end<'p>(pairs: impl Iterator<Item = &'p Pair>, snapshot: &FileContents) -> Option<u64> {
    pairs.filter_map(|pair| files::end(snapshot.pair(pair).ok()?.cert.first()?)).min()
}
