//! Lists of a token that are in force, or only watched: a list by itself, or a mapping with its mode.

use super::common::listed;
use crate::config::yaml::{Listed, Mistakes, Place, Written};
use written::{AnyList, ListWithMode, Mode};

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use std::marker::PhantomData;

    use ipnet::IpNet;
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};

    use crate::config::units::{Parsed, Texts};
    use crate::config::yaml::{LIST_OR_KEYS, Listed, Place, Written};
    use crate::policy::check::domain::Pattern;

    /// What is done with requests that a list does not allow.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Mode {
        /// They are refused.
        #[default]
        Enforce,
        /// They pass, and are counted.
        Watch,
    }

    /// A list of networks with its mode.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["list"]))]
    pub struct NetworkList {
        /// enforce: requests from elsewhere are refused; watch: they pass, and are counted as what they would have
        /// been refused with. Default: enforce.
        pub mode: Written<Mode>,
        /// Addresses and networks.
        #[schemars(length(min = 1))]
        pub list: Texts<IpNet>,
    }

    /// A list of domains with its mode.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    #[schemars(extend("required" = ["list"]))]
    pub struct DomainList {
        /// enforce: requests from elsewhere are refused; watch: they pass, and are counted as what they would have
        /// been refused with. Default: enforce.
        pub mode: Written<Mode>,
        /// Web domains; *.host is any subdomain.
        #[schemars(length(min = 1))]
        pub list: Texts<Pattern>,
    }

    /// A list with its mode.
    pub trait ListWithMode {
        /// What one of its elements is.
        type Element;
        /// Both, as they are written.
        fn parts(self) -> (Written<Mode>, Written<Listed<Self::Element>>);
        /// A list without its mode.
        fn of(list: Written<Listed<Self::Element>>) -> Self;
    }

    impl ListWithMode for NetworkList {
        type Element = Parsed<IpNet>;

        fn parts(self) -> (Written<Mode>, Texts<IpNet>) {
            (self.mode, self.list)
        }

        fn of(list: Texts<IpNet>) -> NetworkList {
            NetworkList { mode: Written::Missing, list }
        }
    }

    impl ListWithMode for DomainList {
        type Element = Parsed<Pattern>;

        fn parts(self) -> (Written<Mode>, Texts<Pattern>) {
            (self.mode, self.list)
        }

        fn of(list: Texts<Pattern>) -> DomainList {
            DomainList { mode: Written::Missing, list }
        }
    }

    /// A list by itself, or a mapping with its mode.
    #[derive(Debug)]
    pub enum AnyList<L> {
        /// The list alone.
        Plain(L),
        /// With its mode.
        WithMode(L),
    }

    impl<'de, L> Deserialize<'de> for AnyList<L>
    where
        L: ListWithMode + Deserialize<'de>,
        L::Element: Deserialize<'de>,
    {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct ListVisitor<L>(PhantomData<L>);
            impl<'de, L> serde::de::Visitor<'de> for ListVisitor<L>
            where
                L: ListWithMode + Deserialize<'de>,
                L::Element: Deserialize<'de>,
            {
                type Value = AnyList<L>;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a list, or a mapping")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, access: A) -> Result<AnyList<L>, A::Error> {
                    let list = Listed::deserialize(SeqAccessDeserializer::new(access))?;
                    Ok(AnyList::Plain(L::of(Written::Here(list, Place::default()))))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, access: A) -> Result<AnyList<L>, A::Error> {
                    L::deserialize(MapAccessDeserializer::new(access)).map(AnyList::WithMode)
                }
            }
            deserializer.deserialize_struct(LIST_OR_KEYS, &["mode", "list"], ListVisitor(PhantomData))
        }
    }
}

/// The elements of a list, with their places, and its mode.
pub type ModedList<L> = (Vec<(<L as ListWithMode>::Element, Place)>, Mode);

/// The elements of a list that must not be empty, and whether it is only watched; `None` where no list is written.
pub fn compile<L: ListWithMode>(
    written: Written<AnyList<L>>,
    parent: &Place,
    key: &str,
    instead: &str,
    mistakes: &mut Mistakes,
) -> Option<ModedList<L>> {
    match written {
        Written::Missing => None,
        Written::Bad => Some((Vec::new(), Mode::Enforce)),
        Written::Here(AnyList::Plain(list), place) => {
            let (_, list) = list.parts();
            let list = list.take().map_or(Written::Bad, |list: Listed<_>| Written::Here(list, place));
            Some((listed(list, parent, key, instead, mistakes), Mode::Enforce))
        }
        Written::Here(AnyList::WithMode(list), place) => {
            let (mode, list) = list.parts();
            Some((listed(list, &place, "list", instead, mistakes), mode.take().unwrap_or_default()))
        }
    }
}
