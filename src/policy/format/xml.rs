//! XML 1.0 (fifth edition), as far as it says what JSON can say: elements and their text.

pub mod elements;
pub mod names;
pub mod read;
pub mod write;
