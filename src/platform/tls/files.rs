//! PEM files: a snapshot of their bytes, and the certificates, keys and authorities in them.
//!
//! An error names the file, what is wrong with it and how to fix it, and never shows its content. `server.rs` and
//! `client.rs` put the parts together.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};

use super::provider::provider;
use crate::platform::files::{self, Unreadable};

/// The most bytes of a PEM file; a bundle of all public authorities has a quarter of a mebibyte.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The most certificates in a chain.
const MAX_CHAIN: usize = 16;

/// A certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, followed by the intermediate ones.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// `None` if the machine or the settings as a whole are at fault.
    pub file: Option<PathBuf>,
    /// What is wrong and, after `; `, what to do instead.
    pub what: String,
    /// Whether nothing of the file could be read.
    pub unread: bool,
}

impl FileFault {
    /// A fault of the machine, or of the settings as a whole.
    pub fn of_no_file(what: impl Into<String>) -> FileFault {
        FileFault { file: None, what: what.into(), unread: false }
    }

    /// The fault in a message at the key that names the file. What cannot be read is told with its whole path, of which
    /// the key has only a part.
    pub fn at_its_key(&self) -> String {
        match &self.file {
            Some(file) if self.unread => format!("names {}, which {}", file.display(), self.what),
            Some(_) | None => self.what.clone(),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(formatter, "{} {}", file.display(), self.what),
            None => formatter.write_str(&self.what),
        }
    }
}

/// A certificate that has expired or is not valid yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    pub file: PathBuf,
    pub what: &'static str,
}

impl fmt::Display for Overdue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.file.display(), self.what)
    }
}

/// The bytes of some files, all read at one time.
pub struct FileContents(BTreeMap<PathBuf, Result<Vec<u8>, &'static str>>);

impl FileContents {
    /// Reads the files.
    pub fn take<'f>(files: impl IntoIterator<Item = &'f Path>) -> FileContents {
        FileContents(files.into_iter().map(|file| (file.to_owned(), read(file))).collect())
    }

    /// A digest by which two snapshots are compared.
    pub fn print(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for (file, bytes) in &self.0 {
            let bytes = bytes.as_deref().unwrap_or_else(|what| what.as_bytes());
            for part in [file.as_os_str().as_encoded_bytes(), bytes] {
                hasher.update(part.len().to_le_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().into()
    }

    fn bytes(&self, file: &Path) -> Result<&[u8], FileFault> {
        match self.0.get(file) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(what)) => Err(FileFault { unread: true, ..fault(file, *what) }),
            None => Err(fault(file, "was not read; name a file that this user may read")),
        }
    }

    /// The certificates of a file, at least one.
    pub(super) fn certificates(&self, file: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
        const NOT_PEM: &str = "is not a PEM file of certificates; write them as BEGIN CERTIFICATE blocks";
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes(file)?).collect();
        let certificates = certificates.map_err(|_| fault(file, NOT_PEM))?;
        if certificates.is_empty() { Err(fault(file, NOT_PEM)) } else { Ok(certificates) }
    }

    /// The authorities of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn authorities(&self, file: &Path) -> Result<RootCertStore, FileFault> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates(file)? {
            if store.add(certificate).is_err() {
                let what = "has a certificate that cannot be an authority; use a file of authorities only";
                return Err(fault(file, what));
            }
        }
        Ok(store)
    }

    /// A certificate with its matching key.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn pair(&self, pair: &Pair) -> Result<CertifiedKey, Vec<FileFault>> {
        let chain = self.chain(&pair.certificate);
        let key = self.key(&pair.key);
        match (chain, key) {
            (Ok(chain), Ok(key)) => {
                let certified = CertifiedKey::new(chain, key);
                match certified.keys_match() {
                    Ok(()) => Ok(certified),
                    Err(_) => Err(vec![fault(
                        &pair.key,
                        "does not belong to the certificate; name the key that the certificate was made for",
                    )]),
                }
            }
            (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
        }
    }

    fn chain(&self, file: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
        let chain = self.certificates(file)?;
        if chain.len() > MAX_CHAIN {
            return Err(fault(
                file,
                "has more than 16 certificates; keep the server's own and those up to its authority",
            ));
        }
        if !is_in_order(&chain) {
            return Err(fault(
                file,
                "has its certificates in the wrong order; write the server's own first, and after each one that of its issuer",
            ));
        }
        match chain.first().map(EndEntityCert::try_from) {
            Some(Ok(_)) => Ok(chain),
            Some(Err(_)) | None => {
                Err(fault(file, "has a first certificate that cannot be used; put one of X.509 version 3 there"))
            }
        }
    }

    fn key(&self, file: &Path) -> Result<Arc<dyn rustls::sign::SigningKey>, FileFault> {
        let bytes = self.bytes(file)?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(bytes) else {
            let encrypted = memchr::memmem::find(bytes, b"ENCRYPTED").is_some();
            return Err(fault(
                file,
                match encrypted {
                    true => "is an encrypted key; write it without a passphrase, readable only by this user",
                    false => "is not a PEM file of a private key; write one as a BEGIN PRIVATE KEY block",
                },
            ));
        };
        let unusable = "has a key of an unsupported kind; use ECDSA P-256 or P-384, Ed25519, or RSA from 2048 bits";
        provider().key_provider.load_private_key(key).map_err(|_| fault(file, unusable))
    }
}

/// Whether each certificate whose issuer is in the chain is directly before it (RFC 5246, section 7.4.2; RFC 8446,
/// section 4.4.2, only requires that the first is the server's own, but clients differ).
fn is_in_order(chain: &[CertificateDer<'_>]) -> bool {
    // The names of a certificate of another version cannot be read, so it is skipped.
    let parsed: Vec<_> = chain.iter().map(|certificate| EndEntityCert::try_from(certificate).ok()).collect();
    let names: Vec<_> = parsed.iter().map(|one| one.as_ref().map(|one| (one.subject(), one.issuer()))).collect();
    names.iter().enumerate().all(|(number, name)| {
        let Some((subject, issuer)) = name else { return true };
        let issues = |other: &Option<(&[u8], &[u8])>| other.is_some_and(|(subject, _)| subject == *issuer);
        subject == issuer || names.get(number + 1).is_some_and(issues) || !names.iter().any(issues)
    })
}

/// A fault of a file.
pub fn fault(file: &Path, what: impl Into<String>) -> FileFault {
    FileFault { file: Some(file.to_owned()), what: what.into(), unread: false }
}

fn read(file: &Path) -> Result<Vec<u8>, &'static str> {
    files::bytes(file, MAX_FILE_BYTES).map_err(|why| match why {
        Unreadable::NotThere => "does not exist; name a file that does",
        Unreadable::Forbidden => "may not be read; allow this user to read it",
        Unreadable::NotAFile("a directory") => "is a directory; name a file in it",
        Unreadable::NotAFile(_) => "is a device, a FIFO or a socket; name a file",
        Unreadable::TooLarge(_) => "is larger than 4 MiB; keep only what is needed",
        Unreadable::OtherEncoding | Unreadable::NotUtf8(_) | Unreadable::Other(_) => {
            "cannot be read; name a file that this user may read"
        }
    })
}

/// The DNS names of a certificate, in lower case; a leading `*.` matches one label.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let names = EndEntityCert::try_from(certificate);
    names.map(|parsed| parsed.valid_dns_names().map(str::to_ascii_lowercase).collect()).unwrap_or_default()
}

/// When a certificate expires, in seconds since 1970; `None` if it cannot be read.
pub fn end(certificate: &CertificateDer<'_>) -> Option<u64> {
    // Far beyond the last year that a certificate can state (RFC 5280, section 4.1.2.5), so that every certificate has
    // expired, and the error says when.
    let never = UnixTime::since_unix_epoch(Duration::from_secs(u64::from(u32::MAX) * 1000));
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    match certificate.verify_for_usage(&[], &[], &[], never, KeyUsage::server_auth(), None, None).err()? {
        webpki::Error::CertExpired { not_after, .. } => Some(not_after.as_secs()),
        _ => None,
    }
}

/// Whether the certificate has expired or is not valid yet at `now`, as a message.
pub fn overdue(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<&'static str> {
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).ok()?);
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // Without authorities the verification always fails; but the certificate's validity period is checked first.
    let judged = certificate.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None);
    match judged.err()? {
        webpki::Error::CertExpired { .. } => Some("has expired; put the renewed certificate there"),
        webpki::Error::CertNotValidYet { .. } => Some("is not valid yet; put a valid one there, or set the clock"),
        _ => None,
    }
}
