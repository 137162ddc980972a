//! Bodies in MessagePack: whatever is read is the value that `rmpv` reads, and comes back as it was; nothing is allocated
//! for a length that is only promised.

use rmpv::ValueRef;
use serde_json::Value;
use tollgate::policy::check::body::BodyRule;
use tollgate::policy::check::body::shapes::Shapes;
use tollgate::policy::format::kind::Format;
use tollgate::policy::format::{of_json, to_json};

use crate::memory;

/// An input: a body.
pub fn run(body: &[u8]) {
    let shapes = Shapes::default();
    let read = memory::within(4 * 1024 + body.len() * 64, "MessagePack", || to_json(Format::MsgPack, body, &shapes));
    let Ok(json) = read else { return };
    assert!(json.len() <= body.len() * 6, "{} bytes become {}", body.len(), json.len());
    let ours = BodyRule { max_bytes: 1 << 20, schema: None }.judge(&json).expect("it is JSON within the limits");
    let mut rest = body;
    let theirs = rmpv::decode::read_value_ref(&mut rest).expect("rmpv reads it");
    assert!(rest.is_empty(), "rmpv leaves {} bytes", rest.len());
    assert!(is_same(&ours, &theirs), "{ours} is not {theirs}");
    let again = of_json(Format::MsgPack, &json, usize::MAX).expect("what was read can be written");
    let again = to_json(Format::MsgPack, &again, &shapes).expect("what was written can be read");
    assert_eq!(serde_json::from_slice::<Value>(&again).expect("it is JSON"), ours);
}

fn is_same(ours: &Value, theirs: &ValueRef<'_>) -> bool {
    match (ours, theirs) {
        (Value::Null, ValueRef::Nil) => true,
        (Value::Bool(ours), ValueRef::Boolean(theirs)) => ours == theirs,
        (Value::Number(ours), ValueRef::Integer(theirs)) => {
            ours.as_u64() == theirs.as_u64() && ours.as_i64() == theirs.as_i64()
        }
        (Value::Number(ours), ValueRef::F32(theirs)) => ours.as_f64() == Some(f64::from(*theirs)),
        (Value::Number(ours), ValueRef::F64(theirs)) => ours.as_f64() == Some(*theirs),
        (Value::String(ours), ValueRef::String(theirs)) => theirs.as_str() == Some(ours.as_str()),
        (Value::Array(ours), ValueRef::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), ValueRef::Map(theirs)) => {
            ours.len() == theirs.len()
                && theirs.iter().all(|(name, theirs)| {
                    let ValueRef::String(name) = name else { return false };
                    name.as_str().and_then(|name| ours.get(name)).is_some_and(|ours| is_same(ours, theirs))
                })
        }
        _ => false,
    }
}
