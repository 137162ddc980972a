//! How people sign in to the portal: `portal.sign_in`, as it is written, compiled and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use super::billing::{service_authorities, service_url};
use super::common::{listed, out_of_range, time};
use super::fill::{duration, fill, hide, section};
use super::listeners::check_trust;
use super::source::Source;
use super::units::Parsed;
use crate::config::yaml::{Entries, Mistakes, Place, Written};
use crate::ledger::store::records::Role;
use crate::platform::mail::MailServer;

/// How long an identity provider may take, in seconds, unless it is said otherwise.
const TIMEOUT_SECONDS: u64 = 10;

/// What is asked of a provider, unless it is said otherwise.
const SCOPES: &str = "openid email profile";

/// The claim with the groups of a user, unless it is said otherwise.
const GROUPS_CLAIM: &str = "groups";

/// How the button of a provider is called, unless it is said otherwise.
const PROVIDER_NAME: &str = "single sign-on";

/// Characters of a client's id and of its secret.
const MOST_OF_CLIENT: usize = 1024;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use ipnet::IpNet;
    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::{Text, Texts};
    use crate::config::yaml::{Entries, Listed, Written};

    /// How people sign in to the portal.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct SignIn {
        /// With an address of mail and a password, and a one-time password if they want one. Default: true.
        pub password: Written<bool>,
        /// With a link or a code that is sent by `alerts.mail`, once and for 15 minutes. Default: whether there is
        /// `alerts.mail`.
        pub email_link: Written<bool>,
        /// Through an OpenID Connect provider. Default: none.
        pub oidc: Written<Oidc>,
        /// By a proxy in front that authenticates. Default: none.
        pub proxy: Written<Proxy>,
    }

    /// An OpenID Connect provider, which knows the portal as a client with the redirect URI `public_url` and
    /// /sign-in/provider/back.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["issuer", "client_id"]))]
    pub struct Oidc {
        /// What the button says that leads to it. Default: single sign-on.
        pub name: Written<String>,
        /// The provider's URL, https, or http on this machine, just as it writes it in `iss`.
        pub issuer: Written<String>,
        /// The client's id.
        pub client_id: Written<String>,
        /// The client's secret; ${env:NAME} and ${file:PATH} work as in add_headers. Default: none, with PKCE alone.
        pub client_secret: Written<String>,
        /// What is asked for. Default: [openid, email, profile].
        #[schemars(length(min = 1))]
        pub scopes: Written<Listed<String>>,
        /// The claim with the user's groups, a text or a list. Default: groups.
        pub groups_claim: Written<String>,
        /// Groups whose users are operators, each with the role: admin, support or auditor. With any, the provider alone
        /// says who is an operator among its users. Default: none, and operators are invited.
        pub operators: Entries<String>,
        /// A PEM file of the authorities that verify the provider. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// The time limit for an answer of the provider. Default: 10s.
        pub timeout: Text<Duration>,
    }

    /// A proxy in front that authenticates, and says who it is in a header.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["header", "from"]))]
    pub struct Proxy {
        /// The header with the user's address of mail, which the proxy sets or removes in every request.
        pub header: Written<String>,
        /// The proxies: addresses and networks. From all others the header means nothing.
        #[schemars(length(min = 1))]
        pub from: Texts<IpNet>,
    }
}

/// How people sign in.
#[derive(Clone, Debug, PartialEq)]
pub struct SignInSettings {
    pub password: bool,
    pub email_link: bool,
    /// What sends links, invitations, and what owners are told.
    pub mail: Option<MailServer>,
    pub oidc: Option<OidcSettings>,
    pub proxy: Option<ProxySettings>,
}

/// An OpenID Connect provider.
#[derive(Clone, PartialEq)]
pub struct OidcSettings {
    /// What the button says.
    pub name: Box<str>,
    /// As `iss` has it.
    pub issuer: Box<str>,
    pub client_id: Box<str>,
    /// A secret.
    pub client_secret: Option<Box<str>>,
    /// What is asked for, with spaces between.
    pub scopes: Box<str>,
    pub groups_claim: Box<str>,
    /// Roles of operators by groups.
    pub operators: BTreeMap<Box<str>, Role>,
    pub authorities: Option<PathBuf>,
    pub timeout: Duration,
}

impl fmt::Debug for OidcSettings {
    /// Shows no secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OidcSettings({} {} {:?} ***)", self.issuer, self.client_id, self.operators)
    }
}

/// A proxy in front that authenticates.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    pub header: HeaderName,
    pub from: Box<[IpNet]>,
}

/// What is wrong with something that is sent by mail where no server is known.
pub const NEEDS_MAIL: &str = "needs a server that takes mail; write `alerts.mail`, or false";

/// Compiles `portal.sign_in` beside the server of mail, if there is one.
pub fn sign_in(
    sign_in: Written<written::SignIn>,
    portal: &Place,
    mail: Option<&MailServer>,
    source: &Source,
    mistakes: &mut Mistakes,
) -> SignInSettings {
    let place = sign_in.place().cloned().unwrap_or_else(|| portal.key("sign_in"));
    let written::SignIn { password, email_link, oidc, proxy } = sign_in.take().unwrap_or_default();
    let has_other = !oidc.is_missing() || !proxy.is_missing();
    let at = email_link.place().cloned();
    let email_link = email_link.take().unwrap_or(mail.is_some());
    if let (true, None, Some(at)) = (email_link, mail, at) {
        mistakes.push(at, NEEDS_MAIL);
    }
    let password = password.take().unwrap_or(true);
    if !password && !email_link && !has_other {
        mistakes.push(place.clone(), "lets nobody in; leave `password` on, or write `oidc` or `proxy`");
    }
    let oidc = self::oidc(oidc, source, mistakes);
    let proxy = self::proxy(proxy, mistakes);
    SignInSettings { password, email_link, mail: mail.cloned(), oidc, proxy }
}

fn oidc(oidc: Written<written::Oidc>, source: &Source, mistakes: &mut Mistakes) -> Option<OidcSettings> {
    const ID_WANTED: &str = "write the id that the provider has given to the portal";
    let place = oidc.place()?.clone();
    let written = oidc.take()?;
    let timeout = time(written.timeout, TIMEOUT_SECONDS, mistakes);
    let as_written = written.issuer.get().cloned();
    let issuer = if written.issuer.is_missing() {
        mistakes.push(place.key("issuer"), "is missing; write the provider's URL, as in https://id.example.com");
        None
    } else {
        service_url(written.issuer, &place, mistakes)
    };
    let authorities = service_authorities(written.ca, issuer.as_deref(), &place, source, mistakes);
    let client_id = written.client_id.require(&place, "client_id", ID_WANTED, mistakes);
    let client_secret = written.client_secret.take();
    for (key, text) in [("client_id", client_id.as_ref()), ("client_secret", client_secret.as_ref())] {
        let is_good = |text: &String| {
            (1..=MOST_OF_CLIENT).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        };
        if text.is_some_and(|text| !is_good(text)) {
            mistakes
                .push(place.key(key), format!("is none; write 1 to {MOST_OF_CLIENT} characters of ASCII in one line"));
        }
    }
    let scopes = scopes(written.scopes, &place, mistakes);
    let operators = operators(written.operators, mistakes);
    issuer?;
    Some(OidcSettings {
        name: written.name.take().filter(|name| !name.trim().is_empty()).map_or(PROVIDER_NAME.into(), Into::into),
        issuer: as_written?.into(),
        client_id: client_id?.into(),
        client_secret: client_secret.map(Into::into),
        scopes,
        groups_claim: written.groups_claim.take().map_or(GROUPS_CLAIM.into(), Into::into),
        operators,
        authorities,
        timeout,
    })
}

fn scopes(written: Written<super::yaml::Listed<String>>, place: &Place, mistakes: &mut Mistakes) -> Box<str> {
    if written.is_missing() {
        return SCOPES.into();
    }
    let at = written.place().cloned();
    let scopes = listed(written, place, "scopes", "write at least one, as in [openid, email]", mistakes);
    let scopes: Vec<String> = scopes.into_iter().map(|(scope, _)| scope).collect();
    // RFC 6749, section 3.3.
    let is_scope = |scope: &String| {
        !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    out_of_range(at.clone(), scopes.iter().all(is_scope), || "words of visible ASCII characters".to_owned(), mistakes);
    if let Some(at) = at.filter(|_| !scopes.is_empty() && !scopes.iter().any(|scope| scope == "openid")) {
        mistakes.push(
            at,
            "lacks openid, without which the provider does not say who somebody is; write it beside the others",
        );
    }
    scopes.join(" ").into()
}

fn operators(written: Entries<String>, mistakes: &mut Mistakes) -> BTreeMap<Box<str>, Role> {
    let mut operators = BTreeMap::new();
    for (group, place, word) in written.0 {
        match Role::from_word(&word).filter(|role| !role.is_of_account()) {
            Some(role) => drop(operators.insert(group.into(), role)),
            None => mistakes.push(place, "is not a role of operators; write admin, support or auditor"),
        }
    }
    operators
}

fn proxy(proxy: Written<written::Proxy>, mistakes: &mut Mistakes) -> Option<ProxySettings> {
    const HEADER_WANTED: &str = "write the name of the header, as in X-Forwarded-Email";
    const OF_BROWSERS: [&str; 8] =
        ["accept", "authorization", "connection", "cookie", "host", "origin", "referer", "user-agent"];
    let place = proxy.place()?.clone();
    let written::Proxy { header, from } = proxy.take()?;
    let at = header.place().cloned().unwrap_or_default();
    let name = header.require(&place, "header", HEADER_WANTED, mistakes);
    let header = name.and_then(|name| match HeaderName::try_from(name.as_str()) {
        Ok(name) if !OF_BROWSERS.contains(&name.as_str()) => Some(name),
        Ok(_) => {
            mistakes.push(at, format!("is a header that browsers send themselves; {HEADER_WANTED}"));
            None
        }
        Err(_) => {
            mistakes.push(at, format!("is not the name of a header; {HEADER_WANTED}"));
            None
        }
    });
    let from = listed(from, &place, "from", "write the addresses of the proxies, as in [10.0.0.5]", mistakes);
    check_trust(&from, mistakes);
    let from = from.into_iter().map(|(Parsed(network), _)| network).collect();
    Some(ProxySettings { header: header?, from })
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(portal: &mut Value, settings: &SignInSettings) {
    let sign_in = section(portal, "sign_in");
    fill(sign_in, "password", settings.password);
    fill(sign_in, "email_link", settings.email_link);
    if let (Some(oidc), Some(written)) = (&settings.oidc, sign_in.get_mut("oidc")) {
        fill(written, "name", &*oidc.name);
        fill(written, "scopes", oidc.scopes.split(' ').collect::<Vec<_>>());
        fill(written, "groups_claim", &*oidc.groups_claim);
        fill(written, "timeout", duration(oidc.timeout));
        if let Some(secret) = written.get_mut("client_secret") {
            hide(secret, &["portal", "sign_in", "oidc", "client_secret"]);
        }
    }
}
