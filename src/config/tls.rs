//! `tls` of listeners and upstreams, with the files that it names.
//!
//! Every file is read and checked here, so that mistakes in it are reported where it is named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::source::Source;
use crate::config::yaml::{Mistakes, Place, Written};
use crate::platform::tls::Pair;
use crate::platform::tls::client::{ClientFiles, ClientTls};
use crate::platform::tls::follow::{Files, Followed};
use crate::platform::tls::server::{Clients, MAX_CERTIFICATES, ServerFiles, ServerTls};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::yaml::{Listed, Written};

    /// TLS of a listener.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["certificates"]))]
    pub struct ListenerTls {
        /// A client gets the certificate with the name it asks for, exact or by a wildcard; the first is for all
        /// others. Changed files come into force within seconds.
        #[schemars(length(min = 1))]
        pub certificates: Written<Listed<CertificatePair>>,
        /// A PEM file of the authorities that must have issued clients' certificates. Default: clients need no
        /// certificate.
        pub client_ca: Written<String>,
        /// With `client_ca`: whether clients must have a certificate. Default: required.
        pub client_certificate: Written<ClientCertificate>,
    }

    /// A certificate and its key.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["certificate", "key"]))]
    pub struct CertificatePair {
        /// A PEM file of the certificate, followed by the intermediate ones.
        pub certificate: Written<String>,
        /// A PEM file of its private key, without a passphrase.
        pub key: Written<String>,
    }

    /// Whether clients must have a certificate.
    #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum ClientCertificate {
        /// A certificate is optional.
        Optional,
        /// A certificate is required.
        Required,
    }

    /// TLS towards a backend.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct UpstreamTls {
        /// A PEM file of the authorities to trust. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// The name that the servers' certificate must have. Default: that of `host`.
        pub server_name: Written<String>,
        /// A PEM file of the client certificate, for servers that ask for one. Default: none.
        pub certificate: Written<String>,
        /// The private key of `certificate`, a PEM file.
        pub key: Written<String>,
    }
}

/// The named files, and the places where they are named.
#[derive(Default)]
struct Named(Vec<(PathBuf, Place)>);

impl Named {
    /// The path of a file, if it is written.
    fn file(&mut self, written: Written<String>, source: &Source, mistakes: &mut Mistakes) -> Option<PathBuf> {
        let Written::Here(name, place) = written else { return None };
        if name.trim().is_empty() || name.contains('\0') {
            mistakes.push(place, "is not the name of a file; write one as in tls/api.pem");
            return None;
        }
        let path = in_directory(source, name);
        self.0.push((path.clone(), place));
        Some(path)
    }

    /// A certificate and its key, both of which are required.
    fn pair(
        &mut self,
        (certificate, key): (Written<String>, Written<String>),
        parent: &Place,
        source: &Source,
        mistakes: &mut Mistakes,
    ) -> Option<Pair> {
        for (written, name, instead) in [
            (&certificate, "certificate", "name the PEM file of the certificate that the key belongs to"),
            (&key, "key", "name the PEM file of the certificate's private key"),
        ] {
            if written.is_missing() {
                mistakes.push(parent.key(name), format!("is missing; {instead}"));
            }
        }
        let (certificate, key) = (self.file(certificate, source, mistakes), self.file(key, source, mistakes));
        Some(Pair { certificate: certificate?, key: key? })
    }

    /// Makes the TLS configuration; mistakes in a file are reported wherever it is named.
    fn make<F: Files>(
        &self,
        settings: F,
        place: &Place,
        source: &Source,
        mistakes: &mut Mistakes,
    ) -> Option<Followed<F>> {
        let faults = match Followed::new(settings) {
            Ok(made) => return Some(made),
            Err(faults) => faults,
        };
        // If one of these files is broken, the configuration is loaded again when it changes. Good files are followed
        // separately.
        if let Source::Directory(directory) = source {
            self.0.iter().for_each(|(path, _)| directory.note(path));
        }
        for fault in faults {
            let what = fault.at_its_key();
            let is_named = |(path, _): &&(PathBuf, Place)| fault.file.as_deref() == Some(&**path);
            let named: Vec<&Place> = self.0.iter().filter(is_named).map(|(_, place)| place).collect();
            if named.is_empty() {
                mistakes.push(place.clone(), what.clone());
            }
            for place in named {
                mistakes.push(place.clone(), what.clone());
            }
        }
        None
    }
}

/// The path of a named file, relative to the directory of the configuration.
pub fn in_directory(source: &Source, name: String) -> PathBuf {
    match source {
        Source::Directory(directory) => directory.path.join(name),
        Source::Embedded(_) | Source::Held(_) => Path::new(&name).to_owned(),
    }
}

/// Compiles the TLS of a listener.
pub fn server_tls(
    written: written::ListenerTls,
    place: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<ServerTls> {
    const WANTED: &str = "write at least one, as in [{ certificate: tls/api.pem, key: tls/api.key }]";
    let before = mistakes.len();
    let mut named = Named::default();
    let list_place = written.certificates.place().cloned();
    let list = written.certificates.require(place, "certificates", WANTED, mistakes).unwrap_or_default();
    if let Some(list_place) = list_place {
        if list.0.is_empty() && !mistakes.touch(&place.key("certificates")) {
            mistakes.push(list_place, format!("is an empty list; {WANTED}"));
        } else if list.0.len() > MAX_CERTIFICATES {
            let what = format!("has more than {MAX_CERTIFICATES} certificates; distribute them over several listeners");
            mistakes.push(list_place, what);
        }
    }
    let pairs: Box<[Pair]> = list
        .0
        .into_iter()
        .filter_map(|(pair, place)| named.pair((pair.certificate, pair.key), &place, source, mistakes))
        .collect();
    let has_authorities = !written.client_ca.is_missing();
    let authorities = named.file(written.client_ca, source, mistakes);
    if let (false, Some(place)) = (has_authorities, written.client_certificate.place()) {
        let what = "has no effect without `client_ca`; name the file of the authorities of clients' certificates";
        mistakes.push(place.clone(), what);
    }
    let clients = match (authorities, written.client_certificate.take()) {
        (None, _) => Clients::Anonymous,
        (Some(file), Some(written::ClientCertificate::Optional)) => Clients::Optional(file),
        (Some(file), None | Some(written::ClientCertificate::Required)) => Clients::Required(file),
    };
    if pairs.is_empty() || mistakes.len() > before {
        return None;
    }
    named.make(ServerFiles { pairs, clients }, place, source, mistakes)
}

/// Compiles the TLS towards an upstream; its `Host` is the default of `server_name`.
pub fn client_tls(
    written: Written<written::UpstreamTls>,
    host: &str,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<Arc<ClientTls>> {
    let place = written.place().cloned()?;
    let written = written.take()?;
    let before = mistakes.len();
    let mut named = Named::default();
    let authorities = named.file(written.ca, source, mistakes);
    let has_pair = !(written.certificate.is_missing() && written.key.is_missing());
    let pair = if has_pair { named.pair((written.certificate, written.key), &place, source, mistakes) } else { None };
    let server_name = server_name(written.server_name, host, &place, mistakes);
    if mistakes.len() > before {
        return None;
    }
    let settings = ClientFiles { authorities, server_name: server_name?, pair };
    named.make(settings, &place, source, mistakes).map(Arc::new)
}

fn server_name(
    written: Written<String>,
    host: &str,
    parent: &Place,
    mistakes: &mut Mistakes,
) -> Option<ServerName<'static>> {
    match written {
        Written::Here(name, place) => {
            let name = ServerName::try_from(name).ok();
            if name.is_none() {
                mistakes.push(
                    place,
                    "is not a name that a certificate can have; write one as in lookup.internal or 10.0.0.1",
                );
            }
            name
        }
        Written::Bad => None,
        Written::Missing => {
            let host = url::Url::parse(&format!("https://{host}")).ok();
            let host = host.as_ref().and_then(url::Url::host_str).unwrap_or_default();
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok();
            if name.is_none() {
                let what = "is missing, and `host` is not a name that a certificate can have; write the name in the backend's certificate";
                mistakes.push(parent.key("server_name"), what);
            }
            name
        }
    }
}
