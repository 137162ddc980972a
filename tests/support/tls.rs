//! Authorities and certificates that are made for one test, clients that speak TLS with them, and a
//! backend that does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::{ANSWER, PATIENCE};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names, DNS names or addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// A certificate of a client that is in force from one second since 1970 to another.
    pub fn issue_for(&self, name: &str, from: u64, to: u64) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let at = |second| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(second);
        (params.not_before, params.not_after) = (at(from), at(to));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

impl Issued {
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// How a client speaks TLS.
#[derive(Clone)]
pub struct TlsSettings {
    roots: RootCertStore,
    /// What the certificate must be good for, and what is asked for unless it is an address.
    name: String,
    sni: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    shows: Option<Issued>,
}

impl TlsSettings {
    pub fn new(authority: &Authority, name: &str) -> TlsSettings {
        TlsSettings {
            roots: authority.roots(),
            name: name.to_owned(),
            sni: true,
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: Vec::new(),
            shows: None,
        }
    }

    /// Does not say which host is wanted.
    pub fn without_sni(mut self) -> TlsSettings {
        self.sni = false;
        self
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> TlsSettings {
        self.versions = vec![version];
        self
    }

    pub fn alpn(mut self, protocols: &[&str]) -> TlsSettings {
        self.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Shows a certificate when it is asked for one.
    pub fn showing(mut self, issued: &Issued) -> TlsSettings {
        self.shows = Some(issued.clone());
        self
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&self.versions).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.shows {
            Some(issued) => builder.with_client_auth_cert(vec![issued.der()], issued.private_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sni;
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }

    pub fn name(&self) -> ServerName<'static> {
        ServerName::try_from(self.name.clone()).unwrap()
    }

    pub fn connection(&self) -> ClientConnection {
        ClientConnection::new(self.config(), self.name()).unwrap()
    }
}

/// What a backend with TLS has seen.
#[derive(Default)]
struct Seen {
    handshakes: AtomicUsize,
    refused: AtomicUsize,
    requests: AtomicUsize,
    names: Mutex<Vec<Option<String>>>,
    /// The requests themselves, head and body.
    bytes: Mutex<Vec<Vec<u8>>>,
}

/// A backend that speaks TLS and gives every request a sound answer.
pub struct TlsBackend {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl TlsBackend {
    /// With a certificate, and with the authority that clients must have theirs from.
    pub fn start(issued: &Issued, clients: Option<&Authority>) -> TlsBackend {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider()).build().unwrap(),
            ),
        };
        let config = Arc::new(builder.with_single_cert(vec![issued.der()], issued.private_key()).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (seen, config) = (Arc::clone(&seen), Arc::clone(&config));
                    std::thread::spawn(move || answer_all(stream, config, &seen));
                }
            })
        };
        TlsBackend { address, seen, stop, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn handshakes(&self) -> usize {
        self.seen.handshakes.load(Ordering::SeqCst)
    }

    pub fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// What every request was, head and body.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.seen.bytes.lock().unwrap().clone()
    }

    /// The hosts that were asked for in handshakes.
    pub fn names(&self) -> Vec<Option<String>> {
        self.seen.names.lock().unwrap().clone()
    }
}

impl Drop for TlsBackend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn answer_all(mut stream: TcpStream, config: Arc<ServerConfig>, seen: &Seen) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut connection = ServerConnection::new(config).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut stream).is_err() {
            seen.refused.fetch_add(1, Ordering::SeqCst);
            // The alert that says why.
            let _ = connection.complete_io(&mut stream);
            return;
        }
    }
    seen.names.lock().unwrap().push(connection.server_name().map(str::to_owned));
    seen.handshakes.fetch_add(1, Ordering::SeqCst);
    let mut stream = StreamOwned::new(connection, stream);
    let mut input = Vec::new();
    loop {
        let end = input.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let whole = end.map(|end| {
            let head = String::from_utf8_lossy(&input[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            end + length.map_or(0, |length| length.parse::<usize>().unwrap())
        });
        match whole {
            Some(whole) if input.len() >= whole => {
                seen.bytes.lock().unwrap().push(input.drain(..whole).collect());
                seen.requests.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
                    ANSWER.len()
                );
                if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
                    return;
                }
            }
            Some(_) | None => {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => input.extend_from_slice(&buffer[..count]),
                    Ok(0) | Err(_) => return,
                }
            }
        }
    }
}
