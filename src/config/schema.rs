//! The JSON Schema of the configuration, for editors, generated from the types that read it.
//!
//! Keys, descriptions, ranges and formats come from the type declarations, so no key can be
//! forgotten. A schema checks single values; values are checked together (such as the product of a
//! token) by `tollgate check`. The schema is stricter only for texts that look like numbers, which
//! need quotes.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::account::written::{AccountLine, Funds};
use super::accounts::written::AccountsFile;
use super::credits::written::{AnyAmount, Quantity};
use super::file::File;
use super::lists::written::{AnyList, ListWithMode};
use super::plans::written::AnyRate;
use super::rates::written::Rate;
use super::routes::written::{AnyRoute, Route};
use super::units::{FromText, Parsed, PerPeriod, RouteText};
use super::upstreams::written::{AnyServer, Server};
use crate::config::yaml::{Entries, Listed, Written};
use crate::policy::credits::balance::MAX_CREDITS;
use crate::policy::tariff::MAX_LINE_CREDITS;
use crate::upstream::settings::Address;

/// The kinds of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A whole configuration.
    #[default]
    Config,
    /// A YAML file of `include`.
    Accounts,
    /// One line of a JSON Lines file of `include`.
    AccountLine,
}

/// The schema of a kind of file, in draft 7, which editors support best.
pub fn of(kind: Kind) -> Schema {
    let generator = SchemaSettings::draft07().with_transform(RecursiveTransform(Plain)).into_generator();
    let (mut schema, title) = match kind {
        Kind::Config => (generator.into_root_schema_for::<File>(), "A configuration of Tollgate"),
        Kind::Accounts => (generator.into_root_schema_for::<AccountsFile>(), "Accounts of Tollgate"),
        Kind::AccountLine => (generator.into_root_schema_for::<AccountLine>(), "An account of Tollgate, on a line"),
    };
    schema.insert("title".to_owned(), title.into());
    schema
}

/// Removes what is of no use to editors: the sizes of Rust's numbers, and line breaks in sentences.
#[derive(Clone)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("type").is_some_and(|kind| kind == "integer" || kind == "number") {
            schema.remove("format");
        }
        if let Some(description) = schema.get("description").and_then(|text| text.as_str()) {
            let description = description.replace('\n', " ");
            schema.insert("description".to_owned(), description.into());
        }
    }
}

/// `Written` has the schema of its value.
impl<T: JsonSchema> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: FromText> JsonSchema for Parsed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value, "propertyNames": { "pattern": r"\S" } })
    }
}

impl<T: JsonSchema> JsonSchema for Listed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items })
    }
}

impl JsonSchema for AnyServer {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyServer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<Server>();
        json_schema!({ "anyOf": [Address::schema(), mapping] })
    }
}

impl JsonSchema for AnyRate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyRate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<Rate>();
        json_schema!({ "anyOf": [PerPeriod::schema(), mapping] })
    }
}

impl JsonSchema for AnyRoute {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyRoute".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<Route>();
        json_schema!({ "anyOf": [RouteText::schema(), mapping] })
    }
}

impl JsonSchema for AnyAmount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyAmount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<Quantity>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0, "maximum": MAX_LINE_CREDITS }, mapping] })
    }
}

impl<L: ListWithMode + JsonSchema> JsonSchema for AnyList<L>
where
    L::Element: JsonSchema,
{
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Any_{}", L::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let element = generator.subschema_for::<L::Element>();
        let mapping = generator.subschema_for::<L>();
        json_schema!({ "anyOf": [{ "type": "array", "items": element, "minItems": 1 }, mapping] })
    }
}

impl JsonSchema for Funds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Funds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": MAX_CREDITS },
            { "const": "unmetered" },
        ] })
    }
}
