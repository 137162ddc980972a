//! Prices of answers and requests, and the tests that they depend on.

use super::*;
use serde_json::json;

fn one_of(values: Value, ignore_case: bool) -> Test {
    Test::OneOf { values: values.as_array().unwrap().as_slice().into(), ignore_case }
}

/// What passes of some tests when an answer is read, and when the same value is looked at.
fn passed(tests: &[(&str, Test)], text: &str) -> Vec<bool> {
    let collect = || {
        let mut collected = Tests::default();
        for (pointer, test) in tests {
            collected.add(pointer, test.clone()).unwrap();
        }
        collected
    };
    let tariff = Tariff::new(Vec::new(), Vec::new(), collect(), collect());
    let read = tariff.read(text).unwrap();
    let looked_at = tariff.look_at(serde_json::from_str(text).ok().as_ref(), Passed::default());
    assert_eq!(read, looked_at, "{text}");
    (0..tests.len()).map(|test| read.has(u8::try_from(test).unwrap())).collect()
}

#[test]
fn members_are_found_by_json_pointer() {
    for (pointer, text, there) in [
        ("/a", r#"{"a":1}"#, true),
        ("/a", r#"{"b":1}"#, false),
        ("/a/b", r#"{"a":{"b":"x"},"c":{"b":1}}"#, true),
        ("/a/b", r#"{"a":[{"b":1}]}"#, false),
        ("/a/b", r#"{"a":"b"}"#, false),
        ("/a/1/b", r#"{"a":[{"b":1},{"b":2}]}"#, true),
        ("/a/2/b", r#"{"a":[{"b":1},{"b":2}]}"#, false),
        ("/a~1b/~0", r#"{"a/b":{"~":true}}"#, true),
        ("/a", r#"{"\u0061":1}"#, true),
        ("", "[1]", true),
        ("/a", "null", false),
        ("/a", "7", false),
        ("/a", "[]", false),
    ] {
        assert_eq!(passed(&[(pointer, Test::Filled(true))], text), [there], "{pointer} of {text}");
        assert_eq!(passed(&[(pointer, Test::Filled(false))], text), [!there], "{pointer} of {text}");
    }
}

#[test]
fn filled_is_what_is_neither_null_nor_empty() {
    for (value, filled) in [
        ("null", false),
        (r#""""#, false),
        ("[]", false),
        ("{}", false),
        ("false", true),
        ("0", true),
        (r#"" ""#, true),
        ("[null]", true),
        (r#"{"x":1}"#, true),
    ] {
        assert_eq!(passed(&[("/a", Test::Filled(true))], &format!(r#"{{"a":{value}}}"#)), [filled], "{value}");
    }
}

#[test]
fn values_are_compared_as_they_are_or_in_any_case_of_letters() {
    let tests = [("/a", one_of(json!(["Bad format", true, 3]), false)), ("/a", one_of(json!(["Bad format"]), true))];
    for (value, expected) in [
        (r#""Bad format""#, [true, true]),
        (r#""BAD FORMAT""#, [false, true]),
        (r#""Bad\u0020format""#, [true, true]),
        ("true", [true, false]),
        ("3", [true, false]),
        (r#""3""#, [false, false]),
        ("null", [false, false]),
    ] {
        assert_eq!(passed(&tests, &format!(r#"{{"a":{value}}}"#)), expected, "{value}");
    }
}

#[test]
fn of_repeated_members_the_last_one_counts() {
    let tests = [("/a/b", Test::Filled(true)), ("/a/c", Test::Filled(true)), ("/a", Test::Filled(true))];
    for (text, expected) in [
        (r#"{"a":{"b":1},"a":{"c":1}}"#, [false, true, true]),
        (r#"{"a":{"b":1,"b":null}}"#, [false, false, true]),
        (r#"{"a":{"b":1},"a":null}"#, [false, false, false]),
    ] {
        assert_eq!(passed(&tests, text), expected, "{text}");
        assert_eq!(passed(&tests[..2], text), expected[..2], "{text}");
    }
}

#[test]
fn what_is_not_one_json_document_is_no_answer() {
    let mut told = Tests::default();
    told.add("/result/plate_type", Test::Filled(true));
    let tariff = Tariff::new(Vec::new(), Vec::new(), Tests::default(), told);
    for text in ["", "{", "{}{}", "<html>", r#"{"result":{"plate_type":}}"#, r#"{"result":{"plate_type":"x"}"#] {
        assert_eq!(tariff.read(text), Err(NotJson), "{text}");
    }
}

#[test]
fn lines_add_up_until_one_sets_the_price() {
    let mut told = Tests::default();
    let a = told.add("/a", Test::Filled(true)).unwrap();
    let b = told.add("/b", Test::Filled(true)).unwrap();
    let line = |step, condition| Line { step, condition };
    let lines = vec![
        line(Step::Add(1), Condition::Always),
        line(Step::Set(7), Condition::All([Condition::Told(a), Condition::Told(b)].into())),
        line(Step::Add(2), Condition::Any([Condition::Told(a), Condition::Told(b)].into())),
        line(Step::Add(4), Condition::Not(Box::new(Condition::Told(a)))),
    ];
    let tariff = Tariff::new(Vec::new(), lines, Tests::default(), told);
    for (text, price) in [("{}", 5), (r#"{"a":1}"#, 3), (r#"{"b":1}"#, 7), (r#"{"a":1,"b":1}"#, 7), ("[]", 5)] {
        let told = tariff.read(text).unwrap();
        assert_eq!(tariff.price(200, Passed::default(), told), price, "{text}");
    }
}

#[test]
fn there_are_as_many_tests_as_bits_and_no_more() {
    let mut tests = Tests::default();
    for number in 0..MAX_TESTS {
        assert!(tests.add(&format!("/{number}"), Test::Filled(true)).is_some());
    }
    assert_eq!(tests.add("/one_more", Test::Filled(true)), None);
}
