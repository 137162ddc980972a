//! The key of the answers that are kept for lookups that are sent again: 256 random bits in a file beside the store. Keys and
//! requests are digested with what is derived of it, and answers are sealed with it, so that a copy of the store alone tells
//! nothing of what was looked up.

use std::path::{Path, PathBuf};

use super::portal_key::{PortalKey, Purpose};

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// What is appended to the store's name.
const SUFFIX: &str = ".answer-key";

/// What becomes of the answers without their key.
const WITHOUT_IT: &str = "answers that are kept are forgotten then";

/// The key. Its `Debug` shows nothing.
#[derive(Clone, Debug)]
pub struct AnswerKey(PortalKey);

impl AnswerKey {
    /// The key in the file beside a store, which is made when it is not there.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub fn beside(store: &Path) -> Result<AnswerKey, String> {
        let mut name = store.as_os_str().to_owned();
        name.push(SUFFIX);
        PortalKey::in_file(&PathBuf::from(name), "the key of kept answers", WITHOUT_IT).map(AnswerKey)
    }

    /// The key in a file that several gateways have, which is the portal's as well: each purpose has what is derived for it.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub fn shared(path: &Path) -> Result<AnswerKey, String> {
        PortalKey::shared(path).map(AnswerKey)
    }

    /// The secret for digests.
    pub fn secret(&self) -> [u8; 32] {
        self.0.digest(Purpose::Keys, &[])
    }

    /// Seals an answer for its key, by a random nonce. `None` if this machine has no random numbers.
    pub fn seal(&self, digest: &[u8; 32], answer: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        self.0.seal(Purpose::Answers, &owner(digest), answer, nonce)
    }

    /// The answer that was sealed for a key; `None` if it was changed, or is for another one.
    pub fn open(&self, digest: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.open(Purpose::Answers, &owner(digest), sealed)
    }
}

fn owner(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_opened_for_its_key_alone_and_after_a_restart() {
        let directory = std::env::temp_dir().join(format!("tollgate-answer-key-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let key = AnswerKey::beside(&directory.join("store.db")).unwrap();
        let sealed = key.seal(&[1; 32], b"answer").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"answer"));
        let again = AnswerKey::beside(&directory.join("store.db")).unwrap();
        assert_eq!(again.open(&[1; 32], &sealed).as_deref(), Some(b"answer".as_slice()));
        assert_eq!(again.open(&[2; 32], &sealed), None);
        assert_eq!((again.secret(), format!("{again:?}")), (key.secret(), "AnswerKey(***)".to_owned()));
        let path = directory.join("store.db.answer-key");
        std::fs::write(&path, "zz").unwrap();
        let told = AnswerKey::beside(&directory.join("store.db")).unwrap_err();
        assert!(told.contains("is not the key of kept answers") && told.contains("are forgotten then"), "{told}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
