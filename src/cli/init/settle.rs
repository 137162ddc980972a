//! Makes a draft one that a gateway serves: what the configuration's own rules refuse of a document's routes is left
//! out, and said.

use super::draft::{Draft, ParameterDraft, RouteDraft};
use super::notes::Notes;
use crate::config::yaml::Mistake;
use crate::config::{self, Config, Source};
use crate::operate::failure::Failure;

/// How often a draft is looked at again: each time leaves out all that was wrong.
const MAX_ROUNDS: usize = 16;

/// The configuration of a draft, in which nothing is left that is refused.
///
/// # Errors
/// What is wrong with it apart from routes, or that no route is left.
pub fn settle(draft: &mut Draft, notes: &mut Notes) -> Result<Config, Failure> {
    for _ in 0..MAX_ROUNDS {
        draft.forget_unused_files();
        let source = Source::Held(draft.files.clone());
        let mistakes = match config::parse(&draft.file, &draft.text(), &source) {
            Ok(config) => return Ok(config),
            Err(mistakes) => mistakes,
        };
        if notes.is_by_hand || !repair(draft, mistakes.iter(), notes) {
            return Err(Failure::Mistakes(mistakes));
        }
        if draft.routes.is_empty() {
            return Err(format!("{}no route is left that could be served; nothing was written", notes.text()).into());
        }
    }
    Err("the document leads to more mistakes than can be left out; write the configuration by hand".into())
}

impl Draft {
    /// Keeps the schemas that routes name.
    fn forget_unused_files(&mut self) {
        let named: Vec<&String> = self
            .routes
            .iter()
            .flat_map(|route| [route.body.as_ref().and_then(|body| body.schema.as_ref()), route.answer_schema.as_ref()])
            .flatten()
            .collect();
        self.files.retain(|name, _| named.contains(&name));
    }
}

/// Leaves out what mistakes are about; false if one is not about a route.
fn repair<'m>(draft: &mut Draft, mistakes: impl Iterator<Item = &'m Mistake>, notes: &mut Notes) -> bool {
    let before = format!("products.{}.routes[", draft.product);
    let mut refused: Vec<usize> = Vec::new();
    for mistake in mistakes {
        let Some((index, rest)) = mistake.place.path.strip_prefix(&before).and_then(|rest| rest.split_once(']')) else {
            return false;
        };
        let Some(index) = index.parse::<usize>().ok().filter(|index| *index < draft.routes.len()) else { return false };
        let Some(route) = draft.routes.get_mut(index) else { return false };
        let place = format!("{} {}", route.method, route.path);
        if !leave_out_key(route, rest, &place, &mistake.what, notes) && !refused.contains(&index) {
            notes.add(format!("the operation cannot be served: it {}", mistake.what), place);
            refused.push(index);
        }
    }
    let mut index = 0_usize;
    draft.routes.retain(|_| {
        let kept = !refused.contains(&index);
        index = index.saturating_add(1);
        kept
    });
    true
}

/// Leaves out a key of a parameter, or the parameter; false if the mistake is about something else.
fn leave_out_key(route: &mut RouteDraft, path: &str, place: &str, what: &str, notes: &mut Notes) -> bool {
    let (section, of_query) = match path.strip_prefix(".query.") {
        Some(rest) => (rest, true),
        None => match path.strip_prefix(".parameters.") {
            Some(rest) => (rest, false),
            None => return false,
        },
    };
    let rules = if of_query { &mut route.query } else { &mut route.parameters };
    let about = |rule: &ParameterDraft| {
        section.strip_prefix(&*rule.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let Some(at) = rules.iter().position(about) else { return false };
    let Some(rule) = rules.get_mut(at) else { return false };
    let key = section.get(rule.name.len()..).unwrap_or_default().trim_start_matches('.');
    let place = format!("{place}, parameter {}", rule.name);
    let key = key.split(['.', '[']).next().unwrap_or_default();
    let had = match key {
        "pattern" => rule.pattern.take().is_some(),
        "max" => rule.max.take().is_some(),
        "example" => rule.example.take().is_some(),
        "one_of" => !std::mem::take(&mut rule.one_of).is_empty(),
        "integer" | "number" => rule.number.take().is_some(),
        _ => false,
    };
    match (had, of_query) {
        (true, _) => notes.add(format!("its {key} {what}; it is left out"), place),
        (false, true) => {
            rules.remove(at);
            notes.add(format!("the rule of the parameter is left out: it {what}"), place);
        }
        (false, false) => return false,
    }
    true
}
