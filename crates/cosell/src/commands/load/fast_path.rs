//! The short way through a line. What is plainly within every rule of the contract needs no closer look; whatever is
//! not gets the whole check of `referral`, whose word counts. This way is five times as fast.

use referral::{Member, Referral};

/// No text has a smaller limit than this, but for e-mails, phones and lists of letters, which are looked at below.
const SHORTEST_LIMIT: usize = 256;
/// `referral` limits lists, the shortest to 50.
const SHORT_LIST: usize = 20;
const LONGEST_PHONE: usize = 64;

/// Whether a line and the referral read from it are plainly legal. `false` says nothing.
pub fn is_certainly_valid(line: &[u8], referral: &Referral) -> bool {
    has_only_short_texts(line)
        && is_short(&referral.target)
        && is_short(&referral.customer_profile.ids)
        && has_plain_letters(referral)
        && has_full_texts(referral)
        && is_short(&referral.team)
        && is_short(&referral.customer_profile.team)
        && referral.team.iter().chain(&referral.customer_profile.team).all(is_plain_person)
}

/// No text is longer than the shortest limit, and none holds a control character, written out or not.
fn has_only_short_texts(line: &[u8]) -> bool {
    let mut at = 0;
    while let Some(begin) = position(line, at, b'"') {
        let mut end = begin + 1;
        loop {
            match line.get(end) {
                Some(b'"') => break,
                Some(b'\\') if line[end..].starts_with(b"\\u") => return false,
                Some(b'\\') => end += 2,
                Some(0..0x20) | None => return false,
                Some(_) => end += 1,
            }
        }
        if end - begin > SHORTEST_LIMIT {
            return false;
        }
        at = end + 1;
    }
    true
}

fn position(line: &[u8], from: usize, wanted: u8) -> Option<usize> {
    line.get(from..)?.iter().position(|&byte| byte == wanted).map(|at| from + at)
}

fn is_short<T>(list: &[T]) -> bool {
    list.len() <= SHORT_LIST
}

/// Countries, currencies and digits in their normal form.
fn has_plain_letters(referral: &Referral) -> bool {
    let letters = |text: &Option<String>, count: usize| {
        text.as_ref()
            .is_none_or(|text| text.len() == count && text.bytes().all(|byte| byte.is_ascii_uppercase()))
    };
    let digits = |text: &String| {
        !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let stage = |text: &String| matches!(text.as_str(), "10" | "20" | "40" | "60" | "80" | "100");
    letters(&referral.customer_profile.address.country, 2)
        && letters(&referral.details.currency, 3)
        && referral.details.requirements.solutions.iter().all(|solution| letters(&solution.currency, 3))
        && referral.mpn_id.as_ref().is_none_or(digits)
        && referral.sales_stage.as_ref().is_none_or(stage)
}

/// Texts that must not be empty, in lists that are not long.
fn has_full_texts(referral: &Referral) -> bool {
    let requirements = &referral.details.requirements;
    let tags = [&requirements.industries, &requirements.products, &requirements.services];
    let attributes = &requirements.additional_requirements.attributes;
    is_short(attributes)
        && is_short(&requirements.solutions)
        && tags.iter().all(|tags| is_short(tags) && tags.iter().all(|tag| !tag.id.is_empty()))
        && requirements.solutions.iter().all(|solution| !solution.id.is_empty())
        && attributes.iter().all(|attribute| !attribute.attribute_type.is_empty() && !attribute.id.is_empty())
        && referral.target.iter().all(|target| !target.id.is_empty())
        && referral.customer_profile.ids.iter().all(|id| !id.id.is_empty())
        && !referral.customer_profile.name.is_empty()
}

fn is_plain_person(person: &Member) -> bool {
    let email = |text: &String| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
        text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && !domain.is_empty() && name.bytes().chain(domain.bytes()).all(inside)
        })
    };
    person.email.as_ref().is_none_or(email)
        && person.phone_number.as_ref().is_none_or(|phone| phone.len() <= LONGEST_PHONE)
}

#[cfg(test)]
mod tests {
    use referral::{EditRequest, RequestOptions};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn lead() -> Value {
        let answer = include_str!("../../../../../docs/examples/get-by-id.response.full.json");
        serde_json::from_str(answer).unwrap()
    }

    /// Whether it takes the short way; what does must pass the whole check too.
    fn check(value: &Value) -> bool {
        let referral = Referral::deserialize(value).unwrap();
        let plain = is_certainly_valid(value.to_string().as_bytes(), &referral);
        let request_options = RequestOptions { ignore_links: true, ..RequestOptions::default() };
        let whole = EditRequest::put(value, referral.id, &request_options);
        assert!(!plain || whole.is_ok(), "{whole:?}: {value}");
        plain
    }

    #[test]
    fn a_usual_referral_takes_the_short_way() {
        assert!(check(&lead()));
    }

    #[test]
    fn whatever_a_rule_speaks_of_takes_the_long_way() {
        let long = "x".repeat(257);
        let many = vec![json!({ "type": "SolutionProfile", "id": "1" }); 51];
        let person = |member: &str, value: Value| {
            let mut person = json!({ "email": "a@b.example" });
            person[member] = value;
            json!([person])
        };
        for (pointer, value) in [
            ("/name", json!(long)),
            ("/details/notes", json!(long)),
            ("/name", json!("a\u{0}b")),
            ("/name", json!("a\tb\u{1}")),
            ("/statusReason", json!("é".repeat(200))),
            ("/details/currency", json!("usd")),
            ("/details/currency", json!("EURO")),
            ("/customerProfile/address/country", json!("USA")),
            ("/customerProfile/address/country", json!("us")),
            ("/customerProfile/name", json!("")),
            ("/customerProfile/ids", json!([{ "profileType": "Duns", "id": "" }])),
            ("/mpnId", json!("12a")),
            ("/mpnId", json!("")),
            ("/salesStage", json!("101")),
            ("/salesStage", json!("Propose")),
            ("/target", json!(many)),
            ("/target/0/id", json!("")),
            ("/team", person("email", json!("nobody"))),
            ("/team", person("email", json!("a@b@c"))),
            ("/team", person("email", json!("@b"))),
            ("/team", person("email", json!(""))),
            ("/customerProfile/team", person("phoneNumber", json!("5".repeat(65)))),
            ("/details/requirements/industries/0/id", json!("")),
            ("/details/requirements/solutions/0/id", json!("")),
            ("/details/requirements/solutions/0/currency", json!("e")),
            ("/details/requirements/additionalRequirements/attributes", json!([{ "type": "", "id": "1" }])),
        ] {
            let mut changed = lead();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(!check(&changed), "{pointer}");
        }
    }
}
