//! Makes the dictionary that documents are compressed with: `cargo run --release -p store --example train_dictionary`
//! writes `crates/store/src/dictionary_1.bin`, the same at every call.
//!
//! It is trained on documents made from the property table alone, with values by their kinds and from the published
//! lists (spec 6), and on notes as people write them (`dictionary/prose.txt`): nothing that a benchmark stores is in it. A dictionary that rows were
//! written with is never changed, but followed by another (`compression.rs`).

use std::fs;
use std::path::Path;

use referral::{ETag, Kind, ObjectType, PropertyDefinition, Referral, Timestamp};
use serde_json::Value as Json;

const DOCUMENTS: usize = 6000;
const BYTES: usize = 32 * 1024;
/// The prose is taken so many times, so that the words of a language count beside the members of a type.
const PROSE_TIMES: usize = 10;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut maker = Maker::of(&root.join("docs"));
    let mut samples: Vec<Vec<u8>> = (0..DOCUMENTS).map(|_| maker.document().into_bytes()).collect();
    for _ in 0..PROSE_TIMES {
        samples.extend(maker.prose.iter().map(|text| text.clone().into_bytes()));
    }
    let dictionary = zstd::dict::from_samples(&samples, BYTES).expect("the samples are many");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dictionary_1.bin");
    fs::write(path, dictionary).expect("the dictionary can be written");
}

/// Makes documents.
struct Maker {
    random: u64,
    prose: Vec<String>,
    words: Vec<String>,
    lists: Vec<(&'static str, Vec<String>)>,
}

/// Members whose values are not of their kind alone; a value in brackets is of a list.
const USUAL: &[(&str, &[&str])] = &[
    ("quality", &["Unknown"]),
    ("dealSensitivity", &["None"]),
    ("locale", &["en-us", "en-US", "en-GB", "de-DE", "fr-FR", "es-ES", "pt-BR", "ja-JP", "pl-PL", "it-IT"]),
    ("country", &["US", "GB", "DE", "FR", "IN", "JP", "BR", "CA", "AU", "ES", "IT", "NL", "PL", "SE", "MX"]),
    ("currency", &["USD", "EUR", "GBP", "INR", "JPY", "BRL", "CAD", "AUD", "PLN", "SEK", "CHF"]),
    ("salesStage", &["10", "20", "40", "60", "80", "100"]),
    ("size", &["[customer-sizes]"]),
    ("industries", &["[industries]"]),
    ("products", &["[products]"]),
    ("services", &["[services]"]),
    ("solutions", &["[solutions]"]),
    ("statusReason", &["[close-reasons]", "prose"]),
    ("notes", &["prose"]),
    ("addressLine2", &[""]),
    ("title", &["Account manager", "Head of IT", "Director", "CEO", "CIO", "IT Manager", "Sales Manager"]),
    ("customerMarketplaceIntent", &["Yes", "No", "Have not decided"]),
    ("referralSource", &["AppSource", "Azure Marketplace", "Azure portal"]),
    ("callToAction", &["Get it now", "Free trial", "Test drive", "Contact me"]),
    ("invitedMpnId", &["digits"]),
    ("postalCode", &["digits"]),
    ("externalReferenceId", &["EXT-", "CRM-", "guid"]),
];

impl Maker {
    fn of(docs: &Path) -> Maker {
        let prose = Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionary/prose.txt");
        let prose = fs::read_to_string(prose).expect("the prose is there");
        let prose: Vec<String> = prose.lines().map(str::to_owned).collect();
        let words = prose.iter().flat_map(|text| text.split(' ')).map(str::to_owned);
        let words = words.filter(|word| word.chars().all(char::is_alphabetic) && word.len() > 3).collect();
        let names = ["customer-sizes", "industries", "products", "services", "solutions", "close-reasons"];
        let lists = names.map(|name| {
            let text = fs::read_to_string(docs.join(format!("examples/values.{name}.json")));
            let list: Json = serde_json::from_str(&text.expect("a list is there")).expect("a list is JSON");
            let mut texts = Vec::new();
            collect(&list, &mut texts);
            (name, texts)
        });
        Maker { random: 1, prose, words, lists: lists.into() }
    }

    fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let number = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(number) * limit as u128) >> 64) as usize
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    fn document(&mut self) -> String {
        let mut out = String::new();
        self.object(&Referral::TYPE, "", &mut out);
        out
    }

    fn object(&mut self, of: &ObjectType, within: &str, out: &mut String) {
        out.push('{');
        for property in of.properties {
            let null = property.nullable && self.below(3) > 0;
            if null && property.omitted {
                continue;
            }
            if !out.ends_with('{') {
                out.push(',');
            }
            out.push_str(&format!("\"{}\":", property.name));
            match (null, property.name) {
                (true, _) | (_, "links") => out.push_str("null"),
                _ => self.member(property, within, out),
            }
        }
        out.push('}');
    }

    fn member(&mut self, property: &PropertyDefinition, within: &str, out: &mut String) {
        // A tag's id is of the list that the tag stands in.
        let name = if property.name == "id" && !within.is_empty() { within } else { property.name };
        match &property.kind {
            Kind::Object(of) => self.object(of, property.name, out),
            Kind::List(of) | Kind::ProfileIds(of) => {
                out.push('[');
                let items = [0, 1, 1, 2][self.below(4)];
                let items = if name == "registrations" { self.below(8) / 7 } else { items };
                for item in 0..items {
                    out.push_str(if item > 0 { "," } else { "" });
                    self.object(of, property.name, out);
                }
                out.push(']');
            }
            Kind::Texts | Kind::Unknown => out.push_str("[]"),
            Kind::Amount => out.push_str(&format!("{}", (self.below(900) + 1) * 500)),
            Kind::Boolean | Kind::Flag => out.push_str(self.pick(&["true", "false", "false"])),
            Kind::Enumeration(list) => {
                let value = list.spellings[self.below(list.spellings.len())];
                out.push_str(&format!("\"{value}\""));
            }
            kind => {
                let text = self.text(name, kind);
                out.push_str(&Json::from(text).to_string());
            }
        }
    }

    fn text(&mut self, name: &str, kind: &Kind) -> String {
        let usual = USUAL.iter().find(|(known, _)| *known == name).map(|(_, values)| *values);
        if let Some(values) = usual {
            let value = self.pick(values);
            if let Some(list) = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
                let place = self.lists.iter().position(|(known, _)| *known == list).expect("a known list");
                let item = self.below(self.lists[place].1.len());
                return self.lists[place].1[item].clone();
            }
            return match value {
                "prose" => {
                    let text = self.below(self.prose.len());
                    self.prose[text].clone()
                }
                "digits" => self.digits(7),
                "guid" => self.guid(),
                "EXT-" | "CRM-" => format!("{value}{}", self.digits(8)),
                value => value.to_owned(),
            };
        }
        match kind {
            Kind::Guid => self.guid(),
            Kind::Organization if self.below(4) == 0 => "msft".to_owned(),
            Kind::Organization => self.guid(),
            Kind::ETag => {
                let at = Timestamp::from_unix_seconds(1_600_000_000 + self.below(200_000_000) as i64);
                format!("\"{}\"", ETag::of_version(self.below(9) as u64 + 1, at)).replace("\"\"", "\"")
            }
            Kind::DateTime => {
                let seconds = 1_600_000_000 + self.below(200_000_000) as i64;
                let ticks = self.below(10_000_000) as i64;
                let whole = Timestamp::from_unix_seconds(seconds);
                match name {
                    "closingDateTime" | "expirationDateTime" => whole.midnight_plus_days(14).to_string(),
                    _ => Timestamp::from_ticks(whole.ticks() + ticks).to_string(),
                }
            }
            Kind::Email => {
                let (one, other, at) = (self.word(), self.word(), self.word());
                let end = self.pick(&["com", "com", "org", "net", "de", "co.uk"]);
                format!("{one}.{other}@{at}.{end}").to_lowercase()
            }
            Kind::Phone => format!("+{} {}", self.below(98) + 1, self.digits(9)),
            Kind::Digits => self.digits(7),
            _ => match self.below(2) {
                0 => self.word(),
                _ => format!("{} {}", self.word(), self.word()),
            },
        }
    }

    /// A word with a capital, of letters that are mixed up: names are nobody's.
    fn word(&mut self) -> String {
        let place = self.below(self.words.len());
        let mut letters: Vec<char> = self.words[place].to_lowercase().chars().collect();
        let (one, other) = (self.below(letters.len()), self.below(letters.len()));
        letters.swap(one, other);
        letters[0] = letters[0].to_ascii_uppercase();
        letters.into_iter().collect()
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    fn guid(&mut self) -> String {
        let hex: String =
            (0..32).map(|_| char::from_digit(self.below(16) as u32, 16).unwrap_or('0')).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Every text in JSON.
fn collect(json: &Json, texts: &mut Vec<String>) {
    match json {
        Json::String(text) => texts.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Json::Object(members) => members.values().for_each(|item| collect(item, texts)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
