//! Programs against the library: the same verdict wherever the library comes to one, and never more than
//! the budget.

use jsonschema::PatternOptions;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate::Judging;
use super::evaluate::budget::Budget;
use super::{BodyRule, Schema};

const DRAFTS: [&str; 5] = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

/// Values of few kinds, so that they are often what a schema is about.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..4).prop_map(Value::from),
        prop_oneof![Just(json!(1.0)), Just(json!(1.5)), Just(json!(-0.0))],
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn leaves() -> impl Strategy<Value = (String, Value)> {
    let number = 0_u64..4;
    prop_oneof![
        proptest::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object"])
            .prop_map(|name| ("type".to_owned(), json!(name))),
        Just(("type".to_owned(), json!(["object", "array", "integer"]))),
        proptest::collection::vec(values(), 1..3).prop_map(|mut values| {
            values.dedup();
            ("enum".to_owned(), Value::from(values))
        }),
        values().prop_map(|value| ("const".to_owned(), value)),
        (
            proptest::sample::select(vec![
                "minLength",
                "maxLength",
                "minItems",
                "maxItems",
                "minProperties",
                "maxProperties"
            ]),
            number.clone()
        )
            .prop_map(|(keyword, number)| (keyword.to_owned(), json!(number))),
        (proptest::sample::select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), -1_i64..3)
            .prop_map(|(keyword, number)| (keyword.to_owned(), json!(number))),
        (1_u64..3).prop_map(|number| ("multipleOf".to_owned(), json!(number))),
        proptest::sample::select(vec!["^a", "b$", "^a+b?$"]).prop_map(|text| ("pattern".to_owned(), json!(text))),
        any::<bool>().prop_map(|unique| ("uniqueItems".to_owned(), json!(unique))),
        proptest::collection::btree_set("[abc]", 1..3).prop_map(|names| ("required".to_owned(), json!(names))),
        ("[abc]", "[abc]").prop_map(|(one, other)| ("dependentRequired".to_owned(), json!({ one: [other] }))),
        (proptest::sample::select(vec!["minContains", "maxContains"]), number)
            .prop_map(|(keyword, number)| (keyword.to_owned(), json!(number))),
    ]
}

/// Schemas that may refer to each other by the names `#/definitions/d0` to `d2`.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Value::from),
        6 => proptest::collection::btree_map(Just(()), leaves(), 1..2)
            .prop_map(|leaves| leaves.into_values().collect::<Value>()),
        4 => proptest::collection::vec(leaves(), 1..4).prop_map(|leaves| leaves.into_iter().collect::<Value>()),
        2 => (0..3).prop_map(|number| json!({ "$ref": format!("#/definitions/d{number}") })),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 1..4);
        let named = proptest::collection::btree_map("[abc]", inner.clone(), 1..3)
            .prop_map(|members| members.into_iter().collect::<Value>());
        let patterns = proptest::sample::select(vec!["a", "^b", "[bc]$", ""]).prop_map(str::to_owned);
        let matched = proptest::collection::btree_map(patterns, inner.clone(), 1..3)
            .prop_map(|members| members.into_iter().collect::<Value>());
        let one = prop_oneof![
            (proptest::sample::select(vec!["allOf", "anyOf", "oneOf", "prefixItems"]), several)
                .prop_map(|(keyword, schemas)| json!({ keyword: schemas })),
            (
                proptest::sample::select(vec![
                    "not",
                    "items",
                    "contains",
                    "additionalProperties",
                    "propertyNames",
                    "unevaluatedProperties",
                    "unevaluatedItems",
                    "if",
                    "then",
                    "else",
                    "additionalItems"
                ]),
                inner.clone()
            )
                .prop_map(|(keyword, schema)| json!({ keyword: schema })),
            (proptest::sample::select(vec!["properties", "dependentSchemas", "dependencies"]), named)
                .prop_map(|(keyword, schemas)| json!({ keyword: schemas })),
            matched.prop_map(|schemas| json!({ "patternProperties": schemas })),
            leaves().prop_map(|(keyword, value)| json!({ keyword: value })),
        ];
        proptest::collection::vec(one, 1..5).prop_map(|parts| {
            let members = parts.into_iter().filter_map(|part| match part {
                Value::Object(members) => Some(members),
                _ => None,
            });
            Value::Object(members.flatten().collect())
        })
    })
}

/// Leaves out of a schema what its draft does not know or does not take, as the flaws tell.
fn mended(mut schema: Value) -> Option<(Value, Schema)> {
    for _ in 0..200 {
        let flaws = match Schema::compile(schema.clone(), false, Vec::new(), None, || ()) {
            Ok(compiled) => return Some((schema, compiled)),
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            let (parent, key) = flaw.at.rsplit_once('/')?;
            match schema.pointer_mut(parent)? {
                Value::Object(members) => drop(members.remove(&key.replace("~1", "/").replace("~0", "~"))),
                Value::Array(items) => *items.get_mut(key.parse::<usize>().ok()?)? = Value::Bool(true),
                _ => return None,
            }
        }
    }
    None
}

/// Whether the library's verdict is the one that the draft says.
fn is_compared(draft: &str, schema: &Value) -> bool {
    let text = schema.to_string();
    let has_both = |one: &str, other: &str| [one, other].iter().all(|name| text.contains(&format!("\"{name}\"")));
    // In draft 2019-09 `contains` evaluates no items, as it does from 2020-12 on; the library lets it do so in both.
    let differs_by_contains = draft.contains("2019-09") && has_both("contains", "unevaluatedItems");
    // From 2019-09 on `dependencies` is no keyword any more, and may be taken as before: so it is here and in the library.
    // What its schemas evaluate is evaluated here, as by `dependentSchemas`; the library forgets it.
    let differs_by_dependencies = has_both("dependencies", "unevaluatedProperties");
    !differs_by_contains && !differs_by_dependencies
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_global_rejects: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_is_the_librarys(
        root in schemas(),
        definitions in proptest::collection::vec(schemas(), 3),
        draft in 0_usize..5,
        bodies in proptest::collection::vec(values(), 6),
    ) {
        let Value::Object(mut root) = root else { return Ok(()) };
        root.insert("$schema".to_owned(), json!(DRAFTS[draft]));
        let named = definitions.into_iter().enumerate().map(|(number, schema)| (format!("d{number}"), schema));
        root.insert("definitions".to_owned(), named.collect());
        let Some((schema, compiled)) = mended(Value::Object(root)) else { return Ok(()) };
        let is_compared = is_compared(DRAFTS[draft], &schema);
        let patterns = PatternOptions::regex();
        let library = jsonschema::options().with_pattern_options(patterns).build(&schema);
        let library = library.map_err(|error| TestCaseError::fail(format!("{schema}: {error}")))?;
        let rule = BodyRule { max_bytes: 1 << 20, schema: Some(std::sync::Arc::new(compiled)) };
        let program = &rule.schema.as_ref().unwrap().program;
        for body in bodies {
            let text = body.to_string();
            let budget = Budget::of(text.len());
            let mut judging = Judging::new(program, budget);
            let verdict = judging.is_valid(&body);
            prop_assert!(judging.steps_left() <= budget.steps && judging.remembered() <= budget.verdicts);
            if let Ok(verdict) = verdict {
                if is_compared {
                    prop_assert_eq!(verdict, library.is_valid(&body), "{} against {}", &body, &schema);
                }
                // With and without remembered verdicts, with and without a report.
                prop_assert_eq!(rule.judge(text.as_bytes()).is_ok(), verdict);
            }
        }
    }
}

/// In draft 2019-09 `contains` evaluates no items (core, section 9.3.1.3), in 2020-12 those that match it (11.2).
#[test]
fn what_contains_has_matched_is_evaluated_from_2020_12_on() {
    for (draft, expected) in [("2019-09", false), ("2020-12", true)] {
        let schema = json!({
            "$schema": format!("https://json-schema.org/draft/{draft}/schema"),
            "contains": { "type": "object" },
            "unevaluatedItems": false,
        });
        let schema = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap();
        let rule = BodyRule { max_bytes: 1 << 20, schema: Some(std::sync::Arc::new(schema)) };
        assert_eq!(rule.judge(br#"[{"b":null}]"#).is_ok(), expected, "{draft}");
    }
}

/// Drafts from 2019-09 on have `dependencies` only in a comment of their metaschema, and `dependentSchemas` in its place. Who
/// writes it nevertheless means the same, so that what its schemas evaluate counts for `unevaluatedProperties` (2019-09, core,
/// section 9.3.2.4: annotations of all in-place applicators beside it).
#[test]
fn dependencies_evaluate_what_dependent_schemas_do() {
    for draft in ["2019-09", "2020-12"] {
        for keyword in ["dependencies", "dependentSchemas"] {
            let schema = json!({
                "$schema": format!("https://json-schema.org/draft/{draft}/schema"),
                keyword: { "a": { "properties": { "a": true, "b": { "type": "integer" } } } },
                "unevaluatedProperties": false,
            });
            let schema = Schema::compile(schema, false, Vec::new(), None, || ()).unwrap();
            let rule = BodyRule { max_bytes: 1 << 20, schema: Some(std::sync::Arc::new(schema)) };
            for (body, expected) in [
                (r#"{"a":1,"b":2}"#, true),
                (r#"{"a":1,"b":""}"#, false),
                (r#"{"b":2}"#, false),
                (r#"{"a":1,"c":2}"#, false),
            ] {
                assert_eq!(rule.judge(body.as_bytes()).is_ok(), expected, "{body} with {keyword} of {draft}");
            }
        }
    }
}
