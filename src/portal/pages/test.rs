use crate::portal::router::Page;

pub fn pages() -> Vec<Page> {
    Vec::new()
}
