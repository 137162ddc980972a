//! The demo's parsing of phone numbers: validity, type and formats from the numbering plans in the
//! `phonenumber` crate.
//!
//! It knows nothing about HTTP or the format of answers (`backend.rs`), and uses no network.

use phonenumber::country;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Mode, PhoneNumber, Type};
use serde_json::{Map, Value};
use std::fmt::Write;

/// The longest text that is parsed as a number, in bytes. It is the limit of the original
/// libphonenumber, which the crate leaves out; nothing longer can be a number.
const NUMBER_BYTES_MAX: usize = 250;

/// A valid number, with its numbering plan.
pub struct ParsedNumber {
    number: PhoneNumber,
    plan: &'static Metadata,
    pub phone_type: &'static str,
}

impl ParsedNumber {
    /// The number in a format.
    pub fn written(&self, mode: Mode) -> String {
        let mut text = String::new();
        // `to_string` would panic if the formatter reports an error.
        match write!(text, "{}", self.number.format().mode(mode)) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }

    /// Country and prefix.
    pub fn metadata(&self) -> Value {
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
/// The result of the crate's parser is only one candidate: it may remove a national prefix twice
/// (+7 800 …, +370 800 …) or a calling code that is part of the number, and its validity test
/// ignores leading zeros (+39 06 …) and accepts surplus digits. So other readings are tried as
/// well, and the patterns of the numbering plans decide.
pub fn read_number(text: &str, region: Option<country::Id>) -> Option<ParsedNumber> {
    let text = plain_text(text)?;
    readings(&text, region).into_iter().find_map(|number| {
        let national = number.national().to_string();
        let plan = plan_of(number.code().value(), &national)?;
        let phone_type = phone_type_of(plan, &national)?;
        Some(ParsedNumber { number, plan, phone_type })
    })
}

/// The candidates for a text: the crate's reading first, then the digits as they were sent.
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

/// The text in characters that the crate parses correctly: digits of other scripts become ASCII,
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
    // The space at the end prevents the crate from reading it as a link, in which all digits up to
    // the first dash would be the calling code ("+4420-…").
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

/// Candidates for the national number: all digits, without the national prefix, and without the
/// calling code. None for a text with letters: those may stand for digits or an extension.
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
            // `is_match` checks the lengths but accepts a match of the first digits only. With
            // `find`, a pattern with a shorter branch first may hide its longer one; that refuses a
            // few numbers of Myanmar, which is better than accepting surplus digits.
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

/// The region of an ISO 3166 code of two or three letters in any case.
pub fn territory_of_iso(iso: &str) -> Option<country::Id> {
    let iso = iso.to_ascii_uppercase();
    let (_, alpha2) = territories().find(|(alpha3, alpha2)| *alpha3 == iso || *alpha2 == iso)?;
    alpha2.parse().ok()
}

/// Every territory with a numbering plan: its ISO 3166 alpha-3 and alpha-2 code. Ascension,
/// Tristan da Cunha and Kosovo have no assigned alpha-3; theirs are the reserved or common ones.
pub fn territories() -> impl Iterator<Item = (&'static str, &'static str)> {
    TERRITORIES.split(' ').filter_map(|entry| entry.split_at_checked(3))
}

/// Alpha-3 and alpha-2 of each territory in one word. It is one text, since the table is only
/// scanned and a line for each entry would be long.
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
