//! Signed tokens that were verified, by their digests, so that the next request with one costs a look-up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::account::Digest;
use crate::policy::seconds::Seconds;

/// Parts with a lock of their own, so that threads seldom meet.
const PARTS: usize = 16;

/// The most tokens of one part: all together take some megabytes.
const MAX_OF_A_PART: usize = 2048;

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub account: Arc<str>,
    pub token: Arc<str>,
    /// The first second in which it does not count any more, the difference of clocks included.
    pub ends: Seconds,
}

/// What was verified of a token.
#[derive(Clone)]
pub struct Verified {
    pub bearer: Bearer,
    pub not_before: Seconds,
    /// Of the keys that verified it.
    pub generation: u64,
}

/// The tokens of an issuer that were verified.
#[derive(Default)]
pub struct VerifiedTokens([Mutex<HashMap<[u8; 32], Verified>>; PARTS]);

impl VerifiedTokens {
    fn part(&self, digest: &Digest) -> Option<MutexGuard<'_, HashMap<[u8; 32], Verified>>> {
        let [first, ..] = digest.bytes();
        let part = self.0.get(usize::from(*first) % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was verified of a token by keys of this generation.
    pub fn get(&self, digest: &Digest, generation: u64) -> Option<Verified> {
        self.part(digest)?.get(digest.bytes()).filter(|verified| verified.generation == generation).cloned()
    }

    /// Remembers a token. Where there is no room, those that are over are forgotten, and all if none is.
    pub fn put(&self, digest: Digest, verified: Verified, now: Seconds) {
        let Some(mut part) = self.part(&digest) else { return };
        if part.len() >= MAX_OF_A_PART {
            let generation = verified.generation;
            part.retain(|_, known| known.bearer.ends > now && known.generation == generation);
            if part.len() >= MAX_OF_A_PART {
                part.clear();
            }
        }
        part.insert(*digest.bytes(), verified);
    }
}
