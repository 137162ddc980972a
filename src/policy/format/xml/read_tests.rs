//! What an element becomes, with a schema and without.

use serde_json::{Value, json};

use super::to_json;
use crate::policy::check::body::Schema;
use crate::policy::check::body::shapes::Shapes;
use crate::policy::problem::{Hint, Problem};

fn read(body: &str) -> Result<String, Problem> {
    to_json(body.as_bytes(), &Shapes::default()).map(|json| String::from_utf8(json).unwrap())
}

fn read_by(schema: &Value, body: &str) -> String {
    let schema = Schema::compile(schema.clone(), false, Vec::new(), None, || ()).unwrap();
    String::from_utf8(to_json(body.as_bytes(), schema.shapes()).unwrap()).unwrap()
}

#[test]
fn without_a_schema_everything_is_a_text() {
    for (body, json) in [
        ("<request/>", r#""""#),
        ("<request></request>", r#""""#),
        ("<request> 7 </request>", r#"" 7 ""#),
        ("<request><a>1</a><b>true</b><c/></request>", r#"{"a":"1","b":"true","c":""}"#),
        ("<request>\n  <b>x</b>\n  <a><c>y</c></a>\n</request>", r#"{"b":"x","a":{"c":"y"}}"#),
        ("<request><a>1</a><b/><a>2</a></request>", r#"{"a":["1","2"],"b":""}"#),
        ("<request><a><item>1</item></a></request>", r#"{"a":{"item":"1"}}"#),
        ("<request><_x0031_>1</_x0031_><a_x0020_b/><_x_/></request>", r#"{"1":"1","a b":"","":""}"#),
        ("<request><a>1</a><_x0061_>2</_x0061_></request>", r#"{"a":["1","2"]}"#),
        ("<request><größe>ü</größe></request>", r#"{"größe":"ü"}"#),
        ("<request><a>&lt;&amp;&gt;&apos;&quot;&#65;&#x1F600;</a></request>", r#"{"a":"<&>'\"A😀"}"#),
        ("<request><a>b<![CDATA[<c/>&amp;]]>d</a></request>", r#"{"a":"b<c/>&amp;d"}"#),
        ("<request><a>b<!-- c -->d</a></request>", r#"{"a":"bd"}"#),
        ("<request><a>1\r\n2\r3&#13;</a></request>", r#"{"a":"1\n2\n3\r"}"#),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a -->\n<request/>\n<!-- b -->\n", r#""""#),
        ("<request xmlns=\"urn:a\" xmlns:xsi='http://b' ><a xmlns=''/></request >", r#"{"a":""}"#),
        ("<request><a>  </a><b> <c/> </b></request>", r#"{"a":"  ","b":{"c":""}}"#),
    ] {
        assert_eq!(read(body).unwrap(), json, "{body}");
    }
}

#[test]
fn the_schema_says_what_a_text_and_a_single_element_are() {
    let list = |items: Value| json!({ "type": "array", "items": items });
    let schema = json!({ "type": "object", "properties": {
        "i": { "type": "integer" },
        "n": { "type": ["number", "null"] },
        "b": { "type": "boolean" },
        "z": { "type": "null" },
        "s": { "type": "string" },
        "sn": { "type": ["string", "null"] },
        "is": { "type": ["integer", "string", "null"], "maxLength": 0 },
        "o": { "type": "object" },
        "l": list(json!({ "type": "integer" })),
        "ln": { "type": ["array", "null"], "items": { "type": "boolean" } },
        "lo": list(json!({ "type": "object", "properties": { "i": { "type": "integer" } } })),
        "ol": { "type": ["object", "array"], "properties": { "i": { "type": "integer" } } },
        "ll": list(list(json!({ "type": "integer" }))),
    } });
    for (inner, json) in [
        ("<i>7</i><n>-1.5e3</n><b>true</b>", r#"{"i":7,"n":-1.5e3,"b":true}"#),
        ("<i> 7\n</i><b> false </b>", r#"{"i":7,"b":false}"#),
        // What is not written as the type has it stays a text, which the schema refuses.
        ("<i>07</i><n>+1</n><b>1</b>", r#"{"i":"07","n":"+1","b":"1"}"#),
        ("<i>1.</i><n>.5</n><b>True</b>", r#"{"i":"1.","n":".5","b":"True"}"#),
        ("<i>1e</i><n>0x10</n><z>null</z>", r#"{"i":"1e","n":"0x10","z":"null"}"#),
        ("<s>7</s><sn>true</sn>", r#"{"s":"7","sn":"true"}"#),
        ("<is>7</is>", r#"{"is":7}"#),
        ("<is>x</is>", r#"{"is":"x"}"#),
        ("<i/><n/><z/><s/><sn/><is/><o/>", r#"{"i":"","n":null,"z":null,"s":"","sn":"","is":"","o":{}}"#),
        ("<n> </n><s> </s>", r#"{"n":null,"s":" "}"#),
        ("<l>7</l>", r#"{"l":[7]}"#),
        ("<l>7</l><l>8</l>", r#"{"l":[7,8]}"#),
        ("<l/>", r#"{"l":[""]}"#),
        ("<ln/>", r#"{"ln":null}"#),
        ("<ln>true</ln>", r#"{"ln":[true]}"#),
        ("<lo><i>1</i></lo>", r#"{"lo":[{"i":1}]}"#),
        ("<ol><i>1</i></ol>", r#"{"ol":{"i":1}}"#),
        ("<ll><item>1</item><item>2</item></ll>", r#"{"ll":[[1,2]]}"#),
        ("<ll><item>1</item></ll><ll/>", r#"{"ll":[[1],[]]}"#),
        ("<s>a</s><s>b</s>", r#"{"s":["a","b"]}"#),
        ("<i>1</i><i>2</i>", r#"{"i":[1,2]}"#),
    ] {
        assert_eq!(read_by(&schema, &format!("<request>{inner}</request>")), json, "{inner}");
    }
    let of_texts = list(json!({ "type": "string" }));
    for (body, json) in [
        ("<request><item>a</item></request>", r#"["a"]"#),
        ("<request/>", "[]"),
        ("<request><other>a</other></request>", r#"{"other":"a"}"#),
    ] {
        assert_eq!(read_by(&of_texts, body), json, "{body}");
    }
    assert_eq!(read_by(&json!({ "type": "number" }), "<request>1</request>"), "1");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    for (body, line, column) in [
        ("", 1, 1),
        ("   ", 1, 4),
        ("request", 1, 1),
        ("<answer/>", 1, 1),
        ("<request>\n  <a>\n</request>", 3, 1),
        ("<request>", 1, 10),
        ("<request/><request/>", 1, 11),
        ("<request/> x", 1, 11),
        ("<request>\n<a b='1'/>\n</request>", 2, 1),
        ("<request>\n<a>x<b/></a></request>", 2, 5),
        ("<request><a><b/>x</a></request>", 1, 17),
        ("<request><a>&nbsp;</a></request>", 1, 13),
        ("<request><a>&#0;</a></request>", 1, 13),
        ("<!DOCTYPE request><request/>", 1, 1),
        ("<request><?p i?></request>", 1, 10),
        (" <?xml version='1.0'?><request/>", 1, 2),
        ("<request><n:a/></request>", 1, 10),
    ] {
        let problem = read(body).unwrap_err();
        assert_eq!(problem.hint, Hint::At { line, column }, "{body:?}: {}", problem.reason);
    }
}
