//! A JSON document whose members stay in their order, for writing it in another format.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A value of a document. It lends what texts need not be unescaped.
#[derive(Debug, PartialEq)]
pub enum Tree<'j> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'j, str>),
    List(Vec<Tree<'j>>),
    /// Each name once.
    Object(Vec<(Cow<'j, str>, Tree<'j>)>),
}

/// Reads a document. Of a name that is there twice the last value counts, as for most readers of JSON.
///
/// # Errors
/// It is not JSON, is nested more than 128 levels deep, or has a number that is larger than any double.
pub fn read(json: &[u8]) -> serde_json::Result<Tree<'_>> {
    serde_json::from_slice(json)
}

/// A text that is lent where it can be.
struct Name<'j>(Cow<'j, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Tree<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element()? {
            values.push(value);
        }
        Ok(Tree::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree<'de>, A::Error> {
        let mut values: Vec<(Cow<'de, str>, Tree<'de>)> = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            values.push((name, members.next_value()?));
        }
        Ok(Tree::Object(each_once(values)))
    }
}

/// The members of an object, of each name the last.
fn each_once<'j>(members: Vec<(Cow<'j, str>, Tree<'j>)>) -> Vec<(Cow<'j, str>, Tree<'j>)> {
    let mut last: HashMap<&str, usize> = HashMap::with_capacity(members.len());
    for (index, (name, _)) in members.iter().enumerate() {
        last.insert(name, index);
    }
    if last.len() == members.len() {
        return members;
    }
    let mut kept: Vec<usize> = last.into_values().collect();
    kept.sort_unstable();
    let mut kept = kept.into_iter().peekable();
    let numbered = members.into_iter().enumerate();
    numbered.filter(|(index, _)| kept.next_if_eq(index).is_some()).map(|(_, member)| member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_order_and_the_last_of_a_name_counts() {
        let Ok(Tree::Object(members)) = read(br#"{"z":1,"a":"x\u0041","z":2,"m":[null,true,-1,1.5]}"#) else {
            panic!()
        };
        let names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "z", "m"]);
        assert_eq!(members[0].1, Tree::Text("xA".into()));
        assert_eq!(members[1].1, Tree::Number(2.into()));
        for refused in ["", "{", "1e999", &("[".repeat(200) + &"]".repeat(200))] {
            assert!(read(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
