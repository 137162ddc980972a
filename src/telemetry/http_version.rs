//! Versions of HTTP as records write them.

use crate::policy::http::head::Version;

/// The version of HTTP as the semantic conventions write it.
pub fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

/// The version of HTTP as in a request line, such as `HTTP/1.1`.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}
