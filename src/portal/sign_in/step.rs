//! What a browser keeps for the portal between two steps of signing in: sealed, so that nobody reads or changes it, and
//! with an end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::randomness::random;
use crate::platform::portal_key::{PortalKey, Purpose};
use crate::portal::visit::Trouble;

/// How long a step may take, in milliseconds.
pub const STEP_MS: i64 = 10 * 60_000;

/// Bytes of what a browser sends back, at most.
const MOST_BYTES: usize = 4096;

/// A step that ends.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    ends: i64,
    #[serde(flatten)]
    value: T,
}

/// Seals the value of a kind of step, which ends after [`STEP_MS`].
///
/// # Errors
/// That the machine has no random numbers.
pub fn seal<T: Serialize>(key: &PortalKey, kind: &str, value: T, now_ms: i64) -> Result<String, Trouble> {
    let sealed = Sealed { ends: now_ms.saturating_add(STEP_MS), value };
    let text = serde_json::to_vec(&sealed).unwrap_or_default();
    let sealed = key.seal(Purpose::Step, kind, &text, random()?).unwrap_or_default();
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// The value that was sealed for a kind of step, unless it has ended.
pub fn open<T: DeserializeOwned>(key: &PortalKey, kind: &str, sealed: &str, now_ms: i64) -> Option<T> {
    if sealed.len() > MOST_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let opened: Sealed<T> = serde_json::from_slice(&key.open(Purpose::Step, kind, &bytes)?).ok()?;
    (now_ms < opened.ends).then_some(opened.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Kept {
        user: String,
    }

    #[test]
    fn a_step_is_of_one_kind_and_ends() {
        let key = PortalKey::from_bytes([3; 32]);
        let kept = || Kept { user: "ann".to_owned() };
        let sealed = seal(&key, "code", kept(), 1000).unwrap();
        let opened = |kind, text: &str, now| open::<Kept>(&key, kind, text, now);
        assert_eq!(opened("code", &sealed, 1000), Some(kept()));
        assert_eq!(opened("provider", &sealed, 1000), None);
        assert_eq!(opened("code", &sealed, 1000 + STEP_MS), None);
        assert_eq!(opened("code", &sealed[1..], 1000), None);
        assert_eq!(opened("code", "", 1000), None);
        assert_ne!(sealed, seal(&key, "code", kept(), 1000).unwrap());
    }
}
