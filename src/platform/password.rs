//! Passwords as argon2id hashes, with the costs that OWASP's cheat sheet names first: 19 MiB, two passes, one lane.
//!
//! Hashing takes some 20 ms of a processor and 19 MiB, so that it is done on a thread that blocks nobody, two at a time in
//! the whole process; who would have to wait too long is refused.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use pingora_timeout::timeout;
use tokio::sync::Semaphore;

/// The fewest characters of a password (NIST SP 800-63B-4, section 3.1.1.2: 8 with a second factor, 15 without).
pub const MIN_CHARACTERS: usize = 12;

/// The most bytes of a password.
pub const MAX_BYTES: usize = 1024;

/// Memory in KiB, passes and lanes.
const COSTS: (u32, u32, u32) = (19 * 1024, 2, 1);

/// How long a password waits for those before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passwords that are hashed at one time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// What the password of an unknown user is compared with, in the same time: a hash of nothing.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$dG9sbGdhdGUtbm9ib2R5IQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Too many passwords are looked at already; it can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Checks a new password of a user with an address of mail.
///
/// # Errors
/// What to choose instead, without repeating it.
pub fn check_new(password: &str, email: &str) -> Result<(), &'static str> {
    let mut characters = password.chars();
    let first = characters.next();
    if password.chars().count() < MIN_CHARACTERS {
        return Err("is too short; choose at least 12 characters, such as four words");
    }
    if password.len() > MAX_BYTES {
        return Err("is too long; choose at most 1024 bytes");
    }
    if characters.all(|character| Some(character) == first) {
        return Err("is one character alone; choose others, such as four words");
    }
    let name = email.split('@').next().unwrap_or_default();
    let is_address = |text: &str| !text.is_empty() && password.eq_ignore_ascii_case(text);
    if is_address(email) || is_address(name) {
        return Err("is your address; choose another, such as four words");
    }
    Ok(())
}

/// Checks a new password of a user with an address of mail that was written twice.
///
/// # Errors
/// What to do instead, as a sentence that does not repeat it.
pub fn check_pair(password: &str, again: &str, email: &str) -> Result<(), String> {
    check_new(password, email).map_err(|fault| format!("The password {fault}."))?;
    if password == again { Ok(()) } else { Err("The two passwords are not the same.".to_owned()) }
}

/// The hash of a password with a salt, as a PHC text.
///
/// # Errors
/// Too many others are hashed at the moment.
pub async fn hash(password: String, salt: [u8; 16]) -> Result<String, Busy> {
    on_a_thread(move || hash_here(&password, &salt)).await?.ok_or(Busy)
}

/// Whether a password is the one that was hashed. Without a hash it is not, after the same time.
///
/// # Errors
/// Too many others are looked at at the moment.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool, Busy> {
    on_a_thread(move || verify_here(&password, hash.as_deref())).await
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
    let Ok(Ok(permit)) = timeout(PATIENCE, ROOM.acquire()).await else { return Err(Busy) };
    // The permit goes along, so that the work counts until it is done, also when whoever waits has gone.
    let done = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(permit);
        result
    });
    done.await.map_err(|_| Busy)
}

fn hash_here(password: &str, salt: &[u8; 16]) -> Option<String> {
    let hash = hasher()?.hash_password_with_salt(password.as_bytes(), salt).ok()?;
    Some(hash.to_string())
}

fn verify_here(password: &str, hash: Option<&str>) -> bool {
    let is_possible = hash.is_some() && password.len() <= MAX_BYTES;
    let password = if is_possible { password } else { "" };
    let Ok(hash) = PasswordHash::new(hash.unwrap_or(NOBODY)) else { return false };
    let Some(hasher) = hasher() else { return false };
    hasher.verify_password(password.as_bytes(), &hash).is_ok() && is_possible
}

fn hasher() -> Option<Argon2<'static>> {
    let (memory, passes, lanes) = COSTS;
    let params = Params::new(memory, passes, lanes, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_password_is_its_hash_alone_and_unknown_users_take_as_long() {
        let hash = super::hash("correct horse battery".to_owned(), *b"0123456789abcdef").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let tried = async |password: &str, hash: Option<&str>| {
            let begun = Instant::now();
            let outcome = verify(password.to_owned(), hash.map(str::to_owned)).await;
            (outcome, begun.elapsed())
        };
        let (good, known) = tried("correct horse battery", Some(&hash)).await;
        assert_eq!(good, Ok(true));
        assert_eq!(tried("correct horse batterz", Some(&hash)).await.0, Ok(false));
        let (nobody, unknown) = tried("correct horse battery", None).await;
        assert_eq!(nobody, Ok(false));
        assert!(unknown * 4 > known, "{unknown:?} of nobody, {known:?} of somebody");
        assert_eq!(tried(&"x".repeat(MAX_BYTES + 1), Some(&hash)).await.0, Ok(false));
        assert_eq!(tried("", Some("$argon2id$damaged")).await.0, Ok(false));
    }

    #[test]
    fn the_hash_of_nobody_is_one_with_the_same_costs() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), COSTS);
        assert!(!verify_here("", None));
    }

    #[test]
    fn new_passwords_are_long_and_not_the_address() {
        for (password, good) in [
            ("elevenchars", false),
            ("twelve chars", true),
            ("aaaaaaaaaaaaaaaa", false),
            ("Somebody@Example.com", false),
            ("Somebody.Long.Name", true),
            ("éééééééééééè", true),
        ] {
            assert_eq!(check_new(password, "somebody@example.com").is_ok(), good, "{password}");
        }
        assert!(check_new(&"xy".repeat(600), "").is_err());
        assert!(check_new("somebody.with.a.name", "somebody.with.a.name@example.com").is_err());
    }
}
