//! Several products that are paid from one balance (contract, section 7).

use tollgate::policy::account::Digest;

use crate::support::{Backend, Gateway, Request, VERSIONS, token};

#[test]
fn one_balance_pays_for_several_products_and_is_never_below_nothing() {
    let backend = Backend::answering_json();
    let digest = Digest::of(token("live").as_bytes()).text();
    let headers = "headers: { Reference-ID: { pattern: '[A-Za-z0-9-]+', echo: true, problem: reference-id-invalid } }";
    let gateway = Gateway::start(&format!(
        "h2c: true\npublic_url: https://api.example.com/docs\nledger: {{ volatile: true }}\n\
         upstreams: {{ lookup: {{ servers: [{}] }} }}\n\
         products:\n  vat: {{ upstream: lookup, token_headers: [T], routes: [GET /vat], {headers}, credits: {{ hold: [{{ add: 3 }}], price: [{{ add: 3 }}] }} }}\n\
         \x20 mail: {{ upstream: lookup, token_headers: [T], routes: [GET /mail], {headers}, balance_of: vat, credits: {{ hold: [{{ add: 1 }}], price: [{{ add: 1 }}] }} }}\n\
         accounts:\n  main: {{ rate: {{ unlimited: true }}, credits: {{ vat: 8 }}, tokens: [{{ name: t, hash: \"{digest}\", products: [vat, mail] }}] }}\n",
        backend.address()
    ));
    let ask = |target: &str| gateway.send(VERSIONS[0], &Request::new("GET", target).with("T", &token("live")));
    for (target, charged, left) in [("/vat", 3, 5), ("/mail", 1, 4), ("/vat", 3, 1)] {
        let answer = ask(target);
        answer.assert_success();
        assert_eq!(
            (answer.number("X-Credits-Charged"), answer.number("X-Credits-Remaining")),
            (charged, left),
            "{target}"
        );
    }
    ask("/vat").assert_problem("credits-insufficient");
    ask("/mail").assert_success();
    ask("/mail").assert_problem("credits-insufficient");
    let (status, body) = gateway.ask_admin("GET", "/accounts/main/credits/vat", &[], "");
    assert_eq!(status, 200, "{body}");
    let (status, _) = gateway.ask_admin("GET", "/accounts/main/credits/mail", &[], "");
    assert_eq!(status, 404, "it has no balance of its own");
}
