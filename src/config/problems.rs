//! The rows of the configuration: the operator's own problems, and own words for the built-in ones.

use super::file;
use crate::problem::{Fault, Row, Status, TABLE};
use crate::wording::Text;
use crate::yaml::{Entries, Mistakes, Place, Written};

/// All rows of a configuration, built-in and own.
pub struct Rows {
    texts: Vec<Text>,
    /// The own rows, and whether something refers to them yet.
    own: Vec<(Place, bool)>,
}

impl Rows {
    /// Compiles the `problems` of a file.
    pub fn compile(problems: Entries<file::Problem>, mistakes: &mut Mistakes) -> Rows {
        let built_in = TABLE.iter().map(|definition| Text {
            row: definition.row,
            slug: definition.slug.into(),
            status: definition.status,
            fault: definition.fault,
            title: None,
            detail: definition.detail.to_owned(),
        });
        let mut rows = Rows {
            texts: built_in.collect(),
            own: Vec::new(),
        };
        for (slug, place, problem) in problems.0 {
            match rows.texts.iter_mut().find(|text| *text.slug == *slug) {
                Some(text) => reword(text, problem, mistakes),
                None => rows.add(&slug, place, problem, mistakes),
            }
        }
        rows
    }

    fn add(&mut self, slug: &str, place: Place, problem: file::Problem, mistakes: &mut Mistakes) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if slug.is_empty() || !slug.bytes().all(plain) {
            mistakes.push(
                place.clone(),
                "is not a slug; use lower-case letters, digits and hyphens, as in number-missing",
            );
        }
        let status = status(&problem.status, mistakes);
        let status_needed = problem.status.is_missing();
        if status_needed {
            let built_in = "write the status of the product's own problem, or the slug of a built-in one (`tollgate problems` lists them)";
            mistakes.push(place.key("status"), format!("is missing; {built_in}"));
        }
        let title = problem.title.take().map(Into::into);
        let detail = problem
            .detail
            .require(&place, "detail", "say what was wrong and what to do", mistakes);
        let Ok(number) = u16::try_from(self.own.len()) else {
            return;
        };
        self.own.push((place, false));
        self.texts.push(Text {
            row: Row::Own(number),
            slug: slug.into(),
            status: status.unwrap_or(Status::BadRequest),
            fault: Fault::Client,
            title,
            detail: detail.unwrap_or_default(),
        });
    }

    /// The row that a `problem` key names.
    pub fn row(&mut self, slug: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<Row> {
        let place = slug.place().cloned().unwrap_or_default();
        let slug = slug.require(parent, "problem", "name a row, built-in or of `problems`", mistakes)?;
        let row = self.texts.iter().find(|text| *text.slug == *slug).map(|text| text.row);
        match row {
            Some(Row::Own(number)) => {
                if let Some((_, used)) = self.own.get_mut(usize::from(number)) {
                    *used = true;
                }
            }
            Some(_) => {}
            None => mistakes.push(
                place,
                "names no problem; add it to `problems`, or use a slug that `tollgate problems` lists",
            ),
        }
        row
    }

    /// Every own row must be of use: one that is not is likely to be a built-in slug mistyped.
    pub fn check_use(&self, mistakes: &mut Mistakes) {
        for (place, used) in &self.own {
            if !used {
                let what = "is used by no product; refer to it with `problem:`, remove it, or mend its slug if a built-in row was meant";
                mistakes.push(place.clone(), what);
            }
        }
    }

    /// The texts of all rows with their blanks filled in by `fill`.
    pub fn texts(&self, fill: impl Fn(&str) -> String) -> Vec<Text> {
        self.texts
            .iter()
            .map(|text| Text {
                detail: fill(&text.detail),
                ..text.clone()
            })
            .collect()
    }
}

fn reword(text: &mut Text, problem: file::Problem, mistakes: &mut Mistakes) {
    if let Some(wanted) = status(&problem.status, mistakes)
        && wanted != text.status
        && let Some(place) = problem.status.place()
    {
        let what = format!(
            "cannot change what a built-in problem means; remove it, or write {}",
            text.status.code()
        );
        mistakes.push(place.clone(), what);
    }
    if let Some(title) = problem.title.take() {
        text.title = Some(title.into());
    }
    if let Some(detail) = problem.detail.take() {
        text.detail = detail;
    }
}

fn status(written: &Written<u16>, mistakes: &mut Mistakes) -> Option<Status> {
    let (Some(code), Some(place)) = (written.get(), written.place()) else {
        return None;
    };
    let status = Status::from_code(*code);
    if status.is_none() {
        mistakes.push(
            place.clone(),
            "is not a status of a problem; use 400, 401, 403, 404, 406, 408, 415, 429, 500 or 503",
        );
    }
    status
}
