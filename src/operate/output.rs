//! Standard output of commands.

use std::io::{ErrorKind, Write};

use crate::operate::failure::Failure;

/// Writes to whoever reads the output; a reader that went away is no failure.
///
/// # Errors
/// Why it could not be written.
pub fn say(out: &mut impl Write, text: impl AsRef<[u8]>) -> Result<(), Failure> {
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
