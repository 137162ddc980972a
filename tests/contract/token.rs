//! Where a token may be sent (contract, section 4).

use super::{check, gateway, lookup};
use crate::support::{Backend, VERSIONS, token};

#[test]
fn the_token_has_two_names() {
    let backend = Backend::answering_json();
    let gateway = gateway(&backend);
    let (live, none) = (token("live"), lookup().without("Auth-Token"));
    for version in VERSIONS {
        for (request, slug) in [
            (none.clone().with("auth-token", &live), None),
            (none.clone().with("AUTH-TOKEN", &live), None),
            (none.clone().with("x-app-key", &live), None),
            (none.clone().with("X-App-Key", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", ""), None),
            (none.clone().with("x-app-key", "").with("Auth-Token", &live), None),
            (none.clone().with("x-app-key", &live).with("Auth-Token", &token("other")), Some("malformed-request")),
            (none.clone().with("x-app-key", &live).with("x-app-key", &live), Some("malformed-request")),
            (none.clone().with("Auth-Token", &live).with("Auth-Token", ""), Some("malformed-request")),
            (none.clone().with("x-app-key", "").with("Auth-Token", ""), Some("token-missing")),
        ] {
            check(&gateway.send(version, &request), slug);
        }
    }
}
