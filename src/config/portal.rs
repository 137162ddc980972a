//! The Self Service Portal: `portal`, as it is written, compiled and shown.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use super::api::{self, ApiListener, Beside, Own};
use super::fill::fill;
use super::sign_in::{self, SignInSettings};
use super::source::Source;
use super::units::{Parsed, PublicUrl};
use crate::config::yaml::{Mistakes, Written};
use crate::platform::mail::MailServer;

/// Where the portal is, unless it says otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9092);

/// Its listener, as mistakes describe it.
const OWN: Own = Own {
    default: DEFAULT_LISTEN,
    needs_store: "shows what is in the store, and there is none; add one, as in store: { sqlite: tollgate.db }",
    in_the_clear: "passwords and sessions",
};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::net::SocketAddr;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::sign_in::written::SignIn;
    use crate::config::tls::written::ListenerTls;
    use crate::config::units::{PublicUrl, Text};
    use crate::config::yaml::Written;

    /// The Self Service Portal, in which customers and operators see and change what is in the store.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Portal {
        /// An address and a port. Default: 127.0.0.1:9092.
        pub listen: Text<SocketAddr>,
        /// The URL by which browsers reach it, without a path, as in `https://portal.example.com`. Links in mail and in
        /// problem details begin with it. Default: that of `listen`.
        pub public_url: Text<PublicUrl>,
        /// Let `listen` be an address that other machines can reach without TLS, behind a proxy that has it.
        /// Default: false.
        pub exposed: Written<bool>,
        /// TLS 1.2 and 1.3, with HTTP/1.1. Default: none.
        pub tls: Written<ListenerTls>,
        /// Tell the owners of an account by mail of each change of its tokens, lists, members and keys, with who has made it.
        /// It needs `alerts.mail`. Default: whether there is `alerts.mail`.
        pub tell_owners: Written<bool>,
        /// How people sign in. Default: with a password, and with links by mail if there is `alerts.mail`.
        pub sign_in: Written<SignIn>,
    }
}

/// The portal of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct PortalSettings {
    pub listener: ApiListener,
    /// By which browsers reach it, without a trailing slash.
    pub public_url: Box<str>,
    /// Whether owners are told of changes.
    pub tell_owners: bool,
    /// How people sign in.
    pub sign_in: SignInSettings,
}

impl PortalSettings {
    /// Whether browsers reach it over TLS, so that cookies can say that they want it.
    pub fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// The URL by which browsers will reach the portal, if there is one, for links on other pages.
pub fn url_of(portal: &Written<written::Portal>) -> Option<Box<str>> {
    let written = portal.get()?;
    if let Some(Parsed(PublicUrl(url))) = written.public_url.get() {
        return Some(url.clone());
    }
    let address = written.listen.get().map_or(DEFAULT_LISTEN, |Parsed(address)| *address);
    Some(url_at(address, !written.tls.is_missing()))
}

fn url_at(address: SocketAddr, has_tls: bool) -> Box<str> {
    api::url_at(address, has_tls).into()
}

/// Compiles `portal`; there is none unless it is written.
pub fn portal(
    portal: Written<written::Portal>,
    (beside, mail): (&Beside<'_>, Option<&MailServer>),
    source: &Source,
    mistakes: &mut Mistakes,
) -> Option<PortalSettings> {
    let place = portal.place()?.clone();
    let written::Portal { listen, public_url, exposed, tls, tell_owners, sign_in } = portal.take()?;
    let url_place = public_url.place().cloned().unwrap_or_else(|| place.clone());
    let listener = api::listener((listen, exposed, tls), &place, &OWN, beside, source, mistakes);
    let public_url = public_url.take().map(|Parsed(PublicUrl(url))| url);
    let public_url = public_url.unwrap_or_else(|| url_at(listener.address, listener.tls.is_some()));
    let parsed = url::Url::parse(&public_url).ok();
    if parsed.as_ref().is_some_and(|url| url.path() != "/") {
        mistakes.push(url_place.clone(), "has a path, and the portal has a host to itself; write the URL without one");
    }
    let is_local = parsed.as_ref().and_then(url::Url::host).is_some_and(|host| match host {
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
    });
    if public_url.starts_with("http:") && !is_local {
        let what = "is http, by which passwords and sessions would be sent in the clear; write https";
        mistakes.push(url_place, what);
    }
    let at = tell_owners.place().cloned();
    let tell_owners = tell_owners.take().unwrap_or(mail.is_some());
    if let (true, None, Some(at)) = (tell_owners, mail, at) {
        mistakes.push(at, sign_in::NEEDS_MAIL);
    }
    let sign_in = sign_in::sign_in(sign_in, &place, mail, source, mistakes);
    Some(PortalSettings { listener, public_url, tell_owners, sign_in })
}

/// Shows what is not written.
pub fn fill_in(portal: &mut Value, settings: &PortalSettings) {
    api::fill_in(portal, &settings.listener);
    fill(portal, "public_url", json!(settings.public_url));
    fill(portal, "tell_owners", settings.tell_owners);
    sign_in::fill_in(portal, &settings.sign_in);
}
