//! Setting up one-time passwords: the secret is shown as a picture and as text until a first password has shown that the
//! app has it, and then never again; recovery codes are shown once.

use askama::Template;
use axum::http::StatusCode;
use qrcode::{Color, EcLevel, QrCode};
use serde::{Deserialize, Serialize};

use super::code::recovery_digest;
use super::guesses::{self, Kind};
use super::pages::too_many;
use super::people::{act, get, trouble};
use super::randomness::random;
use super::{again, session, step};
use crate::ledger::store::users;
use crate::platform::portal_key::Purpose;
use crate::platform::totp::{self, SECRET_BYTES, base32};
use crate::portal::answer;
use crate::portal::frame::{Frame, Message};
use crate::portal::visit::{Entered, Shown, Trouble, rendered};

/// Recovery codes of a user.
const CODES: usize = 10;

/// Random bytes of a recovery code: 80 bits, which nobody guesses.
const CODE_BYTES: usize = 10;

/// The secret, until the first one-time password of it.
#[derive(Template)]
#[template(path = "portal/totp.html")]
struct TotpPage<'s> {
    frame: Frame<'s>,
    /// Somebody who has just accepted an invitation.
    is_first: bool,
    is_set: bool,
    draft: String,
    secret: String,
    uri: String,
    picture: String,
}

/// The recovery codes.
#[derive(Template)]
#[template(path = "portal/recovery.html")]
struct RecoveryPage<'s> {
    frame: Frame<'s>,
    codes: Vec<String>,
}

/// A secret that is not in the store yet: the form brings it back, sealed.
#[derive(Serialize, Deserialize)]
struct Draft {
    secret: [u8; SECRET_BYTES],
}

fn kind(user: &str) -> String {
    format!("totp of {user}")
}

/// The page with a new secret.
pub async fn show(entered: Entered) -> Shown {
    if let Some(proof) = again::needed(&entered.person, entered.at_ms, "/me/one-time-password") {
        return Ok(proof);
    }
    with_draft(&entered, Draft { secret: random()? }, StatusCode::OK, None).await
}

async fn with_draft(entered: &Entered, draft: Draft, status: StatusCode, message: Option<Message>) -> Shown {
    let user = get(entered, &entered.person.user).await?;
    let uri = totp::uri(&entered.look.site.name, user.name(), &draft.secret);
    let text = base32(&draft.secret);
    let groups: Vec<&str> = text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
    let template = TotpPage {
        frame: entered.frame("One-time passwords").with(message),
        is_first: entered.query.has("first"),
        is_set: user.has_totp,
        secret: groups.join(" "),
        picture: picture(&uri),
        uri,
        draft: step::seal(&entered.portal.sign_in.key, &kind(&user.id), draft, entered.at_ms)?,
    };
    rendered(status, &template)
}

/// Takes the first password of a new secret.
pub async fn set(entered: Entered) -> Shown {
    if let Some(proof) = again::needed(&entered.person, entered.at_ms, "/me/one-time-password") {
        return Ok(proof);
    }
    let user = entered.person.user.clone();
    let draft =
        step::open::<Draft>(&entered.portal.sign_in.key, &kind(&user), entered.form.raw("draft"), entered.at_ms);
    let Some(draft) = draft else { return Ok(answer::see_other("/me/one-time-password")) };
    if let Err(seconds) = guesses::take(&entered, Kind::Code, &user).await? {
        return Ok(too_many(&entered, seconds));
    }
    let Some(now) = totp::step_of(&draft.secret, entered.form.raw("code"), entered.at_ms.div_euclid(1000)) else {
        let text = "Take the newest one that your app shows for the secret below, and check that your clock is right.";
        let message = Message::bad("This code is not right", text);
        return with_draft(&entered, draft, StatusCode::FORBIDDEN, Some(message)).await;
    };
    let codes = recovery_codes()?;
    let digests: Vec<[u8; 32]> = codes.iter().map(|code| recovery_digest(code)).collect();
    let sealed = entered.portal.sign_in.key.seal(Purpose::Totp, &user, &draft.secret, random()?);
    let sealed =
        sealed.ok_or_else(|| Trouble::Refused(crate::portal::ask::Refusal::Broken("cannot be sealed".into())))?;
    let (id, kept) = (user.clone(), entered.person.digest());
    let set = entered.portal.store.write(act(&entered, &user), move |writing| {
        users::set_totp(writing, &id, Some((&sealed, now)), &digests, kept.as_ref()).map(drop)
    });
    set.await.map_err(trouble)?;
    guesses::forget(&entered.portal, Kind::Code, &user).await?;
    let frame =
        entered.frame("Recovery codes").with(Some(Message::done("You are asked for a one-time password from now on.")));
    let response = rendered(StatusCode::OK, &RecoveryPage { frame, codes })?;
    session::renew(&entered, &entered.person, response).await
}

/// Removes one-time passwords.
pub async fn remove(entered: Entered) -> Shown {
    if let Some(proof) = again::needed(&entered.person, entered.at_ms, "/me") {
        return Ok(proof);
    }
    let (user, kept) = (entered.person.user.clone(), entered.person.digest());
    let removed = entered.portal.store.write(act(&entered, &user), {
        let user = user.clone();
        move |writing| users::set_totp(writing, &user, None, &[], kept.as_ref()).map(drop)
    });
    removed.await.map_err(trouble)?;
    let response = answer::see_other("/me?done=one-time-password");
    session::renew(&entered, &entered.person, response).await
}

/// New recovery codes, in groups.
fn recovery_codes() -> Result<Vec<String>, Trouble> {
    let code = |_| {
        let text = base32(&random::<CODE_BYTES>()?);
        let groups: Vec<&str> = text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        Ok(groups.join("-"))
    };
    (0..CODES).map(code).collect()
}

/// A QR code as SVG: one path of its dark modules, with the quiet zone of four around it (ISO/IEC 18004). Empty if the
/// text is too long for one.
fn picture(text: &str) -> String {
    const QUIET: usize = 4;
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return String::new() };
    let (width, colors) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (y, row) in colors.chunks(width).enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
            path += &format!("M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    let side = width + 2 * QUIET;
    format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"QR code of the secret\" viewBox=\"0 0 {side} {side}\" width=\"220\" \
         height=\"220\" shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\
         <path d=\"{path}\" fill=\"#000\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_one_path_and_nothing_of_the_text() {
        let svg = picture("otpauth://totp/Acme:ann%40example.com?secret=MZXW6YTB&issuer=Acme");
        assert!(svg.starts_with("<svg") && svg.contains("<path d=\"M4 4h1v1h-1z"), "{svg}");
        assert!(!svg.contains("MZXW6YTB"));
        assert_eq!(picture(&"x".repeat(5000)), "");
    }

    #[test]
    fn recovery_codes_are_taken_however_they_are_written() {
        let codes = recovery_codes().unwrap();
        assert_eq!((codes.len(), codes[0].len()), (CODES, 19));
        let code = &codes[0];
        for written in [code.to_lowercase(), code.replace('-', ""), format!(" {} ", code.replace('-', " "))] {
            assert_eq!(recovery_digest(&written), recovery_digest(code));
        }
        assert_ne!(recovery_digest(&codes[1]), recovery_digest(code));
    }
}
