//! The key of the portal: 256 random bits in a file beside the store, from which a key for each purpose is derived. It
//! seals the secrets of one-time passwords, so that a copy of the store alone has none of them, and it signs what
//! browsers keep for the portal.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// What is appended to the store's name.
const SUFFIX: &str = ".portal-key";

/// What a derived key is for: what one has sealed or signed, no other can open or verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Secrets of one-time passwords in the store.
    Totp,
    /// What a browser keeps between two steps of signing in.
    Step,
    /// The token in forms.
    Csrf,
    /// Codes that replace a link.
    Code,
    /// What guesses are counted by.
    Guesses,
    /// Keys of lookups that are sent again, and the requests that have them.
    Keys,
    /// Answers that are kept for those.
    Answers,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Purpose::Totp => b"tollgate portal: totp",
            Purpose::Step => b"tollgate portal: step",
            Purpose::Csrf => b"tollgate portal: csrf",
            Purpose::Code => b"tollgate portal: code",
            Purpose::Guesses => b"tollgate portal: guesses",
            Purpose::Keys => b"tollgate answers: keys",
            Purpose::Answers => b"tollgate answers: answers",
        }
    }
}

/// What the file is called in messages.
const NAME: &str = "the key of a portal";

/// What becomes of what was made with the key without it.
const WITHOUT_IT: &str = "one-time passwords have to be set up anew then";

/// The key.
#[derive(Clone)]
pub struct PortalKey([u8; KEY_BYTES]);

impl fmt::Debug for PortalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl PortalKey {
    /// A key of these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> PortalKey {
        PortalKey(bytes)
    }

    /// The key in the file beside a store, which is made when it is not there.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub fn beside(store: &Path) -> Result<PortalKey, String> {
        PortalKey::in_file(&file_beside(store), NAME, WITHOUT_IT)
    }

    /// The key in a file, which is made when it is not there. `name` says what it is, and `without_it` what becomes of
    /// everything that was made with it if it is removed.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub fn in_file(path: &Path, name: &str, without_it: &str) -> Result<PortalKey, String> {
        match read(path, name, without_it)? {
            Some(key) => Ok(key),
            None => {
                make(path).map_err(|error| format!("{}: cannot be made: {error}", path.display()))?;
                let made = read(path, name, without_it)?;
                made.ok_or_else(|| format!("{}: was removed as soon as it was made", path.display()))
            }
        }
    }

    /// The key in a file that several gateways have, and that nobody makes for them: each would make another.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub fn shared(path: &Path) -> Result<PortalKey, String> {
        let none = || {
            format!(
                "{}: is not there; make the portal's key once, as in `openssl rand -hex 32`, and give every gateway the same",
                path.display()
            )
        };
        read(path, NAME, WITHOUT_IT)?.ok_or_else(none)
    }

    /// Seals bytes for a purpose, so that they can be opened for the same purpose and the same owner alone. The nonce is
    /// random and never used twice.
    pub fn seal(&self, purpose: Purpose, owner: &str, secret: &[u8], nonce: [u8; NONCE_LEN]) -> Option<Vec<u8>> {
        let mut sealed = secret.to_vec();
        let with = Nonce::assume_unique_for_key(nonce);
        self.cipher(purpose)?.seal_in_place_append_tag(with, Aad::from(owner.as_bytes()), &mut sealed).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed, unless it was changed, or is for another purpose or owner.
    pub fn open(&self, purpose: Purpose, owner: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let with = Nonce::assume_unique_for_key(*nonce);
        let opened = self.cipher(purpose)?.open_in_place(with, Aad::from(owner.as_bytes()), &mut bytes).ok()?;
        Some(opened.to_vec())
    }

    /// The keyed digest of some parts: HMAC-SHA256, with the length of each.
    pub fn digest(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut digest = [0; 32];
        let tag = hmac::sign(&self.derived(purpose), &joined(parts));
        digest.iter_mut().zip(tag.as_ref()).for_each(|(byte, from)| *byte = *from);
        digest
    }

    /// Whether a digest is that of some parts, in a time that does not depend on it.
    pub fn is_digest(&self, purpose: Purpose, parts: &[&[u8]], digest: &[u8]) -> bool {
        hmac::verify(&self.derived(purpose), &joined(parts), digest).is_ok()
    }

    fn derived(&self, purpose: Purpose) -> hmac::Key {
        let master = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, purpose.label()).as_ref())
    }

    fn cipher(&self, purpose: Purpose) -> Option<LessSafeKey> {
        // The key that seals is none that signs.
        let derived = hmac::sign(&self.derived(purpose), b"seal");
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
    }
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let length = |part: &[u8]| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
    parts.iter().flat_map(|part| [&length(part), *part].concat()).collect()
}

/// The file of the key beside a store.
pub fn file_beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

fn read(path: &Path, name: &str, without_it: &str) -> Result<Option<PortalKey>, String> {
    let wrong = |what: &str| format!("{}: {what}", path.display());
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    if found.mode() & 0o077 != 0 {
        return Err(wrong("other users of this machine can use this key; chmod 600 it"));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let key = from_hexadecimal(text.trim());
    let unusable =
        || format!("is not {name}, which is 64 hexadecimal digits; put the file back, or remove it: {without_it}");
    key.map(|key| Some(PortalKey(key))).ok_or_else(|| wrong(&unusable()))
}

/// Makes the file whole or not at all; of several that do, one wins.
fn make(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| std::io::Error::other("this machine has no source of random numbers"))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let draft = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let written = file.write_all(format!("{digits}\n").as_bytes()).and_then(|()| file.sync_all());
    let made = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft)?;
    made
}

/// Bytes from as many pairs of hexadecimal digits.
pub fn from_hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            *byte = *byte * 16 + u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: PortalKey = PortalKey::from_bytes([7; 32]);

    #[test]
    fn what_is_sealed_is_opened_for_the_same_purpose_and_owner_alone() {
        let sealed = KEY.seal(Purpose::Totp, "ann", b"secret", [1; 12]).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(KEY.open(Purpose::Totp, "ann", &sealed).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(KEY.open(Purpose::Totp, "bob", &sealed), None);
        assert_eq!(KEY.open(Purpose::Step, "ann", &sealed), None);
        assert_eq!(PortalKey::from_bytes([8; 32]).open(Purpose::Totp, "ann", &sealed), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(KEY.open(Purpose::Totp, "ann", &changed), None, "{place}");
        }
        assert_eq!(KEY.open(Purpose::Totp, "ann", b"short"), None);
        assert_eq!(format!("{KEY:?}"), "***");
    }

    #[test]
    fn digests_have_their_purpose_and_the_borders_of_their_parts() {
        let digest = KEY.digest(Purpose::Csrf, &[b"ab", b"c"]);
        assert!(KEY.is_digest(Purpose::Csrf, &[b"ab", b"c"], &digest));
        assert!(!KEY.is_digest(Purpose::Csrf, &[b"a", b"bc"], &digest));
        assert!(!KEY.is_digest(Purpose::Code, &[b"ab", b"c"], &digest));
        assert!(!KEY.is_digest(Purpose::Csrf, &[b"ab", b"c"], &digest[..31]));
    }

    #[test]
    fn the_file_is_made_once_for_its_user_alone_and_never_overwritten() {
        let directory = std::env::temp_dir().join(format!("tollgate-portal-key-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&directory).unwrap();
        let store = directory.join("tollgate.db");
        let made = PortalKey::beside(&store).unwrap();
        assert_eq!(PortalKey::beside(&store).unwrap().0, made.0);
        let path = file_beside(&store);
        assert_eq!(path, directory.join("tollgate.db.portal-key"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "the draft is gone");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(PortalKey::beside(&store).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "zz", &"0".repeat(63), &"é".repeat(32)] {
            fs::write(&path, text).unwrap();
            assert!(PortalKey::beside(&store).unwrap_err().contains("is not the key of a portal"), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
