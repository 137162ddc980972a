//! Bodies that somebody has made to hurt: each is refused at once, without memory for what it promises.

use std::time::{Duration, Instant};

use super::kind::Format;
use super::to_json;
use crate::policy::check::body::BodyRule;
use crate::policy::check::body::shapes::Shapes;
use crate::policy::problem::{Problem, Row};

/// Enough for a body of some megabytes on a busy machine without optimisation, and far less than anything quadratic.
const AT_ONCE: Duration = Duration::from_secs(10);

fn refused(format: Format, body: &[u8]) -> Problem {
    let begun = Instant::now();
    let problem = to_json(format, body, &Shapes::default()).expect_err("it is refused");
    assert!(begun.elapsed() < AT_ONCE, "{:?} for {}", begun.elapsed(), problem.reason);
    assert_eq!(problem.row, Row::BodyMalformed);
    problem
}

#[test]
fn hostile_xml_is_refused() {
    let many = |text: &str| text.repeat(100_000);
    let numbered = |prefix: &str| (0..100_000).map(|n| format!(" {prefix}{n}='x'")).collect::<String>();
    let laughs = "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;'>]><request>&lol2;</request>";
    for (body, reason) in [
        (laughs.to_owned(), "a document type"),
        (
            laughs.replace("<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;'>]>", ""),
            "an entity that is not predefined",
        ),
        ("<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><request>&x;</request>".into(), "a document type"),
        ("<!DOCTYPE r SYSTEM 'http://127.0.0.1/x.dtd'><request/>".into(), "a document type"),
        ("<!DOCTYPE r [<!ENTITY % p SYSTEM 'http://127.0.0.1/'>%p;]><request/>".into(), "a document type"),
        ("<request><!DOCTYPE r></request>".into(), "a document type"),
        ("<?xml-stylesheet href='http://127.0.0.1/'?><request/>".into(), "a processing instruction"),
        (
            "<request xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='file:///etc/passwd'/></request>"
                .into(),
            "a name with a prefix",
        ),
        (format!("<request{}/>", numbered("a")), "an attribute"),
        (format!("<request{}/>", numbered("xmlns:a")), "a namespace that is declared twice, or too many of them"),
        ("<request xmlns='a' xmlns='b'/>".into(), "a namespace that is declared twice, or too many of them"),
        ("<request xmlns='&lol;'/>".into(), "an attribute that is not well-formed"),
        ("<request xmlns='<'/>".into(), "an attribute that is not well-formed"),
        ("<request a/>".into(), "an attribute that is not well-formed"),
        (many("<request>"), "nested too deeply"),
        (format!("<request>{}", many("<a>")), "nested too deeply"),
        (format!("<request>{}</request>", "<a>".repeat(40) + &"</a>".repeat(40)), "nested too deeply"),
        (format!("<request>{}", many("<![CDATA[")), "the body is not well-formed XML"),
        (format!("<request>{}", many("<!--")), "the body is not well-formed XML"),
        (format!("<request>{}", many("&#")), "the body is not well-formed XML"),
        ("<request>&#9999999999999999999999;</request>".into(), "a reference to a character that XML does not have"),
        ("<request>&#xFFFFFFFFFF;</request>".into(), "a reference to a character that XML does not have"),
        ("<request>&#xD800;</request>".into(), "a reference to a character that XML does not have"),
        ("<request>&#-1;</request>".into(), "a reference to a character that XML does not have"),
        ("<request>&#;</request>".into(), "a reference to a character that XML does not have"),
        ("<request>\u{0}</request>".into(), "a character that XML does not have"),
        ("<request>\u{b}</request>".into(), "a character that XML does not have"),
        ("<request>\u{ffff}</request>".into(), "a character that XML does not have"),
        ("<request>]]></request>".into(), "the end of a CDATA section without its beginning"),
        ("<request><!-- a -- b --></request>".into(), "the body is not well-formed XML"),
        ("<request><1/></request>".into(), "an element without a name of XML"),
        ("<request>< a/></request>".into(), "an element without a name of XML"),
        ("<request></request><!-- --><request/>".into(), "something follows the element"),
        ("<request/>&amp;".into(), "text outside of the element"),
        ("<![CDATA[ ]]><request/>".into(), "text outside of the element"),
        ("<?xml version='1.0'encoding='utf-8'?><request/>".into(), "an XML declaration that cannot be read"),
        ("<?xml encoding='utf-8'?><request/>".into(), "an XML declaration that cannot be read"),
        ("<?xml version='1.0' other='x'?><request/>".into(), "an XML declaration that cannot be read"),
        ("<request xmlns='a'xmlns:b='c'/>".into(), "an attribute that is not well-formed"),
        ("<request xmlns:a=''/>".into(), "an attribute that is not well-formed"),
        ("<request xmlns:xml='a'/>".into(), "an attribute that is not well-formed"),
        ("<?xml version='1.1'?><request/>".into(), "another version of XML than 1.0"),
        ("<?xml version='1.0' encoding='utf-16'?><request/>".into(), "another encoding than UTF-8"),
        (
            "<?xml version='1.0'?><?xml version='1.0'?><request/>".into(),
            "an XML declaration that is not at the beginning",
        ),
        ("<Request/>".into(), "the element of a body is not called request"),
        ("</request>".into(), "the body is not well-formed XML"),
        ("<request></Request>".into(), "the body is not well-formed XML"),
    ] {
        let told = refused(Format::Xml, body.as_bytes()).reason;
        assert_eq!(told, reason, "{:.80}", body);
    }
    assert_eq!(refused(Format::Xml, b"<request>\xff</request>").reason, "the body is not UTF-8");
    assert_eq!(refused(Format::Xml, "\u{feff}".as_bytes()).reason, "text outside of the element");
}

#[test]
fn hostile_message_pack_is_refused() {
    let deep = |marker: u8| vec![marker; 100_000];
    for (body, reason) in [
        // Lengths that promise more than there is.
        (vec![0xdd, 0xff, 0xff, 0xff, 0xff], "the body ends within a MessagePack value"),
        (vec![0xdf, 0xff, 0xff, 0xff, 0xff], "the body ends within a MessagePack value"),
        (vec![0xdb, 0xff, 0xff, 0xff, 0xff, b'a'], "the body ends within a MessagePack value"),
        (vec![0xdc, 0xff, 0xff, 0x01], "the body ends within a MessagePack value"),
        (vec![0xd9, 0xff], "the body ends within a MessagePack value"),
        (vec![0xcf, 0], "the body ends within a MessagePack value"),
        (vec![0x81], "the body ends within a MessagePack value"),
        (deep(0x91), "nested too deeply"),
        (deep(0x81), "the name of a member is not a text"),
        ([0x81, 0xa1, b'a'].repeat(50_000), "nested too deeply"),
        (vec![0x90, 0x90], "something follows the MessagePack document"),
        (vec![0xc4, 0x01, 0x00], "a binary value, which JSON has not"),
        (vec![0xc6, 0xff, 0xff, 0xff, 0xff], "a binary value, which JSON has not"),
        (vec![0xd6, 0xff, 0, 0, 0, 0], "a value of an extension type"),
        (vec![0xc9, 0xff, 0xff, 0xff, 0xff, 0x01], "a value of an extension type"),
        (vec![0xc1], "a byte that begins no value"),
        (vec![0x81, 0x01, 0x02], "the name of a member is not a text"),
        (vec![0x81, 0xc4, 0x01, b'a', 0x02], "the name of a member is not a text"),
        (vec![0x82, 0xa1, b'a', 0x01, 0xd9, 0x01, b'a', 0x02], "a repeated key"),
        (vec![0xca, 0x7f, 0xc0, 0, 0], "a number that is infinite or none"),
        (vec![0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], "a number that is infinite or none"),
        (vec![0xca, 0xff, 0x80, 0, 0], "a number that is infinite or none"),
        (vec![0xa2, 0xc3, 0x28], "a text is not UTF-8"),
    ] {
        assert_eq!(refused(Format::MsgPack, &body).reason, reason, "{:02x?}", &body[..body.len().min(12)]);
    }
}

#[test]
fn a_flat_body_of_megabytes_takes_time_and_memory_in_proportion() {
    let xml = format!("<request>{}</request>", "<a/>".repeat(500_000));
    let distinct: String = (0..100_000).map(|n| format!("<a{n}/>")).collect();
    let pack = [vec![0xdd, 0, 0x1e, 0x84, 0x80], vec![0xc0; 2_000_000]].concat();
    for (format, body) in [
        (Format::Xml, xml.into_bytes()),
        (Format::Xml, format!("<request>{distinct}</request>").into_bytes()),
        (Format::Xml, format!("<request>{}</request>", "&#10;".repeat(400_000)).into_bytes()),
        (Format::MsgPack, pack),
        (Format::MsgPack, [vec![0xdb, 0, 0x10, 0, 0], vec![1; 1 << 20]].concat()),
    ] {
        let begun = Instant::now();
        let json = to_json(format, &body, &Shapes::default()).unwrap();
        assert!(json.len() <= body.len() * 6 && json.capacity() <= body.len() * 13, "{} of {}", json.len(), body.len());
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    }
}

#[test]
fn the_limit_of_nesting_is_that_of_json() {
    let rule = BodyRule { max_bytes: 1 << 20, schema: None };
    let xml = |depth: usize| format!("<request>{}x{}</request>", "<a>".repeat(depth), "</a>".repeat(depth));
    let list = |depth: usize| format!("<request>{}x{}<a/></request>", "<a>".repeat(depth), "</a>".repeat(depth));
    let pack = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    for (format, body, is_good) in [
        (Format::Xml, xml(32).into_bytes(), true),
        (Format::Xml, xml(33).into_bytes(), false),
        // The list is a level of its own.
        (Format::Xml, list(31).into_bytes(), true),
        (Format::Xml, list(32).into_bytes(), false),
        (Format::MsgPack, pack(32), true),
        (Format::MsgPack, pack(33), false),
    ] {
        let judged = rule.judge_as(format, &body);
        assert_eq!(judged.as_ref().err().map(|problem| problem.row), (!is_good).then_some(Row::BodyMalformed));
        assert_eq!(rule.judge_as_at_once(format, &body).unwrap().is_ok(), is_good);
    }
    for format in [Format::Xml, Format::MsgPack] {
        assert_eq!(rule.judge_as(format, b"").unwrap_err().row, Row::BodyEmpty);
    }
    assert_eq!(rule.judge_as(Format::Xml, "\u{feff}".as_bytes()).unwrap_err().row, Row::BodyEmpty);
    assert!(rule.judge_as(Format::Xml, "\u{feff}<request/>".as_bytes()).is_ok());
}
