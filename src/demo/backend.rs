//! The lookup backend of the demo: it answers what a number or an address says about itself.
//!
//! Responsible for: validity, type and formats of phone numbers from the numbering plans that the
//! `phonenumber` crate carries, the syntax of e-mail addresses, and a small HTTP face over both.
//! Deliberately not: anything that takes a network to know. It never claims that a line is live,
//! that a number was ported or that it is disposable; `confidence` is "Unknown" in every answer
//! about a phone number, and members that it cannot know are absent. It checks no token, no header
//! beyond `Add-Metadata` and no schema either, since the gateway in front has done so. It logs
//! nothing.

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use phonenumber::country;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Mode, PhoneNumber, Type};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::panic::catch_unwind;

/// The longest request body that is read; a longer one is refused unread.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The longest number text that is looked at, in bytes. It is the limit of the original
/// libphonenumber, which the crate leaves out; nothing longer can be a number.
const NUMBER_BYTES_MAX: usize = 250;

/// How many compiled patterns the numbering-plan database keeps. The crate's own limit of 100 is
/// less than the plans that share +1 need for one number, so each such lookup would compile anew.
const PATTERNS_KEPT: usize = 1000;

/// Answers phone and e-mail lookups over HTTP. It has no state.
pub struct LookupBackend;

#[async_trait]
impl ServeHttp for LookupBackend {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let body = match read_body(session).await {
            Ok(body) => body,
            Err((status, detail)) => {
                // What is left of the body must not be taken for the next request.
                session.set_keepalive(None);
                return answer(status, &json!({ "error": detail }));
            }
        };
        let req = session.req_header();
        let add_metadata = session.get_header_bytes("Add-Metadata").eq_ignore_ascii_case(b"true");
        let mut resp = route(&req.method, req.uri.path(), add_metadata, &body);
        if req.method == Method::HEAD {
            resp.body_mut().clear();
        }
        resp
    }
}

/// Loads the numbering plans, so that the first request does not wait for them.
pub fn warm_up() {
    if let Ok(mut patterns) = DATABASE.cache().lock() {
        patterns.set_capacity(PATTERNS_KEPT);
    }
    // The plans of +1 and +44 are each shared by several territories: the dearest to compile.
    for number in ["+12015550123", "+447400123456"] {
        lookup_phone(&json!({ "number": number, "output_format": "NATIONAL" }), true);
    }
}

/// Judges one phone lookup. `body` is the request body; members that are absent, null, empty or of
/// another type count as not asked for. Pure: the same body always has the same answer.
///
/// `output_format` is E164, INTERNATIONAL, NATIONAL or RFC3966 in any case. Without one, and for
/// any other (formats of a single country, such as NANP, are not known here), the answer is the
/// international one: `+`, the calling code, then the number grouped as its country groups it.
pub fn lookup_phone(body: &Value, add_metadata: bool) -> Value {
    let number = text(body, "number");
    let region = territory_of_iso(text(body, "country_iso"));
    // The text that reaches the crate is ASCII and short, and no such text is known to make it
    // panic. It has panicked in the past, on slices inside characters and on odd `tel:` links, and
    // it unwraps in places that only its own data keeps safe; a lookup is not worth a connection. What
    // is not known must not be judged either: such a number is "Unknown", not "Bad format".
    let judged = catch_unwind(|| read_number(number, region));
    let mut result = Map::new();
    let sent = body.get("number").cloned();
    result.insert("number".to_owned(), sent.unwrap_or_else(|| json!("")));
    let (phone_type, reading) = match &judged {
        Ok(Some(reading)) => (reading.phone_type, Some(reading)),
        Ok(None) => ("Bad format", None),
        Err(_) => ("Unknown", None),
    };
    let written = |mode| reading.map_or_else(String::new, |reading| reading.written(mode));
    let mode = mode_of(text(body, "output_format"));
    result.insert("validated_phone_number".to_owned(), written(Mode::E164).into());
    result.insert("formatted_phone_number".to_owned(), written(mode).into());
    result.insert("phone_type".to_owned(), phone_type.into());
    // Whether anybody answers there cannot be read off a number, and of a text that is no number
    // there is nothing to be confident about.
    result.insert("confidence".to_owned(), "Unknown".into());
    let mut answer = json!({ "result": result });
    if add_metadata && let Some(members) = answer.as_object_mut() {
        let metadata = reading.map_or_else(|| json!({}), Reading::metadata);
        members.insert("metadata".to_owned(), metadata);
    }
    answer
}

/// Judges one e-mail lookup by the syntax of the address alone: "Bad format" or "Unknown", never
/// more. Quoted local parts and addresses in brackets, which mail providers do not give out, count
/// as "Bad format".
pub fn lookup_email(body: &Value) -> Value {
    let email = text(body, "email");
    let domain = email_domain(email);
    json!({ "result": {
        "email": body.get("email").cloned().unwrap_or_else(|| json!("")),
        "confidence": if domain.is_some() { "Unknown" } else { "Bad format" },
        "domain": domain.unwrap_or_default(),
    }})
}

/// Reads the whole body, or says with which status and words to refuse it.
async fn read_body(session: &mut ServerSession) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX => {
                return Err((StatusCode::PAYLOAD_TOO_LARGE, "The body is over 1 MiB."));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(_) => return Err((StatusCode::BAD_REQUEST, "The body ended early.")),
        }
    }
}

fn route(method: &Method, path: &str, add_metadata: bool, body: &[u8]) -> Response<Vec<u8>> {
    let lookup = match (method, path) {
        (&Method::POST, "/phone/validate/v2" | "/phone/validation/v2") => lookup_phone,
        (&Method::POST, "/email/validate/v2") => |body: &Value, _| lookup_email(body),
        _ => {
            return answer(StatusCode::NOT_FOUND, &json!({ "error": "No such lookup." }));
        }
    };
    match serde_json::from_slice::<Value>(body) {
        Ok(body) if body.is_object() => answer(StatusCode::OK, &lookup(&body, add_metadata)),
        _ => answer(StatusCode::BAD_REQUEST, &json!({ "error": "The body is not a JSON object." })),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    let body = body.to_string().into_bytes();
    let length = body.len();
    let mut resp = Response::new(body);
    *resp.status_mut() = status;
    let headers = resp.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    // Pingora does not frame the answers of a `ServeHttp`; without a length it would have to close.
    headers.insert(header::CONTENT_LENGTH, length.into());
    resp
}

/// A string member of the body; anything else is as if it were not there.
fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn mode_of(output_format: &str) -> Mode {
    match output_format.to_ascii_uppercase().as_str() {
        "E164" => Mode::E164,
        "NATIONAL" => Mode::National,
        "RFC3966" => Mode::Rfc3966,
        _ => Mode::International,
    }
}

/// A text that is a valid number, and what its numbering plan says of it.
struct Reading {
    number: PhoneNumber,
    plan: &'static Metadata,
    phone_type: &'static str,
}

impl Reading {
    fn written(&self, mode: Mode) -> String {
        let mut text = String::new();
        // `to_string` would panic where the formatter reports an error; half a number is no answer.
        match write!(text, "{}", self.number.format().mode(mode)) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }

    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        // Numbers of no country (+800 and its like) have "001" for a territory and no ISO codes.
        if let Some((alpha3, alpha2)) = territories().find(|(_, alpha2)| *alpha2 == self.plan.id()) {
            metadata.insert("country_iso_alpha2".to_owned(), alpha2.into());
            metadata.insert("country_iso_alpha3".to_owned(), alpha3.into());
        }
        let code = self.number.code().value().to_string();
        metadata.insert("country_calling_code".to_owned(), code.into());
        let national = self.number.national().to_string();
        metadata.insert("national_number".to_owned(), national.into());
        Value::Object(metadata)
    }
}

/// Reads a text as a phone number; `None` if no reading of it is a valid one.
///
/// The crate's parser is not to be trusted with more than a proposal: it may take a national prefix
/// away twice (+7 800 …, +370 800 …) or a calling code that is part of the number, and its validity
/// test forgets leading zeros (+39 06 …) and accepts surplus digits. So it proposes, other readings
/// stand beside its own, and the patterns of the numbering plans decide.
fn read_number(text: &str, region: Option<country::Id>) -> Option<Reading> {
    let text = plain_text(text)?;
    readings(&text, region).into_iter().find_map(|number| {
        let national = number.national().to_string();
        let plan = plan_of(number.code().value(), &national)?;
        let phone_type = phone_type_of(plan, &national)?;
        Some(Reading { number, plan, phone_type })
    })
}

/// What a text may mean: the crate's reading first, then the digits as they were sent.
fn readings(text: &str, region: Option<country::Id>) -> Vec<PhoneNumber> {
    // The crate has no constructor for a number. Under the plan of a country that has no national
    // prefix it takes the digits after the calling code as they stand.
    let verbatim = |text: &str| phonenumber::parse(Some(country::AD), text).ok();
    let proposed = phonenumber::parse(region, text).ok();
    if text.trim_start().starts_with('+') {
        return proposed.into_iter().chain(verbatim(text)).collect();
    }
    let Some(proposed) = proposed else {
        return Vec::new();
    };
    let code = proposed.code().value();
    let national = nationals_as_sent(text, code, region);
    let as_sent = national.iter().filter_map(|national| verbatim(&format!("+{code} {national}")));
    std::iter::once(proposed).chain(as_sent).collect()
}

/// The text in the characters that the crate reads well: digits of other scripts become ASCII,
/// typographic dashes and spaces become spaces, `tel:` links lose their parameters. `None` if what
/// remains has other characters outside ASCII or is too long.
fn plain_text(text: &str) -> Option<String> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let text: String = text.chars().map(plain_character).collect();
    let (number, parameters) = text.split_once(";phone-context=").unwrap_or((&text, ""));
    let number = number.split(";isub=").next()?;
    let number = number.trim_start_matches(|c: char| c != '+' && !c.is_ascii_digit());
    let number = number.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '#');
    let context = parameters.split(';').next()?;
    let context = if context.starts_with('+') && !number.starts_with('+') { context } else { "" };
    // The space at the end keeps the crate from reading it as a link, which would take all digits
    // up to the first dash for the calling code ("+4420-…").
    let plain = format!("{context} {number} ");
    plain.is_ascii().then_some(plain)
}

fn plain_character(character: char) -> char {
    // The zeros of the scripts that phones and keyboards offer: full-width, Arabic-Indic, Persian,
    // Devanagari, Bengali, Thai.
    for zero in ['\u{FF10}', '\u{660}', '\u{6F0}', '\u{966}', '\u{9E6}', '\u{E50}'] {
        let value = u32::from(character).wrapping_sub(u32::from(zero));
        if let Some(digit) = char::from_digit(value, 10) {
            return digit;
        }
    }
    match character {
        '\u{FF0B}' => '+',
        '\u{A0}'
        | '\u{AD}'
        | '\u{2000}'..='\u{206F}'
        | '\u{2212}'
        | '\u{3000}'
        | '\u{30FC}'
        | '\u{FF08}'..='\u{FF09}'
        | '\u{FF0D}'..='\u{FF0F}'
        | '\u{FF5E}' => ' ',
        other => other,
    }
}

/// The digits of a national text whole, without the national prefix and without the calling code.
/// Nothing for a text with letters: those may spell digits or announce an extension.
fn nationals_as_sent(text: &str, code: u16, region: Option<country::Id>) -> Vec<String> {
    if text.contains(|c: char| c.is_ascii_alphabetic() || matches!(c, '#' | ',' | ';')) {
        return Vec::new();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let prefix = region.and_then(|region| DATABASE.by_id(region.as_ref())).and_then(Metadata::national_prefix);
    let unprefixed = prefix.and_then(|prefix| digits.strip_prefix(prefix));
    let uncoded = digits.strip_prefix(&code.to_string());
    let mut nationals: Vec<String> = [unprefixed, uncoded].into_iter().flatten().map(str::to_owned).collect();
    nationals.insert(0, digits);
    nationals
}

/// The numbering plan that a national number belongs to, among those that share a calling code.
fn plan_of(code: u16, national: &str) -> Option<&'static Metadata> {
    let plans = DATABASE.by_code(&code)?;
    if let [plan] = plans.as_slice() {
        return Some(plan);
    }
    plans.into_iter().find(|plan| match plan.leading_digits() {
        Some(leading) => leading.find(national).is_some_and(|found| found.start() == 0),
        None => phone_type_of(plan, national).is_some(),
    })
}

/// The type of a national number under a plan, in the order of libphonenumber; `None` if the plan
/// has no such number.
fn phone_type_of(plan: &Metadata, national: &str) -> Option<&'static str> {
    const SPECIAL: [(Type, &str); 8] = [
        (Type::PremiumRate, "Premium"),
        (Type::TollFree, "Toll free"),
        (Type::SharedCost, "Shared cost"),
        (Type::Voip, "VoIP"),
        (Type::PersonalNumber, "Personal number"),
        (Type::Pager, "Pager"),
        (Type::Uan, "Universal access number"),
        (Type::Voicemail, "Voicemail only"),
    ];
    let is = |kind| {
        plan.descriptors().get(kind).is_some_and(|descriptor| {
            // `is_match` knows the lengths but is content with a match of the first digits. The
            // other way round, a pattern with a shorter branch first may hide its longer one; that
            // refuses a few numbers of Myanmar and is better than to bless surplus digits.
            let found = descriptor.national_number().find(national);
            descriptor.is_match(national) && found.is_some_and(|found| found.as_str() == national)
        })
    };
    if let Some((_, name)) = SPECIAL.into_iter().find(|(kind, _)| is(*kind)) {
        return Some(name);
    }
    match (is(Type::FixedLine), is(Type::Mobile)) {
        (true, true) => Some("Mobile or landline"),
        (true, false) => Some("Landline"),
        (false, true) => Some("Mobile"),
        (false, false) => None,
    }
}

/// The domain of an address in lower case, if the address is well formed.
fn email_domain(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    // Characters beyond ASCII are allowed on both sides since RFC 6531.
    let local_fits = local.len() <= 64
        && local.split('.').all(|atom| {
            !atom.is_empty() && atom.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
        });
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let (_, top) = domain.rsplit_once('.')?;
    let domain_fits = domain.split('.').all(label_fits) && !top.chars().all(|c| c.is_ascii_digit());
    (email.len() <= 254 && local_fits && domain_fits).then(|| domain.to_lowercase())
}

/// The region of an ISO 3166 code of two or three letters in any case.
fn territory_of_iso(iso: &str) -> Option<country::Id> {
    let iso = iso.to_ascii_uppercase();
    let (_, alpha2) = territories().find(|(alpha3, alpha2)| *alpha3 == iso || *alpha2 == iso)?;
    alpha2.parse().ok()
}

/// Every territory with a numbering plan: its ISO 3166 alpha-3 and alpha-2 code. Ascension,
/// Tristan da Cunha and Kosovo have no assigned alpha-3; theirs are the reserved or common ones.
fn territories() -> impl Iterator<Item = (&'static str, &'static str)> {
    TERRITORIES.split(' ').filter_map(|entry| entry.split_at_checked(3))
}

/// Alpha-3 and alpha-2 of each territory in one word. One text, since the table is only ever
/// scanned and a line for each entry would bury the file.
const TERRITORIES: &str = "\
    ABWAW AFGAF AGOAO AIAAI ALAAX ALBAL ANDAD AREAE ARGAR ARMAM ASCAC ASMAS ATGAG AUSAU AUTAT \
    AZEAZ BDIBI BELBE BENBJ BESBQ BFABF BGDBD BGRBG BHRBH BHSBS BIHBA BLMBL BLRBY BLZBZ BMUBM \
    BOLBO BRABR BRBBB BRNBN BTNBT BWABW CAFCF CANCA CCKCC CHECH CHLCL CHNCN CIVCI CMRCM CODCD \
    COGCG COKCK COLCO COMKM CPVCV CRICR CUBCU CUWCW CXRCX CYMKY CYPCY CZECZ DEUDE DJIDJ DMADM \
    DNKDK DOMDO DZADZ ECUEC EGYEG ERIER ESHEH ESPES ESTEE ETHET FINFI FJIFJ FLKFK FRAFR FROFO \
    FSMFM GABGA GBRGB GEOGE GGYGG GHAGH GIBGI GINGN GLPGP GMBGM GNBGW GNQGQ GRCGR GRDGD GRLGL \
    GTMGT GUFGF GUMGU GUYGY HKGHK HNDHN HRVHR HTIHT HUNHU IDNID IMNIM INDIN IOTIO IRLIE IRNIR \
    IRQIQ ISLIS ISRIL ITAIT JAMJM JEYJE JORJO JPNJP KAZKZ KENKE KGZKG KHMKH KIRKI KNAKN KORKR \
    KWTKW LAOLA LBNLB LBRLR LBYLY LCALC LIELI LKALK LSOLS LTULT LUXLU LVALV MACMO MAFMF MARMA \
    MCOMC MDAMD MDGMG MDVMV MEXMX MHLMH MKDMK MLIML MLTMT MMRMM MNEME MNGMN MNPMP MOZMZ MRTMR \
    MSRMS MTQMQ MUSMU MWIMW MYSMY MYTYT NAMNA NCLNC NERNE NFKNF NGANG NICNI NIUNU NLDNL NORNO \
    NPLNP NRUNR NZLNZ OMNOM PAKPK PANPA PERPE PHLPH PLWPW PNGPG POLPL PRIPR PRKKP PRTPT PRYPY \
    PSEPS PYFPF QATQA REURE ROURO RUSRU RWARW SAUSA SDNSD SENSN SGPSG SHNSH SJMSJ SLBSB SLESL \
    SLVSV SMRSM SOMSO SPMPM SRBRS SSDSS STPST SURSR SVKSK SVNSI SWESE SWZSZ SXMSX SYCSC SYRSY \
    TAATA TCATC TCDTD TGOTG THATH TJKTJ TKLTK TKMTM TLSTL TONTO TTOTT TUNTN TURTR TUVTV TWNTW \
    TZATZ UGAUG UKRUA URYUY USAUS UZBUZ VATVA VCTVC VENVE VGBVG VIRVI VNMVN VUTVU WLFWF WSMWS \
    XKXXK YEMYE ZAFZA ZMBZM ZWEZW";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn judged(number: &str, country_iso: &str) -> (String, String) {
        let answer = lookup_phone(&json!({ "number": number, "country_iso": country_iso }), false);
        let member = |name: &str| answer["result"][name].as_str().unwrap().to_owned();
        assert_eq!(member("number"), number);
        assert_eq!(member("confidence"), "Unknown");
        assert_eq!(answer.get("metadata"), None);
        (member("validated_phone_number"), member("phone_type"))
    }

    #[test]
    fn numbers_are_judged_by_their_numbering_plan() {
        #[rustfmt::skip]
        let table = [
            // number,               country, E.164,              phone_type
            ("+447400123456",        "",      "+447400123456",    "Mobile"),
            ("07400 123456",         "GBR",   "+447400123456",    "Mobile"),
            ("+44 (0)20 7031 3000",  "",      "+442070313000",    "Landline"),
            ("+4420-7031-3000",      "",      "+442070313000",    "Landline"),
            ("+44 7624 123456",      "",      "+447624123456",    "Mobile"),
            ("0800 123 4567",        "gb",    "+448001234567",    "Toll free"),
            ("+44 9012345678",       "",      "+449012345678",    "Premium"),
            ("0180 5 012345",        "DE",    "+491805012345",    "Shared cost"),
            ("+44 5612345678",       "",      "+445612345678",    "VoIP"),
            ("+44 7012345678",       "",      "+447012345678",    "Personal number"),
            ("+44 7640123456",       "",      "+447640123456",    "Pager"),
            ("+44 5512345678",       "",      "+445512345678",    "Universal access number"),
            ("+1 650-253-0000",      "",      "+16502530000",     "Mobile or landline"),
            ("(650) 253-0000",       "us",    "+16502530000",     "Mobile or landline"),
            ("1-800-FLOWERS",        "USA",   "+18003569377",     "Toll free"),
            ("+1 900 253 0000",      "",      "+19002530000",     "Premium"),
            ("030 123456",           "DEU",   "+4930123456",      "Landline"),
            ("+33 6 12 34 56 78",    "",      "+33612345678",     "Mobile"),
            ("０９０-１２３４-５６７８",  "JPN",   "+819012345678",    "Mobile"),
            ("+55 11 96123-4567",    "",      "+5511961234567",   "Mobile"),
            ("+91 81234 56789",      "",      "+918123456789",    "Mobile"),
            ("0412 345 678",         "AUS",   "+61412345678",     "Mobile"),
            ("+27 71 123 4567",      "",      "+27711234567",     "Mobile"),
            ("+39 06 698 12345",     "",      "+390669812345",    "Landline"),
            ("+7 800 123-45-67",     "",      "+78001234567",     "Toll free"),
            ("8 (800) 123-45-67",    "RUS",   "+78001234567",     "Toll free"),
            ("+41 860 123456789",    "",      "+41860123456789",  "Voicemail only"),
            ("+800 1234 5678",       "",      "+80012345678",     "Toll free"),
            ("0011 44 7400 123456",  "AU",    "+447400123456",    "Mobile"),
            ("tel:03-331-6005;phone-context=+64", "", "+6433316005", "Landline"),
            ("+44 20 7031 3000 ext. 12", "",  "+442070313000",    "Landline"),
            ("07400 123456",         "",      "",                 "Bad format"),
            ("07400 123456",         "XYZ",   "",                 "Bad format"),
            ("+44 791234567",        "",      "",                 "Bad format"),
            ("+976 533214038",       "",      "",                 "Bad format"),
            ("+1 650 253 00001",     "",      "",                 "Bad format"),
            ("+999 123456789",       "",      "",                 "Bad format"),
            ("call me",              "GB",    "",                 "Bad format"),
            ("+",                    "GB",    "",                 "Bad format"),
            ("",                     "GB",    "",                 "Bad format"),
        ];
        for (number, country, e164, phone_type) in table {
            let expected = (e164.to_owned(), phone_type.to_owned());
            assert_eq!(judged(number, country), expected, "{number} {country}");
        }
    }

    #[test]
    fn the_format_is_the_asked_one_and_else_international() {
        for (output_format, formatted) in [
            (json!("E164"), "+442070313000"),
            (json!("national"), "020 7031 3000"),
            (json!("Rfc3966"), "tel:+44-20-7031-3000"),
            (json!("INTERNATIONAL"), "+44 20 7031 3000"),
            (json!("NANP"), "+44 20 7031 3000"),
            (json!(""), "+44 20 7031 3000"),
            (json!(null), "+44 20 7031 3000"),
        ] {
            let body = json!({ "number": "+442070313000", "output_format": output_format });
            let answer = lookup_phone(&body, false);
            assert_eq!(answer["result"]["formatted_phone_number"], formatted);
        }
    }

    #[test]
    fn metadata_comes_only_when_asked_for() {
        let of = |number: &str| lookup_phone(&json!({ "number": number }), true)["metadata"].take();
        assert_eq!(
            of("+44 1534 456789"),
            json!({
                "country_iso_alpha2": "JE", "country_iso_alpha3": "JEY",
                "country_calling_code": "44", "national_number": "1534456789",
            })
        );
        assert_eq!(
            of("+390669812345")["national_number"],
            json!("0669812345"),
            "the zero is part of an Italian number"
        );
        assert_eq!(of("+80012345678"), json!({ "country_calling_code": "800", "national_number": "12345678" }));
        assert_eq!(of("12"), json!({}));
    }

    #[test]
    fn unset_members_and_odd_bodies_do_no_harm() {
        let unset = json!({
            "number": "+442070313000", "output_format": null, "country_iso": "",
            "cache_value_days": "", "get_ported_date": null, "supplementary_live_status": [],
        });
        let result = lookup_phone(&unset, false)["result"].take();
        assert_eq!(result["phone_type"], "Landline");
        assert_eq!(result.get("ported_date"), None);
        assert_eq!(result.get("disposable_number"), None);
        for body in [json!(null), json!([]), json!({}), json!({ "number": 7 })] {
            let result = lookup_phone(&body, false)["result"].take();
            assert_eq!(result["phone_type"], "Bad format");
        }
    }

    #[test]
    fn every_numbering_plan_has_its_iso_codes() {
        for plan in DATABASE.iter().filter(|plan| plan.id() != "001") {
            let (alpha3, _) = territories().find(|(_, id)| *id == plan.id()).unwrap();
            let id = territory_of_iso(&alpha3.to_ascii_lowercase()).unwrap();
            assert_eq!(id.as_ref(), plan.id());
            assert_eq!(territory_of_iso(plan.id()), Some(id));
        }
        assert_eq!(territory_of_iso(""), None);
        assert_eq!(territory_of_iso("é1"), None);
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let alphabet: Vec<char> = "00112233445566778899++-. ()/x*#,;=tel:ext\u{663}\u{FF13}é\u{1F4A9}\0"
            .chars()
            .chain(";phone-context=+;isub=".chars())
            .collect();
        let countries: Vec<&str> = territories().map(|(alpha3, _)| alpha3).collect();
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        for _ in 0..3000 {
            let number: String = (0..random(40)).map(|_| alphabet[random(alphabet.len())]).collect();
            let (_, phone_type) = judged(&number, countries[random(countries.len())]);
            assert_ne!(phone_type, "Unknown", "the parser panicked on {number:?}");
        }
        for number in ["9".repeat(250), "9".repeat(100_000), "+-".repeat(100_000)] {
            assert_eq!(judged(&number, "GB").1, "Bad format");
        }
    }

    #[test]
    fn addresses_are_judged_by_their_syntax_alone() {
        for (email, confidence, domain) in [
            ("someone@Example.COM", "Unknown", "example.com"),
            ("a.b+c@mail.example.co.uk", "Unknown", "mail.example.co.uk"),
            ("jörg@münchen.example", "Unknown", "münchen.example"),
            ("", "Bad format", ""),
            ("someone", "Bad format", ""),
            ("@example.com", "Bad format", ""),
            ("someone@", "Bad format", ""),
            ("someone@localhost", "Bad format", ""),
            ("someone@10.0.0.1", "Bad format", ""),
            ("some one@example.com", "Bad format", ""),
            ("a..b@example.com", "Bad format", ""),
            ("a@b@example.com", "Bad format", ""),
            ("someone@-example.com", "Bad format", ""),
            ("someone@example.com.", "Bad format", ""),
        ] {
            let expected = json!({ "email": email, "confidence": confidence, "domain": domain });
            let answer = lookup_email(&json!({ "email": email }));
            assert_eq!(answer["result"], expected);
        }
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(email_domain(&long), None);
    }

    #[test]
    fn only_the_lookups_are_found_and_only_json_objects_are_read() {
        let body = br#"{"number":"+442070313000"}"#;
        for (method, path, body, status) in [
            (Method::POST, "/phone/validate/v2", body.as_slice(), 200),
            (Method::POST, "/phone/validation/v2", body, 200),
            (Method::POST, "/email/validate/v2", br#"{"email":"a@b.c"}"#, 200),
            (Method::GET, "/phone/validate/v2", b"", 404),
            (Method::POST, "/phone/validate/v2/", body, 404),
            (Method::POST, "/", b"", 404),
            (Method::POST, "/phone/validate/v2", b"", 400),
            (Method::POST, "/phone/validate/v2", b"[]", 400),
            (Method::POST, "/email/validate/v2", b"\xff", 400),
        ] {
            let resp = route(&method, path, false, body);
            assert_eq!(resp.status(), status, "{method} {path}");
            assert!(serde_json::from_slice::<Value>(resp.body()).unwrap().is_object());
            let length = resp.body().len().to_string();
            assert_eq!(resp.headers()[header::CONTENT_LENGTH], *length);
        }
    }
}
