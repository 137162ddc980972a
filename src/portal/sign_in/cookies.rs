//! The portal's cookies. Over TLS their names begin with `__Host-`, so that a browser takes them from this host alone,
//! over TLS, and for all paths (RFC 6265bis, section 4.1.3.2); on a listener of this machine without TLS they do not.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// One cookie of the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The session.
    Session,
    /// What is kept between two steps of signing in.
    Step,
    /// What binds a link in mail to this browser.
    Link,
    /// What is kept while the identity provider is asked.
    Provider,
}

impl Cookie {
    const fn name(self) -> &'static str {
        match self {
            Cookie::Session => "tg",
            Cookie::Step => "tg-step",
            Cookie::Link => "tg-link",
            Cookie::Provider => "tg-provider",
        }
    }

    fn full_name(self, is_secure: bool) -> String {
        let prefix = if is_secure { "__Host-" } else { "" };
        format!("{prefix}{}", self.name())
    }

    /// The value that a browser shows; none if it shows two.
    pub fn of(self, headers: &HeaderMap, is_secure: bool) -> Option<String> {
        let wanted = self.full_name(is_secure);
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.to_owned()),
            _ => None,
        }
    }

    /// The header that sets it for so many seconds.
    pub fn set(self, value: &str, seconds: i64, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.full_name(is_secure))
    }

    /// The header that removes it.
    pub fn remove(self, is_secure: bool) -> String {
        self.set("", 0, is_secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_of_this_host_alone_and_two_of_one_name_are_none() {
        assert_eq!(
            Cookie::Session.set("x", 60, true),
            "__Host-tg=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(Cookie::Step.remove(false), "tg-step=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        for (lines, is_secure, found) in [
            (&["__Host-tg=a"][..], true, Some("a")),
            (&["tg=a"], true, None),
            (&["tg=a"], false, Some("a")),
            (&["other=1; __Host-tg=a; x"], true, Some("a")),
            (&["__Host-tg=a; __Host-tg=b"], true, None),
            (&["__Host-tg=a", "__Host-tg=a"], true, None),
            (&["__Host-tg-step=a"], true, None),
            (&[], true, None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, line.parse().unwrap());
            }
            assert_eq!(Cookie::Session.of(&headers, is_secure).as_deref(), found, "{lines:?}");
        }
    }
}
