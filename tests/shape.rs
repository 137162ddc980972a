//! The shape of the code: which file may know which, and what the lower ones may not know at all.

use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for file in files_below(&source()).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn only_main_may_end_the_process() {
    for file in files_below(&source()).into_iter().filter(|file| !file.ends_with("main.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("process::exit"), "{}", file.display());
    }
}
