//! What lives as long as the portal does: the API, the store, the gateway, and what signing in needs.

use std::sync::Arc;

use super::sign_in::oidc::provider::Provider;
use crate::config::portal::PortalSettings;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Settings;
use crate::ledger::store::{Location, Store};
use crate::operate::api::client::InProcess;
use crate::platform::mail::Mailer;
use crate::platform::portal_key::PortalKey;

/// What every page is made with.
pub struct Portal {
    pub api: InProcess,
    /// For people and their sessions alone; everything else is asked of the API.
    pub store: Arc<Store>,
    pub settings: PortalSettings,
    pub gateway: Arc<Gateway>,
    /// What signing in needs.
    pub sign_in: SignIn,
}

impl Portal {
    /// The settings of the configuration in force, with the look of the pages.
    pub fn look(&self) -> Arc<Settings> {
        Arc::clone(&self.gateway.snapshot().settings)
    }
}

/// What signing in needs.
pub struct SignIn {
    /// The key of what is sealed and signed.
    pub key: PortalKey,
    /// What sends mail, if the configuration has a server for it.
    pub(super) mailer: Option<Arc<Mailer>>,
    /// The identity provider, if there is one.
    pub(super) provider: Option<Arc<Provider>>,
}

impl SignIn {
    /// What a configuration needs, with the key beside its store.
    ///
    /// # Errors
    /// What is wrong with the key's file, or with the server of mail.
    pub fn of(settings: &PortalSettings, store: &Store) -> Result<SignIn, String> {
        let key = match store.location() {
            Location::File(path) => PortalKey::beside(path)?,
            Location::Postgres(settings) => PortalKey::shared(&settings.portal_key)?,
        };
        let mailer = settings.sign_in.mail.as_ref().map(Mailer::to).transpose()?.map(Arc::new);
        let provider = settings.sign_in.oidc.clone().map(|oidc| Arc::new(Provider::of(oidc)));
        Ok(SignIn { key, mailer, provider })
    }
}
