//! The word of a proxy in front that authenticates: a header with the user's address of mail, which is taken from listed
//! addresses alone.

use axum::http::HeaderMap;

use super::people;
use crate::operate::api::connection::Peer;
use crate::platform::mail::check_address;
use crate::portal::state::Portal;

/// The address of mail that a listed proxy vouches for; none where no proxy is configured or the request comes from
/// elsewhere: from there the header means nothing.
///
/// # Errors
/// That a listed proxy has sent the header twice, or something else than an address: it is set up wrongly.
pub fn shown(portal: &Portal, headers: &HeaderMap, peer: Option<Peer>) -> Result<Option<String>, &'static str> {
    let Some(proxy) = &portal.settings.sign_in.proxy else { return Ok(None) };
    let is_listed = peer.is_some_and(|peer| proxy.from.iter().any(|network| network.contains(&peer.0)));
    if !is_listed {
        return Ok(None);
    }
    let mut lines = headers.get_all(&proxy.header).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err("It has sent its header twice. It has to replace what browsers send."),
        (Some(line), None) => {
            let email = people::address(line.to_str().unwrap_or_default());
            let is_address = check_address(&email).is_ok();
            is_address.then_some(Some(email)).ok_or("Its header is not an address of mail.")
        }
    }
}
