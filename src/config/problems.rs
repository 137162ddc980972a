//! `problems`: the operator's own problems, and texts for the built-in ones.

use super::units::Parsed;
use crate::config::yaml::{Entries, Listed, Mistakes, Place, Written};
use crate::policy::problem::messages::Text;
use crate::policy::problem::{Fault, Row, Status, TABLE};
use crate::site::destinations::{Destination, Destinations};
use crate::site::pages::draft::OwnWords;

pub mod written {
    //! The keys as they are written.
    #![deny(clippy::missing_docs_in_private_items)]

    use schemars::JsonSchema;
    use serde::Deserialize;

    use crate::config::units::Text;
    use crate::config::yaml::{Listed, Written};
    use crate::policy::problem::Status as ProblemStatus;

    /// A problem, or texts for a built-in one.
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Problem {
        /// The status; required for your own problems, and fixed for built-in ones.
        pub status: Text<ProblemStatus>,
        /// Replaces the standard reason phrase as the title.
        #[schemars(regex(pattern = r"\S"))]
        pub title: Written<String>,
        /// What was wrong and what to do. It may hold {field}, {token_headers}, {token_places}, {accept}, {content_type}, {formats},
        /// {deadline_header}, {deadline_min}, {deadline_max} and {body_max}, {field}, {rules} and {position} of a body, {parameter},
        /// and name {portal}, {support}, {formats_page}, {rate_page} and {status_page}.
        #[schemars(regex(pattern = r"\S"))]
        pub detail: Written<String>,
        /// Its meaning, for its page: one or two sentences.
        pub meaning: Written<String>,
        /// Usual causes, for its page.
        pub causes: Written<Listed<String>>,
        /// How to fix it, for its page.
        pub remedy: Written<Listed<String>>,
    }
}

/// All rows of a configuration, built-in and own.
pub struct Rows {
    texts: Vec<Text>,
    /// The operator's texts for pages, by slug.
    words: Vec<(Box<str>, OwnWords)>,
    /// The operator's own rows, and whether something refers to them.
    own: Vec<(Place, bool)>,
    /// The destinations that details can name.
    destinations: Destinations,
    /// The root of the configuration.
    root: Place,
}

/// The detail of body-too-large where requests have no body.
const WITHOUT_BODY: &str = "This endpoint takes no body. Send the request without one.";

/// The placeholders of details beside destinations: about the body, and about the product.
const BLANKS: [&str; 13] = [
    "field",
    "parameter",
    "rules",
    "position",
    "token_headers",
    "token_places",
    "accept",
    "content_type",
    "formats",
    "deadline_header",
    "deadline_min",
    "deadline_max",
    "body_max",
];

/// Those of them that are about the body.
const OF_BODY: [&str; 3] = ["field", "rules", "position"];

impl Rows {
    /// Compiles the `problems` of a file.
    pub fn compile(
        problems: Entries<written::Problem>,
        destinations: Destinations,
        root: &Place,
        mistakes: &mut Mistakes,
    ) -> Rows {
        let built_in = TABLE.iter().map(|definition| Text {
            row: definition.row,
            slug: definition.slug.into(),
            status: definition.status,
            fault: definition.fault,
            title: None,
            detail: definition.detail.to_owned(),
            detail_without_body: (definition.row == Row::BodyTooLarge).then(|| WITHOUT_BODY.to_owned()),
        });
        let mut rows =
            Rows { texts: built_in.collect(), words: Vec::new(), own: Vec::new(), destinations, root: root.clone() };
        for (slug, place, mut problem) in problems.0 {
            rows.check_destinations(&problem, mistakes);
            let words = own_words(&mut problem, mistakes);
            rows.words.push((slug.as_str().into(), words));
            match rows.texts.iter_mut().find(|text| *text.slug == *slug) {
                Some(text) => reword(text, problem, mistakes),
                None => rows.add(&slug, place, problem, mistakes),
            }
        }
        rows
    }

    fn add(&mut self, slug: &str, place: Place, problem: written::Problem, mistakes: &mut Mistakes) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if slug.is_empty() || !slug.bytes().all(plain) {
            mistakes
                .push(place.clone(), "is not a slug; use lower-case letters, digits and hyphens, as in number-missing");
        }
        let Ok(number) = u16::try_from(self.own.len()) else {
            return;
        };
        check_words(&problem, Row::Own(number), mistakes);
        let status = problem.status.require(
            &place,
            "status",
            "write the status of the product's own problem, or the slug of a built-in one (`tollgate problems` lists them)",
            mistakes,
        );
        let title = problem.title.take().map(Into::into);
        let detail = problem.detail.require(&place, "detail", "say what was wrong and what to do", mistakes);
        self.own.push((place, false));
        self.texts.push(Text {
            row: Row::Own(number),
            slug: slug.into(),
            status: status.map_or(Status::BadRequest, |status| status.0),
            fault: Fault::Client,
            title,
            detail: detail.unwrap_or_default(),
            detail_without_body: None,
        });
    }

    /// A detail must not be empty if some of its destinations do not exist.
    fn check_destinations(&self, problem: &written::Problem, mistakes: &mut Mistakes) {
        let Written::Here(detail, place) = &problem.detail else { return };
        if !detail.trim().is_empty() && self.destinations.fill(detail).is_empty() {
            let what = "would be empty: each of its sentences names a link that is not configured; set `portal` or `support` of `pages`, or add a sentence without links";
            mistakes.push(place.clone(), what);
        }
    }

    /// The operator's texts for pages.
    pub fn words(&mut self) -> Vec<(Box<str>, OwnWords)> {
        std::mem::take(&mut self.words)
    }

    /// The row with a slug, built-in or own.
    pub fn find(&self, slug: &str) -> Option<Row> {
        self.texts.iter().find(|text| *text.slug == *slug).map(|text| text.row)
    }

    /// The row that a `problem` key names.
    pub fn row(&mut self, slug: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<Row> {
        let place = slug.place().cloned().unwrap_or_default();
        let slug = slug.require(parent, "problem", "name a problem, built-in or from `problems`", mistakes)?;
        let row = self.texts.iter().find(|text| *text.slug == *slug).map(|text| text.row);
        match row {
            Some(Row::Own(number)) => {
                if let Some((_, used)) = self.own.get_mut(usize::from(number)) {
                    *used = true;
                }
            }
            Some(row) if is_of_a_value(row) => {}
            Some(_) => mistakes.push(
                place,
                "is a built-in problem with another meaning; add one of your own to `problems`, or use body-invalid",
            ),
            // Not reported if the problem exists but has mistakes itself.
            None if mistakes.touch(&self.root.key("problems").key(&slug)) => {}
            None => mistakes
                .push(place, "is not a problem; add it to `problems`, or use a slug that `tollgate problems` lists"),
        }
        row
    }

    /// The row that a status of a backend becomes: one of the operator's own, or one that says something of the answer or
    /// of the request.
    pub fn row_of_answer(&mut self, slug: Written<String>, parent: &Place, mistakes: &mut Mistakes) -> Option<Row> {
        let is_of_an_answer =
            |row| matches!(row, Row::UpstreamUnavailable | Row::UpstreamFailed | Row::DeadlineExceeded);
        let named = slug.get().and_then(|slug| self.texts.iter().find(|text| *text.slug == **slug));
        match named.map(|text| text.row) {
            Some(row) if is_of_an_answer(row) => Some(row),
            _ => self.row(slug, parent, mistakes),
        }
    }

    /// Every row of the operator must be used: an unused one is probably a misspelt built-in slug.
    pub fn check_use(&self, mistakes: &mut Mistakes) {
        for (place, used) in &self.own {
            if !used {
                let what = "is not used by any product; refer to it with `problem:`, remove it, or correct its slug if a built-in problem was meant";
                mistakes.push(place.clone(), what);
            }
        }
    }

    /// The texts of all rows with their destinations filled in, and the other placeholders by `fill`.
    pub fn texts(&self, fill: impl Fn(&Text) -> String) -> Vec<Text> {
        let filled = |text: &Text| self.destinations.for_problem(&text.slug).fill(&fill(text));
        self.texts.iter().map(|text| Text { detail: filled(text), ..text.clone() }).collect()
    }
}

/// Whether a row is about one value of a header or of the body, so that `problem:` may name it. The others are found by
/// the gateway itself, some with headers that only it can set.
fn is_of_a_value(row: Row) -> bool {
    matches!(
        row,
        Row::TimeoutInvalid
            | Row::ParameterInvalid
            | Row::ReferenceIdInvalid
            | Row::AddMetadataInvalid
            | Row::BodyMalformed
            | Row::Own(_)
            | Row::BodyInvalid
    )
}

/// Whether a row can apply before the product is known, so that placeholders about the product cannot be filled in.
fn comes_without_product(row: Row) -> bool {
    matches!(row, Row::MalformedRequest | Row::RequestTimeout | Row::Overloaded | Row::EndpointUnknown | Row::Internal)
}

/// Texts must not be empty, and their placeholders must exist.
fn check_words(problem: &written::Problem, row: Row, mistakes: &mut Mistakes) {
    if let Written::Here(title, place) = &problem.title {
        check_text(title, place, mistakes);
    }
    let Written::Here(detail, place) = &problem.detail else {
        return;
    };
    check_text(detail, place, mistakes);
    for blank in blanks(detail) {
        if Destination::from_word(blank).is_some() {
            continue;
        }
        let what = if !BLANKS.contains(&blank) {
            let known = BLANKS.into_iter().chain(Destination::ALL.map(Destination::word));
            format!(
                "has an unknown placeholder in braces; use {}, or leave out the braces",
                known.map(|blank| format!("{{{blank}}}")).collect::<Vec<_>>().join(", ")
            )
        } else if !OF_BODY.contains(&blank) && comes_without_product(row) {
            "has a placeholder that only products fill in, and this problem can occur before the product is known; write the text itself"
                .to_owned()
        } else if OF_BODY.contains(&blank) && !is_of_a_value(row) {
            format!("has {{{blank}}}, which is filled in only for problems of the body; write the text itself")
        } else {
            continue;
        };
        mistakes.push(place.clone(), what);
    }
}

/// The texts for a row's page.
fn own_words(problem: &mut written::Problem, mistakes: &mut Mistakes) -> OwnWords {
    let meaning = std::mem::take(&mut problem.meaning);
    if let Written::Here(text, place) = &meaning {
        check_text(text, place, mistakes);
    }
    let mut list = |written: Written<Listed<String>>| -> Vec<String> {
        let place = written.place().cloned();
        let texts = written.take().unwrap_or_default().0;
        if let Some(place) = place
            && texts.is_empty()
            && !mistakes.touch(&place)
        {
            mistakes.push(place, "is an empty list; write at least one sentence, or remove the key");
        }
        texts.iter().for_each(|(text, place)| check_text(text, place, mistakes));
        texts.into_iter().map(|(text, _)| text).collect()
    };
    let causes = list(std::mem::take(&mut problem.causes));
    let remedy = list(std::mem::take(&mut problem.remedy));
    let detail = match &problem.detail {
        Written::Here(detail, _) => Some(detail.clone()),
        Written::Missing | Written::Bad => None,
    };
    OwnWords { detail, meaning: meaning.take(), causes, remedy }
}

fn check_text(text: &str, place: &Place, mistakes: &mut Mistakes) {
    if text.trim().is_empty() {
        mistakes.push(place.clone(), "is empty; write a text for the client");
    }
}

/// The placeholders: only letters and underscores in braces, so that JSON in a text is not one.
fn blanks(detail: &str) -> impl Iterator<Item = &str> {
    detail.split('{').skip(1).filter_map(|rest| {
        let (word, _) = rest.split_once('}')?;
        let plain = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        (!word.is_empty() && word.bytes().all(plain)).then_some(word)
    })
}

fn reword(text: &mut Text, problem: written::Problem, mistakes: &mut Mistakes) {
    check_words(&problem, text.row, mistakes);
    if let Written::Here(Parsed(wanted), place) = &problem.status
        && *wanted != text.status
    {
        let what = format!("cannot change what a built-in problem means; remove it, or write {}", text.status.code());
        mistakes.push(place.clone(), what);
    }
    if let Some(title) = problem.title.take() {
        text.title = Some(title.into());
    }
    if let Some(detail) = problem.detail.take() {
        text.detail = detail;
        text.detail_without_body = None;
    }
}
