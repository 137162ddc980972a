//! How backends are met: which authorities vouch for them, which name they must have, and what is
//! shown to them.
//!
//! Every backend is verified: a value here has a name and authorities, and there is no way to make
//! one that looks at neither. The handshake is rustls's, when it happens is `contact.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
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
    /// The file of the authorities that vouch for the backend; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// The name that the backend's certificate must have, and that it is asked for.
    pub server_name: ServerName<'static>,
    /// What is shown to a backend that asks for a certificate.
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
        let impossible =
            |_| vec![FileFault { file: None, what: "TLS cannot be set up on this machine; leave it out".to_owned() }];
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

/// The authorities that this machine trusts: its operator keeps them up to date, and they do not
/// age with the program.
fn of_the_machine() -> Result<RootCertStore, FileFault> {
    let mut store = RootCertStore::empty();
    // Single ones that cannot be read are no reason to do without all others.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        let what =
            "has no `ca`, and this machine has no certificate authorities; name the file of the backend's in `ca`";
        return Err(FileFault { file: None, what: what.to_owned() });
    }
    Ok(store)
}

/// The pairs whose certificates are out of their time.
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

/// When the first of the pairs' certificates ends, in seconds since 1970.
pub fn first_end<'p>(pairs: impl Iterator<Item = &'p Pair>, snapshot: &FileContents) -> Option<u64> {
    pairs.filter_map(|pair| files::end(snapshot.pair(pair).ok()?.cert.first()?)).min()
}
