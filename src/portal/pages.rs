//! The pages, a file for each topic.

pub mod alerts;
pub mod assets;
pub mod audit;
pub mod credits;
pub mod desk;
pub mod desk_import;
pub mod desk_lists;
pub mod desk_shadow;
pub mod desk_status;
pub mod home;
mod invitation;
pub mod keys;
pub mod lists;
pub mod members;
pub mod overview;
pub mod refusals;
pub mod test;
pub mod token;
pub mod tokens;
pub mod usage;

use super::page::Page;

/// Every page.
pub fn all() -> Vec<Page> {
    let parts = [
        assets::pages(),
        home::pages(),
        overview::pages(),
        tokens::pages(),
        token::pages(),
        lists::pages(),
        test::pages(),
        usage::pages(),
        refusals::pages(),
        credits::pages(),
        alerts::pages(),
        members::pages(),
        keys::pages(),
        audit::pages(),
        desk::pages(),
        desk_import::pages(),
        desk_lists::pages(),
        desk_shadow::pages(),
        desk_status::pages(),
    ];
    parts.into_iter().flatten().collect()
}
