//! Signatures of webhooks by the Standard Webhooks scheme (its specification, "Webhook scheme"): HMAC-SHA256 over the
//! id, the time of the attempt and the body, one signature for each secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Bytes of a secret, as the specification has it.
const FEWEST_BYTES: usize = 24;
const MOST_BYTES: usize = 64;

/// A secret that the receiver has as well.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Box<[u8]>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl WebhookSecret {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// What to write instead, without repeating the text.
    pub fn parse(text: &str) -> Result<WebhookSecret, &'static str> {
        const WANTED: &str = "is not a secret of webhooks; write whsec_ and 24 to 64 random bytes in base64, as \
                              `echo whsec_$(openssl rand -base64 32)` prints them";
        let bytes = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).ok_or(WANTED)?;
        if !(FEWEST_BYTES..=MOST_BYTES).contains(&bytes.len()) {
            return Err(WANTED);
        }
        Ok(WebhookSecret(bytes.into()))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &str) -> Option<String> {
        // A key of HMAC may have any length.
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        hmac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes())))
    }
}

/// The headers of a message, signed with each of some secrets. The id is the same whenever it is sent; the time, in
/// seconds since 1970, is that of the attempt.
pub fn headers(secrets: &[WebhookSecret], id: &str, timestamp: i64, body: &str) -> Vec<(Box<str>, Box<str>)> {
    let signatures: Vec<String> = secrets.iter().filter_map(|secret| secret.sign(id, timestamp, body)).collect();
    vec![
        ("webhook-id".into(), id.into()),
        ("webhook-timestamp".into(), timestamp.to_string().into()),
        ("webhook-signature".into(), signatures.join(" ").into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_message_is_signed_as_the_scheme_has_it() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "{\"test\": 2432232314}");
        let found = headers(std::slice::from_ref(&secret), id, 1_614_265_330, body);
        let value = |name: &str| found.iter().find(|(known, _)| **known == *name).unwrap().1.to_string();
        assert_eq!(value("webhook-id"), id);
        assert_eq!(value("webhook-timestamp"), "1614265330");
        assert_eq!(value("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = WebhookSecret::parse(&format!("whsec_{}", STANDARD.encode([7; 24]))).unwrap();
        let both = headers(&[other, secret], id, 1_614_265_330, body)[2].1.to_string();
        let both: Vec<&str> = both.split(' ').collect();
        assert_eq!((both.len(), both[1]), (2, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_never_shown() {
        for text in ["", "whsec_", "whsec_abc", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_aGVsbG8="] {
            assert!(WebhookSecret::parse(text).is_err(), "{text}");
        }
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
    }
}
