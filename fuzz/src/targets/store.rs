//! The store's file with bytes changed and cut off: it is refused, or each account in it is read or named as damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tollgate::ledger::store::accounts::{self, AccountDraft, AccountPage};
use tollgate::ledger::store::randomness::SystemRandomness;
use tollgate::ledger::store::records::{AccountProduct, AccountTerms, ProductFunds, QuotaLimit, Terms};
use tollgate::ledger::store::tokens::TokenDraft;
use tollgate::ledger::store::writing::transact;
use tollgate::ledger::store::{Act, StoreError, Via, audit, open, tokens, whole};

use super::ledger::scratch;

/// A store with some accounts.
struct Base {
    path: PathBuf,
    bytes: Vec<u8>,
}

const ACCOUNTS: usize = 5;

/// An input: edits of four bytes each: a place, a byte and what is done with them.
pub fn run(data: &[u8]) {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(Base::new);
    let mut bytes = base.bytes.clone();
    for edit in data.chunks_exact(4).take(32) {
        let place =
            (usize::from(edit[3] & 3) << 16 | usize::from(u16::from_be_bytes([edit[0], edit[1]]))) % bytes.len().max(1);
        match edit[3] >> 6 {
            0 | 1 => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = edit[2]),
            2 => bytes.iter_mut().skip(place).take(usize::from(edit[2])).for_each(|byte| *byte = 0),
            _ => bytes.truncate(place),
        }
    }
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", base.path.display()));
    }
    fs::write(&base.path, &bytes).unwrap();
    match read(&base.path) {
        Ok(()) => {}
        Err(StoreError::Unusable { .. }) if !bytes.is_empty() => {
            assert_eq!(fs::read(&base.path).unwrap(), bytes, "a file that is refused was changed");
        }
        Err(_) => {}
    }
}

/// Reads everything that is in a store; what is damaged is an error, and no panic.
fn read(path: &Path) -> Result<(), StoreError> {
    let connection = open(path)?;
    let mut found = 0;
    let _ = whole::each(&connection, |account| {
        found += 1;
        if let Ok(account) = account {
            assert!(!account.account.id.is_empty());
        }
    });
    let listed = accounts::list(&connection, &AccountPage { rows: 100, ..AccountPage::default() });
    if let Ok(listed) = listed {
        assert!(listed.len() <= 100);
        for account in &listed {
            let _ = whole::one(&connection, &account.id);
            let _ = tokens::list(&connection, &account.id);
        }
    }
    let _ = audit::check(&connection);
    let page = audit::AuditPage { account_id: None, before: None, rows: 100 };
    let _ = audit::page(&connection, &page);
    Ok(())
}

impl Base {
    fn new() -> Base {
        let path = scratch("store").join("store.db");
        let mut connection = open(&path).unwrap();
        for number in 0..ACCOUNTS {
            let act = Act {
                actor: "key:ann".to_owned(),
                via: Via::Api,
                address: "203.0.113.9".to_owned(),
                at_ms: 1_798_761_600_000,
                idempotency: None,
            };
            let products = vec![AccountProduct { product: "phone".to_owned(), funds: ProductFunds::Unmetered }];
            let terms = AccountTerms::Own(Terms::default());
            let draft = AccountDraft { name: format!("a{number}"), display: "An account".to_owned(), terms, products };
            let token = TokenDraft {
                name: "web".to_owned(),
                products: vec!["phone".to_owned()],
                last_day: None,
                rates: Vec::new(),
                quota: QuotaLimit::default(),
            };
            let made = transact(&mut connection, act, &mut SystemRandomness, None, |writing| {
                let account = accounts::create(writing, &draft)?;
                tokens::create(writing, &account.id, &token).map(|_| account.id)
            });
            made.unwrap();
        }
        drop(connection);
        let bytes = fs::read(&path).unwrap();
        Base { path, bytes }
    }
}
