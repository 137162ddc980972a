//! The flags of `tollgate init`, and how single answers are read.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::backend::Backend;
use super::names::slug;
use crate::config::units::{FromText, PublicUrl, RouteText};
use crate::policy::check::token::TokenPlace;

/// What `--help` shows behind the flags.
pub const EXAMPLES: &str = "Examples:
  tollgate init                              asks for everything
  tollgate init --backend http://127.0.0.1:9001 --route 'GET /v1/vat/{number}' --yes
  tollgate init --from-openapi openapi.yaml --backend http://127.0.0.1:9001

It asks at a terminal for what no flag says; with --yes, or without a terminal, defaults are taken. The exit status is 2
if a flag is missing or wrong, and 1 if the file is there already or cannot be written.";

/// A first configuration.
#[derive(Args, Default)]
pub struct Command {
    /// The backend's URL; a path stands before that of every route.
    #[arg(long, value_name = "URL", value_parser = Backend::parse)]
    pub backend: Option<Backend>,
    /// The first route: a method and a path, as in "GET /v1/vat/{number}". With --from-openapi, an operation of the
    /// document to take over in place of all; may be repeated.
    #[arg(long = "route", value_name = "ROUTE", value_parser = route)]
    pub routes: Vec<RouteText>,
    /// Where clients put their token: bearer, basic user, basic password, "header NAME" or "query NAME"; may be repeated.
    /// Default: bearer.
    #[arg(long = "token-in", value_name = "PLACE", value_parser = token_place)]
    pub token_in: Vec<String>,
    /// A value that the backend knows for a parameter of the path, as in number=DE811907980, for the curl.
    #[arg(long = "example", value_name = "NAME=VALUE", value_parser = example)]
    pub examples: Vec<(String, String)>,
    /// What the product is called. Default: a word of the route's path, or of the document's title.
    #[arg(long, value_name = "NAME", value_parser = product_name)]
    pub product: Option<String>,
    /// The address for clients. Default: 127.0.0.1:8080, or 8081 if the backend has that.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The address of the admin listener. Default: 127.0.0.1:9901.
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// The URL that clients know. Default: that of `listen`.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// The backend's OpenAPI document, 3.0 or 3.1, in JSON or YAML: makes routes, parameters, schemas and the place of
    /// tokens from it, and lists what cannot be taken over.
    #[arg(long, value_name = "FILE")]
    pub from_openapi: Option<PathBuf>,
    /// The file to write. Schemas are written beside it.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    pub out: PathBuf,
    /// Overwrite files that are there already.
    #[arg(long)]
    pub force: bool,
    /// Ask nothing: take defaults for what no flag says.
    #[arg(short, long)]
    pub yes: bool,
}

/// Reads an answer or a flag.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn route(text: &str) -> Result<RouteText, String> {
    RouteText::from_text(text.trim()).map_err(str::to_owned)
}

fn token_place(text: &str) -> Result<String, String> {
    TokenPlace::from_text(text.trim()).map(|_| text.trim().to_owned()).map_err(str::to_owned)
}

/// Reads an answer or a flag.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn token_places(text: &str) -> Result<Vec<String>, String> {
    text.split(',').map(token_place).collect()
}

/// Reads an answer or a flag.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn public_url(text: &str) -> Result<String, String> {
    PublicUrl::from_text(text.trim()).map(|PublicUrl(url)| url.into()).map_err(str::to_owned)
}

fn product_name(text: &str) -> Result<String, String> {
    let name = slug(text);
    if name == text {
        Ok(name)
    } else {
        Err("is not a name for a product; use small letters, digits and hyphens".to_owned())
    }
}

fn example(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE; write one as in number=DE811907980")?;
    Ok((name.to_owned(), value.to_owned()))
}
