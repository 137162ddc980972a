//! Guides of what a token and its account may do: who is asking, from where, how often, and for how
//! many credits.

use super::{Change, Guide, Holder, Provoke, Retry};

pub const TOKEN_MISSING: Guide = Guide {
    meaning: "The request says nothing of who is asking: there is no token in any header that is looked at.",
    causes: &[
        "The header was left out, or its name is misspelt.",
        "The variable that holds the token is empty.",
        "The token is in the URL or in the body, where it is never looked for.",
        "A redirect or a proxy dropped the header.",
    ],
    remedy: &["Send the token in the header that the reference names, with no word in front of it."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::WithoutToken]),
};

pub const TOKEN_UNKNOWN: Guide = Guide {
    meaning: "There is a token, and it is none of this service's.",
    causes: &[
        "The token was not copied whole, or has a space or a line end in it.",
        "It belongs to another environment or to another service.",
        "It was replaced by a newer one and removed.",
        "There is a word in front of it, such as Bearer.",
    ],
    remedy: &["Copy the token anew and send it alone, byte by byte.", "If it was replaced, use the newer one."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Nobody)]),
};

pub const TOKEN_DISABLED: Guide = Guide {
    meaning: "The token is known and has been switched off.",
    causes: &["It was switched off by somebody, for example because it was seen in public.", "The account is on hold."],
    remedy: &["Use another token of the account.", "Ask support why it is off, and to switch it on again."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Disabled)]),
};

pub const TOKEN_EXPIRED: Guide = Guide {
    meaning: "The token is known, and its last day has passed. Days end at midnight UTC.",
    causes: &["The token was given for a limited time.", "It was replaced, and the old one was left to run out."],
    remedy: &["Use the newer token.", "Ask support for one that is in force."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::Expired)]),
};

pub const PRODUCT_MISMATCH: Guide = Guide {
    meaning: "The token is good, but not for the product at this path.",
    causes: &["Tokens of several products were mixed up.", "The account has not booked this product."],
    remedy: &["Use a token that covers this product.", "Ask support to add the product to the token."],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherProduct)]),
};

pub const IP_NOT_ALLOWED: Guide = Guide {
    meaning: "The token may be used from certain network addresses alone, and this request came from another one.",
    causes: &[
        "The request came from another machine, office, region or VPN than usual.",
        "Your provider has given you another address.",
        "Your machine speaks IPv6, and the list has IPv4 addresses alone, or the other way round.",
    ],
    remedy: &[
        "Send requests from an address that is on the token's list.",
        "Have the list changed; ask for IPv4 and IPv6 if you have both.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherNetwork)]),
};

pub const DOMAIN_NOT_ALLOWED: Guide = Guide {
    meaning: "The token may be used by pages of certain web domains alone, and this request came from another one, or does not say from which. A browser says so in Origin, else in Referer.",
    causes: &[
        "The page stands at another host name than the list has, such as a test system or localhost.",
        "The list has example.com, and the page stands at www.example.com.",
        "The request does not come from a browser, and so has neither Origin nor Referer.",
    ],
    remedy: &[
        "Use the token on a page of an allowed domain.",
        "Have the list changed; *.example.com stands for every subdomain.",
        "For servers use a token without a list of domains.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::By(&[Change::Token(Holder::OtherDomain), Change::Header("Origin", "https://elsewhere.example")]),
};

pub const RATE_EXCEEDED: Guide = Guide {
    meaning: "The account has sent as many requests as it may for now. All its tokens count together. This request was not passed on, and nothing was charged.",
    causes: &[
        "A batch sends its requests all at once.",
        "Several programs share the account.",
        "A program sends failed requests again without waiting.",
    ],
    remedy: &[
        "Wait as long as Retry-After says.",
        "Look at X-Rate-Limit-Remaining in every answer, and slow down before it is 0.",
        "Spread batches over time, or ask for a higher rate.",
    ],
    retry: Retry::AfterHeader,
    provoke: Provoke::Often(Holder::Throttled),
};

pub const CREDITS_INSUFFICIENT: Guide = Guide {
    meaning: "The account has fewer credits left than this request could cost at the most. The price is known only from the answer, so the highest one is set aside first. Nothing was charged.",
    causes: &[
        "The credits are used up.",
        "Other requests that are under way have set the rest aside.",
        "The request asks for extras that cost more than what is left.",
    ],
    remedy: &[
        "Buy more credits.",
        "Ask for less in one request, where that is cheaper.",
        "Look at X-Credits-Remaining in every answer.",
    ],
    retry: Retry::AfterChange,
    provoke: Provoke::Often(Holder::Spent),
};
