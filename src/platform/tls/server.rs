//! TLS towards clients: the certificate for the name they ask for, and whether they must present
//! one of their own.
//!
//! The names are read from the certificates. The handshake is rustls's; it is made, with its time
//! limit, in `downstream/accept.rs`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::files::{self, FileContents, FileFault, Overdue, Pair, fault};
use super::follow::{Files, Followed};
use super::provider::{VERSIONS, provider};

/// The most certificates of one listener.
pub const MAX_CERTIFICATES: usize = 1000;

/// HTTP/2 is preferred, since it needs fewer connections.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS of a listener, which follows its files.
pub type ServerTls = Followed<ServerFiles>;

/// The files of a listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// At least one; the first is for clients that name no host, or one that no certificate has.
    pub pairs: Box<[Pair]>,
    pub clients: Clients,
}

/// Whether clients need a certificate; the file has the authorities that must have issued it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// No certificate.
    Anonymous,
    /// A certificate is optional; an invalid one is refused.
    Optional(PathBuf),
    Required(PathBuf),
}

impl Clients {
    fn authorities(&self) -> Option<&Path> {
        match self {
            Clients::Anonymous => None,
            Clients::Optional(file) | Clients::Required(file) => Some(file),
        }
    }
}

/// The configuration of a listener's handshakes.
pub struct Handshakes {
    pub config: Arc<ServerConfig>,
    /// The verifier of clients' certificates; `None` if none is requested.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Handshakes {
    /// Whether the client may be served after its handshake. A session that is resumed by a ticket
    /// has the certificate of the original handshake, up to 12 hours ago, which rustls does not
    /// verify again: it and its chain have to be valid now (RFC 8446, section 4.6.1, leaves that to
    /// the server).
    pub fn admit(&self, connection: &ServerConnection, now: UnixTime) -> bool {
        match (connection.handshake_kind(), &self.clients, connection.peer_certificates()) {
            (Some(HandshakeKind::Resumed), Some(verifier), Some([end_entity, intermediates @ ..])) => {
                verifier.verify_client_cert(end_entity, intermediates, now).is_ok()
            }
            _ => true,
        }
    }
}

impl Files for ServerFiles {
    type Made = Handshakes;

    fn files(&self) -> Vec<&Path> {
        let of_pairs = self.pairs.iter().flat_map(|pair| [&*pair.certificate, &*pair.key]);
        of_pairs.chain(self.clients.authorities()).collect()
    }

    fn make(&self, snapshot: &FileContents) -> Result<Handshakes, Vec<FileFault>> {
        let mut faults = Vec::new();
        let mut certificates = Certificates::default();
        for pair in &self.pairs {
            match snapshot.pair(pair) {
                Ok(certified) => faults.extend(certificates.add(certified, &pair.certificate).err()),
                Err(found) => faults.extend(found),
            }
        }
        let authorities = self.clients.authorities().map(|file| snapshot.authorities(file)).transpose();
        let authorities = authorities.map_err(|found| faults.push(found)).unwrap_or_default();
        if !faults.is_empty() {
            return Err(faults);
        }
        let impossible = |_| {
            let what = "TLS cannot be set up; check whether this machine has a source of random numbers";
            vec![FileFault::of_no_file(what)]
        };
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(impossible)?;
        let clients: Option<Arc<dyn ClientCertVerifier>> = match authorities {
            None => None,
            Some(authorities) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider());
                let verifier = match self.clients {
                    Clients::Required(_) => verifier,
                    Clients::Optional(_) | Clients::Anonymous => verifier.allow_unauthenticated(),
                };
                let unfit = "has no authority that certificates can be verified with; name another one";
                let file = self.clients.authorities().map(Path::to_owned);
                let fault = |_| vec![FileFault { file, ..FileFault::of_no_file(unfit) }];
                Some(verifier.build().map_err(fault)?)
            }
        };
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are resumed by tickets, so that they take no memory here. The ticket keys are
        // renewed with the configuration, so that sessions do not outlive the authority that
        // admitted them.
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(impossible)?;
        Ok(Handshakes { config: Arc::new(config), clients })
    }

    fn overdue(&self, snapshot: &FileContents, now: SystemTime) -> Vec<Overdue> {
        super::client::overdue_pairs(self.pairs.iter(), snapshot, now)
    }

    fn end(&self, snapshot: &FileContents) -> Option<u64> {
        super::client::first_end(self.pairs.iter(), snapshot)
    }
}

/// All certificates of a listener, by the names in them.
#[derive(Default)]
struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By the name after `*.`.
    wildcard: HashMap<Box<str>, Vec<usize>>,
}

impl Certificates {
    fn add(&mut self, certified: CertifiedKey, file: &Path) -> Result<(), FileFault> {
        let index = self.all.len();
        let names = certified.cert.first().map(files::names).unwrap_or_default();
        if names.is_empty() && index > 0 {
            let what = "has no DNS name, so no client would ever get it; put it first, or remove it";
            return Err(fault(file, what));
        }
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, &*name),
            };
            map.entry(name.into()).or_default().push(index);
        }
        self.all.push(Arc::new(certified));
        Ok(())
    }

    /// The indexes of the certificates with a name; exact matches exclude wildcards.
    fn of(&self, name: &str) -> &[usize] {
        let name = name.to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        self.exact.get(&*name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    /// Of several certificates with a name, the first whose kind of key the client supports.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let indexes = hello.server_name().map_or(&[] as &[usize], |name| self.of(name));
        let mut named = indexes.iter().filter_map(|index| self.all.get(*index));
        let known = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        named.clone().find(known).or_else(|| named.next()).or_else(|| self.all.first()).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Certificates({} ***)", self.all.len())
    }
}
