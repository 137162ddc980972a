//! Guides of what a token and its account may do: who is asking, from where, how often, and for how
//! many credits.

use super::entry::{Change, Guide, Holder, Provoke, Retry};

pub const TOKEN_MISSING: Guide = Guide {
    meaning: "The request has no token in any of the places where one is expected.",
    causes: &[
        "The header is missing, or its name is misspelt.",
        "The variable that holds the token is empty.",
        "The token is in another place, such as the URL or the body, where it is not expected.",
        "A redirect or a proxy removed the header.",
    ],
    remedy: &[
        "Send the token in the place that the reference names, and just as it says: some headers take it alone, and Authorization after the word Bearer or Basic.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::WithoutToken]),
};

pub const TOKEN_UNKNOWN: Guide = Guide {
    meaning: "The request has a token, but it is not a valid token of this API.",
    causes: &[
        "The token was not copied completely, or contains a space or a line break.",
        "It belongs to another environment or another service.",
        "It was replaced by a newer token and deleted.",
        "It has a prefix, such as Bearer, in a header that takes the token alone.",
    ],
    remedy: &["Copy the token again, and send it exactly as it is.", "If it was replaced, use the newer token."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Nobody)]),
};

pub const TOKEN_DISABLED: Guide = Guide {
    meaning: "The token is correct, but it has been disabled.",
    causes: &["Somebody disabled it, for example because it became public.", "The account is suspended."],
    remedy: &[
        "Use another token of your account.",
        "If you do not know why it was disabled, ask support, and have it enabled again.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Disabled)]),
};

pub const TOKEN_EXPIRED: Guide = Guide {
    meaning: "The token is correct, but it has expired. Tokens expire at midnight UTC, at the end of their last day.",
    causes: &[
        "The token was issued for a limited time.",
        "It was replaced by a newer token, and the old one was left to expire.",
    ],
    remedy: &["Use a newer token.", "If you have none, create one or ask support for one."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Expired)]),
};

pub const PRODUCT_MISMATCH: Guide = Guide {
    meaning: "The token is valid, but not for this product.",
    causes: &["Tokens for different products were mixed up.", "Your account does not include this product."],
    remedy: &["Use a token for this product.", "To add the product to your token or account, ask support."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherProduct)]),
};

pub const IP_NOT_ALLOWED: Guide = Guide {
    meaning: "The token can only be used from certain IP addresses, and this request came from another one.",
    causes: &[
        "The request came from another machine, office, region or VPN than usual.",
        "Your provider assigned you another address.",
        "Your machine uses IPv6, and the list contains only IPv4 addresses, or the other way round.",
    ],
    remedy: &[
        "Send requests from an address on the token's list.",
        "Have the list changed; if you use both IPv4 and IPv6, have both added.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherNetwork)]),
};

pub const DOMAIN_NOT_ALLOWED: Guide = Guide {
    meaning: "The token can only be used from certain web domains, and this request came from another one, or does not say where it came from. Browsers say so in the Origin header, or else in the Referer header.",
    causes: &[
        "The page is on a host that is not on the list, such as a test system or localhost.",
        "The list contains example.com, and the page is on www.example.com.",
        "The request does not come from a browser, so it has neither Origin nor Referer.",
    ],
    remedy: &[
        "Use the token on a page of an allowed domain.",
        "Have the list changed; *.example.com means all subdomains of example.com.",
        "On servers, use a token without a list of domains.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherDomain), Change::Header("Origin", "https://elsewhere.example")]),
};

pub const RATE_EXCEEDED: Guide = Guide {
    meaning: "Your account has sent too many requests in a short time. All tokens of the account count together; a token or a product can have a limit of its own as well. This request was not processed, and nothing was charged.",
    causes: &[
        "A batch job sends all its requests at once.",
        "Several programs use the same account.",
        "A program retries failed requests without waiting.",
    ],
    remedy: &[
        "Wait for the number of seconds in the Retry-After header.",
        "Watch X-Rate-Limit-Remaining in each response, and slow down before it reaches 0.",
        "Spread batch jobs over time, or ask for a higher limit.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::Often(Holder::Throttled),
};

pub const QUOTA_EXCEEDED: Guide = Guide {
    meaning: "Your account or token has used up the requests that it can send in this day or month, in UTC. This request was not processed, and nothing was charged.",
    causes: &[
        "Your plan includes fewer requests than your programs need.",
        "A batch job or a test has sent more requests than expected.",
        "A program retries failed requests without end.",
    ],
    remedy: &[
        "Wait until the quota is renewed: at midnight UTC, for a month on its first day. Retry-After says in how many seconds.",
        "Watch the quota in RateLimit in each response, or in GET /account/credits where it is offered.",
        "Ask for a larger plan.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::Often(Holder::OutOfQuota),
};

pub const CONCURRENCY_EXCEEDED: Guide = Guide {
    meaning: "As many requests of your account are being processed as it may have at the same time. This request was not processed, and nothing was charged.",
    causes: &[
        "A program sends many requests in parallel.",
        "Several programs use the same account.",
        "Lookups take longer than usual, so that more of them are in progress.",
    ],
    remedy: &[
        "Send the next request when one of your requests is answered.",
        "Limit how many requests your programs send in parallel, for example by a pool of connections.",
        "Ask for a larger plan.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::While(
        "This request is valid. It is refused only while as many of your requests are in progress as your account may have.",
    ),
};

pub const CREDITS_UNAVAILABLE: Guide = Guide {
    meaning: "The balance of your account cannot be checked at the moment, so that nothing can be sold. Your request is fine, and nothing was charged.",
    causes: &[
        "The place where balances are kept cannot be reached.",
        "Your last credits are reserved elsewhere, by a part of the service that does not answer.",
    ],
    remedy: &[
        "Wait for the number of seconds in the Retry-After header, then send the request again.",
        "If it lasts longer than a few minutes, check the status of the service.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::Never,
};

pub const CREDITS_INSUFFICIENT: Guide = Guide {
    meaning: "Your account has fewer credits than this request can cost. The exact price is known only after the lookup, so the highest possible price is reserved first. Nothing was charged.",
    causes: &[
        "Your credits are used up.",
        "The remaining credits are reserved for other requests in progress.",
        "The request asks for extras that cost more than the remaining credits.",
    ],
    remedy: &[
        "Buy more credits.",
        "Ask for fewer extras, if that makes the request cheaper.",
        "Watch X-Credits-Remaining in each response.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::Often(Holder::Spent),
};
