//! The targets by name.

mod bodies;
mod chunked;
mod connections;
mod domains;
mod frames;
mod heads;
mod journal;
mod ledger;
mod media;
mod msgpack;
mod networks;
mod openapi;
mod proxy;
mod responses;
mod store;
mod streams;
mod xml;
mod yaml;

/// Their names, and what each does with an input.
pub const ALL: [(&str, fn(&[u8])); 18] = [
    ("heads", heads::run),
    ("chunked", chunked::run),
    ("connections", connections::run),
    ("responses", responses::run),
    ("frames", frames::run),
    ("streams", streams::run),
    ("domains", domains::run),
    ("networks", networks::run),
    ("media", media::run),
    ("bodies", bodies::run),
    ("xml", xml::run),
    ("msgpack", msgpack::run),
    ("yaml", yaml::run),
    ("openapi", openapi::run),
    ("proxy", proxy::run),
    ("ledger", ledger::run),
    ("store", store::run),
    ("journal", journal::run),
];

/// The step in which bytes are handed over, from the first byte of an input, and the rest of it.
fn step(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first).max(1), rest))
}
