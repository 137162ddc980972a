//! Mail through a server of the operator's: messages and SMTP by the `lettre` library, with TLS that is verified, unless
//! the server is on this machine.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::SmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Transport};

use super::tls::client::authorities;

/// Bytes of an address: a path of SMTP without its brackets (RFC 5321, section 4.5.3.1.3).
pub const MAX_ADDRESS_BYTES: usize = 254;

/// Checks an address.
///
/// # Errors
/// What to write instead, without repeating it.
pub fn check_address(address: &str) -> Result<(), &'static str> {
    const WANTED: &str = "is not a mail address; write one as in ops@example.com";
    let is_one = address.len() <= MAX_ADDRESS_BYTES && address.is_ascii() && address.parse::<Address>().is_ok();
    if is_one { Ok(()) } else { Err(WANTED) }
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (`smtps`).
    Wrapped,
    /// STARTTLS, without which nothing is sent.
    Upgraded,
    /// None: the server is on this machine.
    None,
}

/// A server, and whose mail it takes.
#[derive(Clone, PartialEq, Eq)]
pub struct MailServer {
    pub host: Box<str>,
    pub port: u16,
    pub security: Security,
    /// A user and a password, which is a secret.
    pub login: Option<(Box<str>, Box<str>)>,
    /// The PEM file of the authorities; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// How long connecting, and each answer of the server, may take.
    pub timeout: Duration,
    pub from: Box<str>,
}

impl fmt::Debug for MailServer {
    /// Shows no password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MailServer({}:{}, {:?}, ***)", self.host, self.port, self.security)
    }
}

/// A message to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    /// The same whenever it is sent, without the domain: what `Message-ID` is made of.
    pub id: String,
    pub subject: String,
    pub text: String,
    /// When what it tells has happened.
    pub at: SystemTime,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSent {
    /// The address is refused for good, whoever sends to it.
    pub is_final: bool,
    /// The server cannot be used at all: others would not be accepted either.
    pub is_of_server: bool,
    /// In words, without anything of the message and its addresses.
    pub why: String,
}

/// The header of a message that no person has written (RFC 3834, section 5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<AutoSubmitted, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(AutoSubmitted::name(), "auto-generated".to_owned())
    }
}

/// Sends messages, each over a connection of its own.
#[derive(Debug)]
pub struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
}

impl Mailer {
    /// A sender through a server.
    ///
    /// # Errors
    /// That its address or its authorities cannot be used.
    pub fn to(server: &MailServer) -> Result<Mailer, String> {
        let from: Address = server.from.parse().map_err(|_| "the address that sends is none".to_owned())?;
        let mut builder = SmtpTransport::builder_dangerous(&*server.host)
            .port(server.port)
            .timeout(Some(server.timeout))
            .hello_name(ClientId::Domain(from.domain().to_owned()));
        builder = match server.security {
            Security::Wrapped => builder.tls(Tls::Wrapper(parameters(server)?)),
            Security::Upgraded => builder.tls(Tls::Required(parameters(server)?)),
            Security::None => builder.tls(Tls::None),
        };
        if let Some((user, password)) = &server.login {
            builder = builder.credentials(Credentials::new(user.to_string(), password.to_string()));
        }
        Ok(Mailer { transport: builder.build(), from: Mailbox::new(None, from) })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub fn send(&self, mail: &Mail) -> Result<(), NotSent> {
        let unusable = |why: &str| NotSent { is_final: true, is_of_server: false, why: why.to_owned() };
        let to: Address = mail.to.parse().map_err(|_| unusable("its address is none"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .date(mail.at)
            .subject(&*mail.subject)
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|_| unusable("it cannot be written as a message"))?;
        self.transport.send(&message).map(drop).map_err(|error| not_sent(&error))
    }
}

/// TLS with the authorities of a file, or of the machine.
fn parameters(server: &MailServer) -> Result<TlsParameters, String> {
    const IMPOSSIBLE: &str = "TLS cannot be set up for the mail server";
    let found = authorities(server.authorities.as_deref()).map_err(|fault| fault.to_string())?;
    let mut builder = TlsParameters::builder(server.host.to_string()).certificate_store(CertificateStore::None);
    // A machine may have some that are too old to be read, which others pass over as well.
    for certificate in found.into_iter().filter(|one| webpki::anchor_from_trusted_cert(one).is_ok()) {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(|_| IMPOSSIBLE.to_owned())?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|_| IMPOSSIBLE.to_owned())
}

/// What an error comes to. What the server has said is not repeated, since it may have the address in it.
fn not_sent(error: &lettre::transport::smtp::Error) -> NotSent {
    let Some(code) = error.status().map(u16::from) else {
        let why = match error {
            _ if error.is_timeout() => "the mail server does not answer in time".to_owned(),
            _ if error.is_tls() => format!("the mail server's TLS is not accepted: {error}"),
            _ => format!("the mail server cannot be used: {error}"),
        };
        return NotSent { is_final: false, is_of_server: true, why };
    };
    // RFC 5321, section 4.2.3: what is about the mailbox alone.
    let is_final = matches!(code, 550 | 551 | 553 | 556);
    let is_of_message = is_final || matches!(code, 450 | 452 | 552 | 554 | 555);
    NotSent { is_final, is_of_server: !is_of_message, why: format!("the mail server answers {code}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_without_being_repeated() {
        for (address, good) in [
            ("ops@example.com", true),
            ("o.p+s@mail.example.co.uk", true),
            ("ops", false),
            ("ops@", false),
            ("Ops <ops@example.com>", false),
            ("ops@example.com\r\nBcc: x@example.com", false),
            ("ops@exämple.com", false),
            ("", false),
        ] {
            let found = check_address(address);
            assert_eq!(found.is_ok(), good, "{address}");
            assert!(found.is_ok_and(|()| good) || !address.contains("secret"));
        }
        assert!(check_address(&format!("{}@example.com", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let server = MailServer {
            host: "mail.example.com".into(),
            port: 465,
            security: Security::Wrapped,
            login: Some(("ops".into(), "s3cret".into())),
            authorities: None,
            timeout: Duration::from_secs(1),
            from: "ops@example.com".into(),
        };
        assert!(!format!("{server:?}").contains("s3cret"));
    }
}
