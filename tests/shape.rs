//! The layout of the code: which room may import which, that nothing imports in a circle, and that the decision
//! is pure. It reads the real `use` trees and paths of every file, tests and `super::` included.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The rooms, the ground floor first: each imports only rooms before it.
const ROOMS: [&str; 12] = [
    "policy",
    "platform",
    "telemetry",
    "ledger",
    "upstream",
    "site",
    "gateway",
    "downstream",
    "config",
    "operate",
    "portal",
    "cli",
];

/// Files and directories at the top of `src/`.
const MOST_AT_THE_TOP: usize = 14;

/// What the decision must not reach for: it is made of pure functions that a test calls.
const NOT_IN_POLICY: [&str; 12] = [
    "std::fs",
    "std::env",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "pingora",
    "rustls",
    "tokio_rustls",
    "rusqlite",
];

/// A module: its path from the crate's root.
type Module = Vec<String>;

/// A file of `src/` and the modules that it is and has.
struct File {
    module: Module,
    syntax: syn::File,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn rust_files() -> impl Iterator<Item = PathBuf> {
    files_below(&source()).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs"))
}

/// Every file of the library, by the `mod` items that lead to it.
fn files() -> BTreeMap<PathBuf, File> {
    let mut files = BTreeMap::new();
    read(&source().join("lib.rs"), Vec::new(), &mut files);
    files
}

fn read(path: &Path, module: Module, files: &mut BTreeMap<PathBuf, File>) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let syntax = syn::parse_file(&text).unwrap();
    let beside = path.parent().unwrap();
    let below = if module.is_empty() { beside.to_owned() } else { path.with_extension("") };
    for item in &syntax.items {
        let syn::Item::Mod(item) = item else { continue };
        if item.content.is_some() {
            continue;
        }
        let name = item.ident.to_string();
        let named = item.attrs.iter().find(|attribute| attribute.path().is_ident("path")).map(|attribute| {
            let value = &attribute.meta.require_name_value().unwrap().value;
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) = value else {
                panic!("a path is a text")
            };
            beside.join(name.value())
        });
        let child = named.unwrap_or_else(|| below.join(format!("{name}.rs")));
        read(&child, [module.clone(), vec![name]].concat(), files);
    }
    files.insert(path.to_owned(), File { module, syntax });
}

/// Collects the paths of one file that lead into the crate, as modules and items from its root, and all others.
struct Paths<'f> {
    modules: &'f BTreeSet<Module>,
    /// The module that is looked at, with those that stand in the file itself.
    here: Module,
    ours: BTreeSet<Module>,
    others: BTreeSet<Module>,
}

impl Paths<'_> {
    fn add(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let resolved = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => [self.here.clone(), rest.to_vec()].concat(),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let Some(base) = self.here.len().checked_sub(ups) else { return };
                [&self.here[..base], &path[ups..]].concat()
            }
            _ if self.modules.contains(&[self.here.clone(), vec![first.clone()]].concat()) => {
                [self.here.clone(), path.to_vec()].concat()
            }
            _ => {
                // Tests may use anything.
                if !self.here.iter().any(|module| module.ends_with("tests")) {
                    self.others.insert(path.to_vec());
                }
                return;
            }
        };
        self.ours.insert(resolved);
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(name) if name.ident == "self" => self.add(before),
            syn::UseTree::Rename(name) => self.add(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }

    /// Paths in the arguments of a macro, which are not parsed.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.add(&path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 {
            self.add(&parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() {
            self.here.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.here.pop();
        }
    }
}

fn paths<'f>(file: &File, modules: &'f BTreeSet<Module>) -> Paths<'f> {
    let mut paths = Paths { modules, here: file.module.clone(), ours: BTreeSet::new(), others: BTreeSet::new() };
    paths.visit_file(&file.syntax);
    paths
}

/// Which module imports which.
fn imports() -> BTreeMap<Module, BTreeSet<Module>> {
    let files = files();
    let modules: BTreeSet<Module> = files.values().map(|file| file.module.clone()).collect();
    let of_file = |file: &File| {
        // The file of what is named is the longest module that leads to it.
        let file_of = |path: &Module| {
            (1..=path.len()).rev().map(|most| path[..most].to_vec()).find(|module| modules.contains(module))
        };
        let named: BTreeSet<Module> = paths(file, &modules).ours.iter().filter_map(file_of).collect();
        let others = named.into_iter().filter(|module| *module != file.module);
        (file.module.clone(), others.collect())
    };
    files.values().filter(|file| !file.module.is_empty()).map(of_file).collect()
}

/// A circle of imports, if there is one.
fn circle(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn walk(
        module: &Module,
        imports: &BTreeMap<Module, BTreeSet<Module>>,
        on_the_way: &mut Vec<Module>,
        done: &mut BTreeSet<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(begin) = on_the_way.iter().position(|known| known == module) {
            return Some(on_the_way[begin..].to_vec());
        }
        if !done.insert(module.clone()) {
            return None;
        }
        on_the_way.push(module.clone());
        let found = imports.get(module).into_iter().flatten().find_map(|next| walk(next, imports, on_the_way, done));
        on_the_way.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| walk(module, imports, &mut Vec::new(), &mut done))
}

fn module(path: &str) -> Module {
    path.split("::").map(str::to_owned).collect()
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let floor = |module: &Module| ROOMS.iter().position(|room| module.first().is_some_and(|first| first == room));
    for (from, named) in imports() {
        let own = floor(&from).unwrap_or_else(|| panic!("{} is in no room of ROOMS", from.join("::")));
        for to in named {
            let theirs = floor(&to).unwrap_or_else(|| panic!("{} is in no room of ROOMS", to.join("::")));
            assert!(theirs <= own, "{} imports {}, which is above it", from.join("::"), to.join("::"));
        }
    }
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let imports = imports();
    assert!(imports.len() > 150, "the imports of {} files were read", imports.len());
    let circle = circle(&imports).map(|circle| circle.iter().map(|module| module.join("::")).collect::<Vec<_>>());
    assert_eq!(circle, None);
}

#[test]
fn a_circle_would_be_found() {
    let named = |names: &[&str]| names.iter().map(|name| module(name)).collect::<BTreeSet<_>>();
    let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    imports.insert(module("a"), named(&["a::b", "c"]));
    imports.insert(module("a::b"), named(&["c"]));
    assert_eq!(circle(&imports), None);
    imports.insert(module("c"), named(&["a"]));
    assert!(circle(&imports).is_some_and(|circle| circle.len() >= 2));
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "use super::{x::Y, z}; mod t { use super::super::w; fn f() { crate::a::g(matches!(1, crate::m::N)); } }";
    let file = File { module: module("room::file"), syntax: syn::parse_str(text).unwrap() };
    let found = paths(&file, &BTreeSet::new()).ours;
    let expected = ["room::x::Y", "room::z", "room::w", "a::g", "m::N"].map(module);
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn the_decision_is_pure() {
    let files = files();
    let modules: BTreeSet<Module> = files.values().map(|file| file.module.clone()).collect();
    for file in files.values().filter(|file| file.module.first().is_some_and(|room| room == "policy")) {
        for path in paths(file, &modules).others {
            let path = path.join("::");
            for word in NOT_IN_POLICY {
                let named = path == word || path.strip_prefix(word).is_some_and(|rest| rest.starts_with("::"));
                let begins = word.ends_with("Tcp") || word.ends_with("Udp");
                assert!(!(named || begins && path.starts_with(word)), "{} names {path}", file.module.join("::"));
            }
        }
    }
}

#[test]
fn the_top_can_be_seen_at_a_glance() {
    let entries = std::fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<PathBuf> = entries.map(|path| path.with_extension("")).collect();
    assert!(names.len() <= MOST_AT_THE_TOP, "{} entries", names.len());
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for file in rust_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn only_main_may_end_the_process() {
    for file in rust_files().filter(|file| !file.ends_with("main.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("process::exit"), "{}", file.display());
    }
}
