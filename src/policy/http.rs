//! HTTP as data, without a connection: heads, chunked bodies, media types, trace context, and JSON that is written.

pub mod chunked;
pub mod head;
pub mod json;
pub mod media;
pub mod text_of_second;
pub mod trace_context;
pub mod transaction_id;
