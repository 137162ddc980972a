//! MessagePack (github.com/msgpack/msgpack/blob/master/spec.md), as far as it says what JSON can say.

pub mod read;
pub mod write;
