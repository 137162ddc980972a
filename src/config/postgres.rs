//! A store in PostgreSQL: `store.postgres`, as it is written, compiled and shown.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::common::{listed, out_of_range};
use super::fill::{duration, fill, hide};
use super::source::Source;
use super::tls::in_directory;
use super::units::Text;
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use crate::ledger::store::{Encryption, Location, PostgresHost, PostgresPassword, PostgresSettings};
use crate::platform::tls::client::authorities;

/// The port of PostgreSQL.
const PORT: u16 = 5432;

/// How often the change log is looked at, where nobody wakes and where somebody does.
const POLL: Duration = Duration::from_millis(500);

/// The most servers.
const MOST_HOSTS: usize = 8;

/// The most characters of a name.
const MOST_OF_NAME: usize = 255;

/// The file of the portal's key, unless another is named.
const PORTAL_KEY: &str = "portal.key";

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Listed, Written};

    /// A database of PostgreSQL's, 13 or newer, which several gateways can share.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["hosts", "database", "user"]))]
    pub struct Postgres {
        /// The servers, each as NAME, NAME:PORT, or the directory of a socket; of several the one that can be written is
        /// used. The port is 5432 unless it is written.
        #[schemars(length(min = 1, max = 8))]
        pub hosts: Written<Listed<String>>,
        /// The name of the database. Its tables are made by the gateway.
        pub database: Written<String>,
        /// The user, who owns the tables.
        pub user: Written<String>,
        /// The user's password; ${env:NAME} and ${file:PATH} work as in add_headers. Default: none.
        pub password: Written<String>,
        /// A file with the password, which is read for every connection, so that it can be renewed while gateways run.
        /// Default: none.
        pub password_file: Written<String>,
        /// A PEM file of the authorities that verify the server. Default: those that this machine trusts.
        pub ca: Written<String>,
        /// Whether there is TLS. Default: verify, and off for a socket.
        pub tls: Written<Tls>,
        /// What stands between: none, or a pooler in transaction mode, such as pgbouncer. Default: none.
        pub pooler: Written<Pooler>,
        /// How often it is looked whether another gateway has changed something, from 50ms to 1m. Without a pooler, each
        /// change wakes the others anyway. Default: 500ms.
        pub poll: Text<Duration>,
        /// The file of the key that seals the portal's secrets, which must be the same for every gateway; it is 64
        /// hexadecimal digits, as `openssl rand -hex 32` makes them. Default: portal.key.
        pub portal_key: Written<String>,
    }

    /// Whether there is TLS to a database.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Tls {
        /// TLS, with a server that is verified.
        Verify,
        /// None: whoever is on the way can read everything.
        Off,
    }

    /// What stands between a gateway and a database.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Pooler {
        /// Nothing.
        None,
        /// A pooler that gives each transaction a connection.
        Transaction,
    }
}

/// Shows what is not written, and hides what is secret.
pub fn fill_in(written: &mut Value, settings: &PostgresSettings) {
    fill(written, "tls", if settings.encryption == Encryption::None { "off" } else { "verify" });
    fill(written, "pooler", if settings.is_pooled { "transaction" } else { "none" });
    fill(written, "poll", duration(settings.poll));
    fill(written, "portal_key", PORTAL_KEY);
    if let Some(password) = written.get_mut("password") {
        hide(password, &["store", "postgres", "password"]);
    }
}

/// Compiles `store.postgres`.
pub fn postgres(written: Written<written::Postgres>, source: &Source, mistakes: &mut Mistakes) -> Option<Location> {
    let place = written.place()?.clone();
    let written = written.take()?;
    let hosts = hosts(written.hosts, &place, mistakes);
    let database = name(written.database, "database", &place, mistakes);
    let user = name(written.user, "user", &place, mistakes);
    let password = password(written.password, written.password_file, source, mistakes);
    let encryption = encryption(written.tls, written.ca, &hosts, &place, source, mistakes);
    let is_pooled = written.pooler.take() == Some(written::Pooler::Transaction);
    let poll = poll(written.poll, mistakes);
    let portal_key = written.portal_key.take().unwrap_or_else(|| PORTAL_KEY.to_owned());
    let portal_key = in_directory(source, portal_key);
    if hosts.is_empty() {
        return None;
    }
    let (database, user) = (database?, user?);
    Some(Location::Postgres(Arc::new(PostgresSettings {
        hosts,
        database,
        user,
        password,
        encryption,
        is_pooled,
        poll,
        portal_key,
    })))
}

fn hosts(written: Written<Listed<String>>, parent: &Place, mistakes: &mut Mistakes) -> Vec<PostgresHost> {
    const WANTED: &str = "write the servers, as in [db.example.com], or [/var/run/postgresql]";
    let at = written.place().cloned();
    let written = listed(written, parent, "hosts", WANTED, mistakes);
    out_of_range(at, written.len() <= MOST_HOSTS, || format!("at most {MOST_HOSTS} servers"), mistakes);
    let mut hosts = Vec::new();
    for (text, place) in written {
        match host(&text) {
            Some(host) => hosts.push(host),
            None => mistakes.push(place, format!("is no server; {WANTED}")),
        }
    }
    if hosts.iter().any(is_socket) && hosts.len() > 1 {
        mistakes.push(parent.key("hosts"), "has a socket beside other servers; name the socket alone, or servers");
    }
    hosts
}

/// A server as it is written: an address of IPv6 with a port has brackets.
fn host(text: &str) -> Option<PostgresHost> {
    let here = |name: &str, port| Some(PostgresHost { name: name.to_owned(), port });
    if text.starts_with('/') {
        let with_port = text.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        return with_port.map_or_else(|| here(text, PORT), |(name, port)| here(name, port));
    }
    if text.parse::<IpAddr>().is_ok() {
        return here(text, PORT);
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, PORT),
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let fits = name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.bytes().all(is_name));
    if fits { here(name, port) } else { None }
}

fn is_socket(host: &PostgresHost) -> bool {
    host.name.starts_with('/')
}

fn name(written: Written<String>, key: &str, parent: &Place, mistakes: &mut Mistakes) -> Option<String> {
    let at = written.place().cloned();
    let name = written.require(parent, key, "write its name, as in tollgate", mistakes)?;
    if name.is_empty() || name.chars().count() > MOST_OF_NAME || name.contains(char::is_control) {
        mistakes.push(at.unwrap_or_default(), "is not a name; write one of visible characters");
        return None;
    }
    Some(name)
}

fn password(
    text: Written<String>,
    file: Written<String>,
    source: &Source,
    mistakes: &mut Mistakes,
) -> PostgresPassword {
    let at = file.place().cloned();
    match (text.take(), file.take()) {
        (Some(_), Some(_)) => {
            mistakes.push(at.unwrap_or_default(), "is there beside `password`; write one of both");
            PostgresPassword::None
        }
        (Some(text), None) => PostgresPassword::Text(text),
        (None, Some(name)) => {
            let path = in_directory(source, name);
            if let Err(error) = std::fs::File::open(&path) {
                mistakes.push(at.unwrap_or_default(), format!("cannot be read: {error}; write the password into it"));
            }
            PostgresPassword::File(path)
        }
        (None, None) => PostgresPassword::None,
    }
}

fn encryption(
    tls: Written<written::Tls>,
    ca: Written<String>,
    hosts: &[PostgresHost],
    parent: &Place,
    source: &Source,
    mistakes: &mut Mistakes,
) -> Encryption {
    let (at_tls, at_ca) = (tls.place().cloned(), ca.place().cloned());
    let is_socket = hosts.iter().any(is_socket);
    let tls = tls.take();
    if tls == Some(written::Tls::Off) || (tls.is_none() && is_socket) {
        if let Some(place) = at_ca {
            mistakes.push(place, "is for TLS, and there is none; remove it, or `tls: off`");
        }
        return Encryption::None;
    }
    if is_socket && let Some(place) = at_tls {
        mistakes.push(place, "is not for a socket, which does not leave this machine; remove it");
    }
    let file = ca.take().map(|name| in_directory(source, name));
    if let Err(fault) = authorities(file.as_deref()) {
        mistakes.push(at_ca.unwrap_or_else(|| parent.clone()), fault.what);
    }
    Encryption::Verified { authorities: file }
}

fn poll(written: Text<Duration>, mistakes: &mut Mistakes) -> Duration {
    let place = written.place().cloned();
    let poll = written.take().map_or(POLL, |poll| poll.0);
    let fits = (Duration::from_millis(50)..=Duration::from_secs(60)).contains(&poll);
    out_of_range(place, fits, || "a duration from 50ms to 1m".to_owned(), mistakes);
    poll
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_names_addresses_and_directories() {
        for (text, expected) in [
            ("db.example.com", Some(("db.example.com", 5432))),
            ("db:6432", Some(("db", 6432))),
            ("192.0.2.7:1", Some(("192.0.2.7", 1))),
            ("::1", Some(("::1", 5432))),
            ("[2001:db8::1]:6432", Some(("2001:db8::1", 6432))),
            ("/var/run/postgresql", Some(("/var/run/postgresql", 5432))),
            ("/run/a:b:5433", Some(("/run/a:b", 5433))),
            ("", None),
            ("db:0", None),
            ("db:port", None),
            ("postgres://db", None),
            ("a b", None),
        ] {
            let found = host(text).map(|host| (host.name, host.port));
            assert_eq!(found, expected.map(|(name, port)| (name.to_owned(), port)), "{text}");
        }
    }
}
