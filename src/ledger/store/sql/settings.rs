//! Where a database is, and how one comes to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

/// A database of PostgreSQL's.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// The servers, of which the one is used that can be written.
    pub hosts: Vec<PostgresHost>,
    pub database: String,
    pub user: String,
    pub password: PostgresPassword,
    pub encryption: Encryption,
    /// A pooler in transaction mode stands between: it cannot be listened through it.
    pub is_pooled: bool,
    /// How often it is looked whether another node has changed something.
    pub poll: Duration,
    /// The file of the key that seals the portal's secrets, the same for every node.
    pub portal_key: PathBuf,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresHost {
    /// A name, an address, or the directory of a socket.
    pub name: String,
    pub port: u16,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub enum PostgresPassword {
    /// The server asks for none.
    None,
    Text(String),
    /// A file that is read for each connection, so that another password is used as soon as it is in there.
    File(PathBuf),
}

/// Whether what is sent can be read on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS; the server is verified by the authorities of a file, or by those that this machine trusts.
    Verified { authorities: Option<PathBuf> },
    /// None: the way does not leave the machine, or is trusted.
    None,
}

/// How long connecting to one server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After how long without an answer it is asked whether the server is still there.
const QUIET: Duration = Duration::from_secs(5);

/// How long what was sent may go without an acknowledgement of the other machine.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

impl PostgresSettings {
    /// What a connection to each of the servers is made with. The password is read now.
    ///
    /// # Errors
    /// That its file cannot be read, in words.
    pub(super) fn configs(&self) -> Result<Vec<Config>, String> {
        let config = self.config()?;
        let of_host = |PostgresHost { name, port }: &PostgresHost| {
            let mut config = config.clone();
            config.host(name).port(*port);
            config
        };
        Ok(self.hosts.iter().map(of_host).collect())
    }

    fn config(&self) -> Result<Config, String> {
        let mut config = Config::new();
        config.dbname(&self.database).user(&self.user).application_name("tollgate");
        match &self.password {
            PostgresPassword::None => {}
            PostgresPassword::Text(password) => drop(config.password(password)),
            PostgresPassword::File(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
                config.password(text.trim_end_matches(['\r', '\n']));
            }
        }
        config.ssl_mode(match self.encryption {
            Encryption::Verified { .. } => SslMode::Require,
            Encryption::None => SslMode::Disable,
        });
        if self.hosts.len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(UNACKNOWLEDGED);
        config.keepalives_idle(QUIET).keepalives_interval(Duration::from_secs(2)).keepalives_retries(3);
        Ok(config)
    }
}

impl fmt::Debug for PostgresPassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgresSettings({self})")
    }
}

/// The servers and the database, and nothing that is secret.
impl fmt::Display for PostgresSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("postgres:")?;
        for (number, PostgresHost { name, port }) in self.hosts.iter().enumerate() {
            write!(formatter, "{}{name}:{port}", if number == 0 { "" } else { "," })?;
        }
        write!(formatter, "/{}", self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_password() {
        let host = |name: &str| PostgresHost { name: name.to_owned(), port: 5432 };
        let settings = PostgresSettings {
            hosts: vec![host("a.example"), host("b.example")],
            database: "tollgate".to_owned(),
            user: "gateway".to_owned(),
            password: PostgresPassword::Text("hush".to_owned()),
            encryption: Encryption::None,
            is_pooled: false,
            poll: Duration::from_millis(500),
            portal_key: "portal.key".into(),
        };
        assert_eq!(settings.to_string(), "postgres:a.example:5432,b.example:5432/tollgate");
        assert!(!format!("{settings:?} {:?}", settings.password).contains("hush"));
        assert_eq!(settings.config().unwrap().get_password(), Some(b"hush".as_slice()));
        let lost = PostgresSettings { password: PostgresPassword::File("/nowhere/password".into()), ..settings };
        assert!(lost.config().unwrap_err().contains("/nowhere/password: cannot be read"));
    }
}
