//! One-time passwords by the time (RFC 6238): six digits of HMAC-SHA1, a new one every 30 seconds, as authenticator apps
//! expect them.

use ring::hmac;

use super::constant_time::is_same;

/// Bytes of a secret (RFC 4226, section 4: 160 bits are recommended).
pub const SECRET_BYTES: usize = 20;

/// How long a password is the current one, in seconds.
const STEP_SECONDS: i64 = 30;

const DIGITS: usize = 6;

/// Steps before and after the current one that are accepted, since clocks differ (RFC 6238, section 5.2).
const TOLERANCE: i64 = 1;

/// The password of a step (RFC 4226, section 5.3).
pub(crate) fn password(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 15);
    let four = bytes.get(offset..).unwrap_or_default().first_chunk::<4>().copied().unwrap_or_default();
    let number = (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000;
    format!("{number:0DIGITS$}")
}

/// The step of a password that is right at a time, or was or will be within half a minute; spaces in it are passed over.
/// Each step's password should be accepted once.
pub fn step_of(secret: &[u8], written: &str, unix_seconds: i64) -> Option<i64> {
    let written: Vec<u8> = written.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let now = unix_seconds.div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in now - TOLERANCE..=now + TOLERANCE {
        // All of them are compared, and all digits of each.
        if is_same(password(secret, step).as_bytes(), &written) {
            found = Some(step);
        }
    }
    found
}

/// A secret as people type it: base32 (RFC 4648, section 6) without padding.
pub fn base32(secret: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for chunk in secret.chunks(5) {
        let mut bytes = [0; 8];
        bytes.iter_mut().skip(3).zip(chunk).for_each(|(byte, from)| *byte = *from);
        let bits = u64::from_be_bytes(bytes);
        for number in 0..(chunk.len() * 8).div_ceil(5) {
            let index = usize::try_from((bits >> (35 - 5 * number)) & 31).unwrap_or_default();
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'A')));
        }
    }
    text
}

/// The address that authenticator apps read from a QR code (the "Key Uri Format" of Google Authenticator's wiki).
pub fn uri(issuer: &str, user: &str, secret: &[u8]) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (issuer, user) = (encoded(issuer), encoded(user));
    format!("otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_vectors_of_rfc_6238_and_rfc_4226() {
        // RFC 6238, appendix B: eight digits there, of which six are the last ones.
        for (seconds, wanted) in [
            (59_i64, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(password(SECRET, seconds / 30), wanted[2..], "{seconds}");
        }
        // RFC 4226, appendix D.
        for (step, wanted) in
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
                .iter()
                .enumerate()
        {
            assert_eq!(password(SECRET, i64::try_from(step).unwrap()), *wanted);
        }
    }

    #[test]
    fn passwords_of_the_step_before_and_after_are_right() {
        for (seconds, found) in [(29, Some(1)), (0, Some(1)), (59, Some(1)), (89, Some(1)), (90, None), (-31, None)] {
            assert_eq!(step_of(SECRET, "287082", seconds), found, "{seconds}");
        }
        for (written, found) in
            [("287 082", Some(1)), ("28708", None), ("2870820", None), ("", None), ("+287082", None)]
        {
            assert_eq!(step_of(SECRET, written, 30), found, "{written}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(
            uri("Acme Lookups", "ann@example.com", b"fooba"),
            "otpauth://totp/Acme%20Lookups:ann%40example%2Ecom?secret=MZXW6YTB&issuer=Acme%20Lookups"
        );
    }
}
