//! The pages in a real browser; all of it is in `tests/browse.rs`.
