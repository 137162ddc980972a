//! Questions at a terminal: each is repeated until its answer can be used.

use std::io::{BufRead, Write};

use crate::operate::failure::Failure;

/// The longest answer in bytes.
const MAX_ANSWER: u64 = 4096;

/// Somebody who can be asked.
pub struct Questions<'a> {
    pub input: &'a mut dyn BufRead,
    pub out: &'a mut dyn Write,
}

impl Questions<'_> {
    /// Asks until an answer can be read. An empty answer is the default, if there is one.
    ///
    /// # Errors
    /// That there are no more answers, or that the question cannot be shown.
    pub fn ask<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let shown = default.map_or_else(|| format!("{question}: "), |default| format!("{question} [{default}]: "));
        loop {
            self.say(&shown)?;
            let mut line = String::new();
            let mut limited = std::io::Read::take(&mut *self.input, MAX_ANSWER);
            let count = limited.read_line(&mut line).map_err(Failure::system("cannot read the answer"))?;
            if count == 0 {
                self.say("\n")?;
                return Err("the input ended before the last answer; nothing was written".into());
            }
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match read(answer) {
                Ok(value) => return Ok(value),
                Err(what) => self.say(&format!("  That {what}.\n"))?,
            }
        }
    }

    /// Shows a text.
    ///
    /// # Errors
    /// That it cannot be shown.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Failure::Output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_repeated_until_its_answer_can_be_used() {
        let mut input: &[u8] = b"x\n\n7\n";
        let mut out = Vec::new();
        let mut questions = Questions { input: &mut input, out: &mut out };
        let number = |text: &str| text.parse::<u8>().map_err(|_| "is not a number; write one as in 5".to_owned());
        assert_eq!(questions.ask("How many", Some("3"), number).unwrap(), 3, "the empty line is the default");
        assert_eq!(questions.ask("How many", None, number).unwrap(), 7);
        let end = questions.ask("How many", Some("3"), number).unwrap_err();
        assert!(end.to_string().contains("nothing was written"));
        let shown = String::from_utf8(out).unwrap();
        assert!(
            shown.starts_with("How many [3]:   That is not a number; write one as in 5.\nHow many [3]: "),
            "{shown}"
        );
    }
}
