//! The formats of single values: durations, sizes, rates, routes, days.
//!
//! Each parses from one text, and its error says what to write instead without repeating the text.

mod addresses;
mod http;
mod requests;
mod text;
mod values;

pub use addresses::{HostName, PublicUrl, WebLink};
pub use http::{AllowedHeader, AnswerHeader, HeaderName, IS_AUTHORIZATION, RouteText};
pub use requests::{Arrival, BackendUse, HeaderText, Method, Target};
pub use text::{FromText, Parsed, Referred, Text, Texts, matching};
pub use values::{Bytes, Decimal, Mode, PerPeriod};
