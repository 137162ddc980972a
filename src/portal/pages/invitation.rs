//! The link of an invitation that was just made: shown once, and sent by mail where there is a server for it.

use std::time::SystemTime;

use crate::operate::api::people::NewInvitation;
use crate::platform::mail::Mail;
use crate::portal::mailing;
use crate::portal::visit::Visit;

/// What is shown of an invitation that was just made.
#[derive(Debug)]
pub struct Invited {
    /// Where it is accepted, once.
    pub link: String,
    pub email: String,
    /// Whether mail with the link is on its way.
    pub is_sent: bool,
}

impl Invited {
    /// What is shown, unless the answer is one that was given before; sends mail, for which nobody waits.
    pub fn of(visit: &Visit, made: NewInvitation) -> Option<Invited> {
        let link = format!("{}{}", visit.portal.settings.public_url, made.path?);
        let email = made.invitation.email;
        let mailer = visit.portal.sign_in.mailer.clone();
        let is_sent = mailer.is_some();
        if let Some(mailer) = mailer {
            let mail = letter(&link, &visit.look.site.name, (email.clone(), made.invitation.id));
            tokio::spawn(mailing::send(mailer, mail, "an invitation"));
        }
        Some(Invited { link, email, is_sent })
    }
}

fn letter(link: &str, name: &str, (to, id): (String, String)) -> Mail {
    let text = format!(
        "You are invited to {name}. Open this link to see to what, and to accept:\n\n{link}\n\nIt works once, for three \
         days. If you did not expect it, nothing needs to be done.\n"
    );
    Mail { to, id, subject: format!("Invitation to {name}"), text, at: SystemTime::now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_has_the_link() {
        let mail = letter("https://portal.example.com/invitation/x", "Plates", ("ann@example.com".into(), "1".into()));
        assert_eq!((&*mail.subject, &*mail.to), ("Invitation to Plates", "ann@example.com"));
        assert!(mail.text.contains("\n\nhttps://portal.example.com/invitation/x\n\n"), "{}", mail.text);
    }
}
