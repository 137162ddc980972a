//! The paths that are served, and who answers them.
//!
//! A path without parameters is found in a table, and one with parameters in a tree, so that ten thousand routes cost
//! what ten do. A literal path comes before one with parameters, and of those the one whose first differing segment is
//! literal. A path of a host comes before the same path without one.

use std::collections::HashMap;

use crate::policy::http::head::Head;
use crate::policy::page::ListenerScope;
use crate::policy::route::parameter_name;

/// A path that is served, and with which methods.
#[derive(Debug)]
pub struct Path {
    /// The place in the list of paths, for `Hint::Allow`.
    pub index: u16,
    pub methods: Box<[(Box<str>, Endpoint)]>,
    /// As the configuration has it.
    template: Box<str>,
}

/// Who answers a method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A route of a product, both by their places.
    Lookup { product: u8, route: u16 },
    /// The gateway, about the account's credits.
    Credits,
    /// The gateway, with the page that has this place on the page table.
    Page(u16),
}

/// All paths that are served.
#[derive(Debug, Default)]
pub struct Paths {
    /// Those of every host that has none of its own.
    anywhere: Table,
    /// Those of single hosts, in lower case and without a port.
    by_host: HashMap<Box<str>, Table>,
    /// The `Allow` of each place.
    allow: Vec<Box<str>>,
}

/// The paths of one host.
#[derive(Debug, Default)]
struct Table {
    literal: HashMap<Box<str>, Path>,
    templates: Vec<Path>,
    /// The places of `templates`, by the path of a request and by their own text.
    tree: matchit::Router<usize>,
    places: HashMap<Box<str>, usize>,
}

/// Why a route cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// The method of the path has a route already.
    Taken,
    /// A path with parameters in the same segments, which have other names.
    OtherNames(String),
    /// There are as many paths as can be.
    Full,
}

/// The longest host that is compared; DNS has none that is longer.
const MAX_HOST_BYTES: usize = 253;

impl Table {
    fn find(&self, path: &str) -> Option<&Path> {
        if let Some(found) = self.literal.get(path) {
            return Some(found);
        }
        if self.templates.is_empty() {
            return None;
        }
        self.tree.at(path).ok().and_then(|found| self.templates.get(*found.value))
    }

    /// The path with just this text, which is new with the place `index` if there is none.
    fn entry(&mut self, template: &str, index: u16) -> Result<&mut Path, NotAdded> {
        let new = || Path { index, methods: Box::default(), template: template.into() };
        if !template.contains('{') {
            return Ok(self.literal.entry(template.into()).or_insert_with(new));
        }
        let place = match self.places.get(template) {
            Some(place) => *place,
            None => {
                let place = self.templates.len();
                self.tree.insert(template, place).map_err(|error| match error {
                    matchit::InsertError::Conflict { with } => NotAdded::OtherNames(with),
                    _ => NotAdded::Taken,
                })?;
                self.templates.push(new());
                self.places.insert(template.into(), place);
                place
            }
        };
        self.templates.get_mut(place).ok_or(NotAdded::Full)
    }

    /// Each path once, without those that lack their last segment.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let whole = self.literal.iter().filter(|(path, found)| **path == found.template);
        whole.map(|(_, found)| found).chain(&self.templates)
    }
}

impl Paths {
    /// Adds a method of a path, for all hosts or for one.
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed then.
    pub fn insert(
        &mut self,
        host: Option<&str>,
        method: &str,
        template: &str,
        endpoint: Endpoint,
    ) -> Result<(), NotAdded> {
        let Ok(index) = u16::try_from(self.allow.len()) else { return Err(NotAdded::Full) };
        let table = match host {
            Some(host) => self.by_host.entry(host.into()).or_default(),
            None => &mut self.anywhere,
        };
        let entry = table.entry(template, index)?;
        if entry.methods.iter().any(|(known, _)| **known == *method) {
            return Err(NotAdded::Taken);
        }
        let mut methods = std::mem::take(&mut entry.methods).into_vec();
        methods.push((method.into(), endpoint));
        let allow = methods.iter().map(|(method, _)| &**method).collect::<Vec<_>>().join(", ").into();
        entry.methods = methods.into();
        match self.allow.get_mut(usize::from(entry.index)) {
            Some(known) => *known = allow,
            None => self.allow.push(allow),
        }
        Ok(())
    }

    /// Answers a path that lacks its last segment as the one whose parameter that is, so that a client is told that the
    /// parameter is missing. A route with just that path comes first.
    pub fn add_unfinished(&mut self) {
        for table in std::iter::once(&mut self.anywhere).chain(self.by_host.values_mut()) {
            for path in &table.templates {
                let Some((before, last)) = path.template.rsplit_once('/') else { continue };
                let unfinished = format!("{before}/");
                if parameter_name(last).is_none() || before.contains('{') || table.literal.contains_key(&*unfinished) {
                    continue;
                }
                let same = Path { index: path.index, methods: path.methods.clone(), template: path.template.clone() };
                table.literal.insert(unfinished.into(), same);
            }
        }
    }

    /// How many pairs of method and path the products have.
    pub fn routes(&self) -> usize {
        let of_products =
            |path: &Path| path.methods.iter().filter(|(_, to)| matches!(to, Endpoint::Lookup { .. })).count();
        let tables = std::iter::once(&self.anywhere).chain(self.by_host.values());
        tables.flat_map(Table::paths).map(of_products).sum()
    }

    /// All paths that every host has, with what answers their methods.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.anywhere.paths().map(|path| (&*path.template, path))
    }

    /// The path of a request, if it is served with any method.
    pub fn find(&self, head: &Head<'_>) -> Option<&Path> {
        if !self.by_host.is_empty()
            && let Some(found) = head.lines.host().and_then(|host| self.of_host(host)?.find(head.path))
        {
            return Some(found);
        }
        self.anywhere.find(head.path)
    }

    /// The path that every host has.
    pub fn find_anywhere(&self, path: &str) -> Option<&Path> {
        self.anywhere.find(path)
    }

    #[cold]
    fn of_host(&self, host: &[u8]) -> Option<&Table> {
        let name = match host.strip_prefix(b"[") {
            Some(address) => address.split(|byte| *byte == b']').next()?,
            None => host.split(|byte| *byte == b':').next()?,
        };
        let mut lower = [0_u8; MAX_HOST_BYTES];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_host.get(std::str::from_utf8(lower).ok()?)
    }

    /// The `Allow` header that a hint names.
    pub fn allow(&self, index: u16) -> &str {
        self.allow.get(usize::from(index)).map_or("", |allow| allow)
    }
}

impl Path {
    /// The path as the configuration has it.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Whether clients of a listener can have it. A path has either products or a page.
    pub fn is_behind(&self, scope: ListenerScope) -> bool {
        let is_page = || matches!(self.methods.first(), Some((_, Endpoint::Page(_))));
        match scope {
            ListenerScope::All => true,
            ListenerScope::Lookups => !is_page(),
            ListenerScope::Pages => is_page(),
        }
    }

    /// Who answers a method.
    pub fn endpoint(&self, method: &str) -> Option<Endpoint> {
        self.methods.iter().find(|(known, _)| **known == *method).map(|(_, endpoint)| *endpoint)
    }
}
