//! The public keys of an issuer: a JSON Web Key Set (RFC 7517), and signatures that they verify (RFC 7518, RFC 8037).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of a set that are kept.
const MAX_KEYS: usize = 64;

/// The most bytes of a set.
pub const MAX_BYTES: usize = 256 * 1024;

/// The most keys that are tried for a token that does not say by which it is signed.
const MAX_TRIED: usize = 4;

/// How tokens may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// Every algorithm with its name (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub const ALL: [(Algorithm, &str); 9] = [
        (Algorithm::Rs256, "RS256"),
        (Algorithm::Rs384, "RS384"),
        (Algorithm::Rs512, "RS512"),
        (Algorithm::Ps256, "PS256"),
        (Algorithm::Ps384, "PS384"),
        (Algorithm::Ps512, "PS512"),
        (Algorithm::Es256, "ES256"),
        (Algorithm::Es384, "ES384"),
        (Algorithm::EdDsa, "EdDSA"),
    ];

    /// The algorithm with this name.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|(_, known)| *known == name).map(|(algorithm, _)| algorithm)
    }

    /// What ring needs for RSA; `None` for other kinds of keys.
    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
        }
    }
}

/// A public key.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Key {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let of_kind = match self.kind {
            Kind::Rsa { .. } => algorithm.rsa().is_some(),
            Kind::P256(_) => algorithm == Algorithm::Es256,
            Kind::P384(_) => algorithm == Algorithm::Es384,
            Kind::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        of_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether a signature by an algorithm is one of this key.
    pub fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(signed, signature).is_ok()
        };
        match (&self.kind, algorithm) {
            (Kind::Rsa { n, e }, _) => {
                algorithm.rsa().is_some_and(|by| RsaPublicKeyComponents { n, e }.verify(by, signed, signature).is_ok())
            }
            (Kind::P256(point), Algorithm::Es256) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Kind::P384(point), Algorithm::Es384) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Kind::Ed25519(key), Algorithm::EdDsa) => by(&signature::ED25519, key),
            (Kind::P256(_) | Kind::P384(_) | Kind::Ed25519(_), _) => false,
        }
    }
}

/// The keys of an issuer at one time.
pub struct Keys {
    keys: Box<[Key]>,
    generation: u64,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.keys.len())
    }
}

/// A key as it is written. What is not known of it is ignored (RFC 7517, section 4).
#[derive(Deserialize)]
struct Written {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Written {
    /// The key, if it is one that tokens are verified with.
    fn key(self) -> Option<Key> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let algorithm = match &self.alg {
            Some(name) => Some(Algorithm::from_name(name)?),
            None => None,
        };
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let point = |size: usize| {
            let (x, y) = bytes(&self.x).zip(bytes(&self.y))?;
            (x.len() == size && y.len() == size).then(|| [&[4], &*x, &*y].concat())
        };
        let kind = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Kind::Rsa { n: bytes(&self.n)?, e: bytes(&self.e)? },
            ("EC", Some("P-256")) => Kind::P256(point(32)?),
            ("EC", Some("P-384")) => Kind::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Kind::Ed25519(bytes(&self.x).filter(|key| key.len() == 32)?),
            _ => return None,
        };
        Some(Key { id: self.kid.map(Into::into), algorithm, kind })
    }
}

impl Keys {
    /// Reads a set. Keys of other kinds and for other purposes are left out.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &[u8]) -> Result<Keys, &'static str> {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        const WANTED: &str = "is not a JSON Web Key Set; it has an object with a list `keys` (RFC 7517)";
        if text.len() > MAX_BYTES {
            return Err("is larger than 256 KiB; keep the keys in it that are in use");
        }
        let set: Value = serde_json::from_slice(text).map_err(|_| WANTED)?;
        let written = set.get("keys").and_then(Value::as_array).ok_or(WANTED)?;
        let known = written.iter().filter_map(|key| Written::deserialize(key).ok()?.key());
        let keys: Box<[Key]> = known.take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err("has no public key of RSA, P-256, P-384 or Ed25519 for signatures");
        }
        Ok(Keys { keys, generation: GENERATION.fetch_add(1, Ordering::Relaxed) })
    }

    /// A number that no other set has.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The keys that may have signed a token: those with its id, or the first of all where it has none.
    pub fn of(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let fits = move |key: &&Key| key.is_for(algorithm) && id.is_none_or(|id| key.id.as_deref() == Some(id));
        self.keys.iter().filter(fits).take(MAX_TRIED)
    }
}

/// The keys of an issuer, which are replaced while requests are judged.
#[derive(Debug, Default)]
pub struct KeySet {
    current: ArcSwapOption<Keys>,
    /// Somebody has met a token that none of them has signed.
    is_wanted: AtomicBool,
}

impl KeySet {
    /// The keys in force; `None` if there have never been any.
    pub fn current(&self) -> Option<Arc<Keys>> {
        self.current.load_full()
    }

    /// Puts keys in force.
    pub fn replace(&self, keys: Keys) {
        self.current.store(Some(Arc::new(keys)));
    }

    /// Notes that newer keys may be needed.
    pub fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether newer keys may be needed, since the last call.
    pub fn take_wanted(&self) -> bool {
        self.is_wanted.swap(false, Ordering::Relaxed)
    }
}
