//! What a guide is made of: what has happened, what to do about it, and how to see it happen.

/// The guide of one row.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// What has happened, in a sentence or two.
    pub meaning: &'static str,
    /// The usual causes, the most frequent first.
    pub causes: &'static [&'static str],
    /// What to do about it, step by step.
    pub remedy: &'static [&'static str],
    pub retry: Retry,
    pub provoke: Provoke,
}

/// Whether code should send the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request gets the same answer until somebody has changed something.
    AfterChange,
    /// After the number of seconds in Retry-After, no sooner.
    AfterHeader,
    /// After Retry-After where it is there, else after pauses that double.
    HeaderOrBackoff,
    /// After pauses that double.
    Backoff,
}

impl Retry {
    /// The first of the pauses that double, in seconds.
    pub const FIRST_PAUSE_SECONDS: u32 = 1;

    /// How often is enough: with doubled pauses that is about half a minute.
    pub const MOST_RETRIES: u32 = 5;

    /// Whether a program may try the same request again by itself.
    pub const fn is_worth_it(self) -> bool {
        match self {
            Retry::AfterChange => false,
            Retry::AfterHeader | Retry::HeaderOrBackoff | Retry::Backoff => true,
        }
    }

    /// What code should do, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Retry::AfterChange => {
                "Do not retry automatically: the result stays the same until the request, the token or the account is changed. Log the detail and the Transaction-Id, and alert a person."
            }
            Retry::AfterHeader => {
                "Wait for the number of seconds in the Retry-After header, then send the same request again. Sending it sooner does not help."
            }
            Retry::HeaderOrBackoff => {
                "Wait for the number of seconds in the Retry-After header, then send the same request again. Without that header, wait 1 second before the first retry and twice as long before each further one, with some random jitter, and give up after 5 attempts. Nothing was charged."
            }
            Retry::Backoff => {
                "Wait 1 second before the first retry and twice as long before each further one, with some random jitter, and give up after 5 attempts. Nothing was charged."
            }
        }
    }
}

/// How to see a row happen: what is changed of a request that is good.
#[derive(Clone, Copy, Debug)]
pub enum Provoke {
    By(&'static [Change]),
    /// A good request, sent often enough.
    Often(Holder),
    /// A good request with a key, refused if that was used for another one.
    KeyReused,
    /// A good request, refused only while something lasts, in a sentence.
    While(&'static str),
    /// The backend has to fail, which the demo's does for this reference.
    Demo(&'static str),
    /// A value that breaks a rule of the product which has this row.
    BreakingRule,
    /// Nothing that a client sends.
    Never,
}

/// One change of a good request.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Target(&'static str),
    Token(Holder),
    WithoutToken,
    /// The same token in two lines.
    TokenTwice,
    Header(&'static str, &'static str),
    /// More seconds than the product's deadline header takes.
    DeadlineTooLong,
    /// No Content-Type that fits.
    ContentType(&'static str),
    Body(&'static str),
    /// Spaces, one more than the product takes.
    BodyTooLarge,
    /// A body that does not come.
    BodyNeverSent,
}

/// Whose token a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Good,
    Nobody,
    Disabled,
    Expired,
    OtherProduct,
    OtherNetwork,
    OtherDomain,
    Throttled,
    OutOfQuota,
    Spent,
}
