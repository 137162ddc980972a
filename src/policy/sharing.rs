//! Lists and tables of which a changed one shares with the one before all that is the same.
//!
//! A clone costs some thousand bytes whatever it holds, and a change after it copies the few dozen
//! neighbours of what is changed. Whoever reads the one before sees nothing of it. As long as nobody
//! shares a list or a table, changes happen in place.

mod list;
mod table;

pub use list::SharedList;
pub use table::{SharedTable, Tagged};
