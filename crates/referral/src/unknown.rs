//! Members of a request that the contract does not have: their paths, and the members that were probably meant.
//!
//! They are ignored, like in the real service (REF-094), or refused if a switch says so. The caller is told in both
//! cases: names only, never values.

use std::fmt;

use crate::edit::RequestOptions;
use crate::error::{InnerCode, ValidationError};
use crate::model::Referral;
use crate::table::{Access, Kind, ObjectType};

/// Maximum number of members that are named; the others are counted.
const NAMED: usize = 8;
/// Maximum length of a path in the text, in characters.
const LONGEST_PATH: usize = 96;
/// Maximum length of the text about all of them, in bytes: it must fit into a header.
const LONGEST_TEXT: usize = 960;
/// Space reserved for `; 1000000 more`, in bytes.
const SPACE_FOR_MORE: usize = 24;
/// Maximum length of a name that a suggestion is searched for, so that the work is bounded.
const LONGEST_NAME: usize = 64;
/// Minimum similarity of a member of the same object, from 0 to 1.
const SIMILAR: f64 = 0.84;
/// Minimum similarity of a member elsewhere in the referral.
const SIMILAR_ELSEWHERE: f64 = 0.9;
/// Similarity of a name that contains the other, such as `emailAddress` and `email`.
const CONTAINS: f64 = 0.95;
/// Minimum length of a contained name. Shorter names are contained in too many others.
const SHORTEST_CONTAINED: usize = 4;

/// The members of one request that the contract does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownMembers {
    named: Vec<UnknownMember>,
    more: usize,
}

/// A member that the contract does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct UnknownMember {
    path: String,
    meant: Option<String>,
}

impl UnknownMembers {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Adds a member of an object. `path` is called only while there is room for it.
    pub(crate) fn add(&mut self, of: &ObjectType, name: &str, path: impl FnOnce() -> String) {
        if self.named.len() == NAMED {
            self.more += 1;
            return;
        }
        self.named.push(UnknownMember { path: cut(&path()), meant: meant(of, name) });
    }

    /// Adds the members inside the value at a path.
    pub(crate) fn add_within(&mut self, path: &str, inner: UnknownMembers) {
        for member in inner.named {
            match self.named.len() {
                NAMED => self.more += 1,
                _ => {
                    self.named.push(UnknownMember { path: cut(&format!("{path}/{}", member.path)), ..member })
                }
            }
        }
        self.more += inner.more;
    }

    /// Returns the error for a request with such members (the switch "reject unknown members", spec 5.1).
    pub(crate) fn refusal(self, target: Option<&str>) -> ValidationError {
        let target =
            target.or(self.named.first().map(|first| first.path.as_str())).unwrap_or("body").to_owned();
        let message = format!("The request has members that a referral does not have: {self}");
        let mut invalid = ValidationError::new(InnerCode::InvalidValue, target, message, self.to_string());
        invalid.unknown = Some(Box::new(self));
        invalid
    }

    /// Completes a validation that found these members: refuses them if the options say so, or adds them to its error.
    pub(crate) fn conclude(
        self,
        outcome: Result<(), ValidationError>,
        options: &RequestOptions,
    ) -> Result<UnknownMembers, ValidationError> {
        match outcome {
            _ if options.reject_unknown && !self.is_empty() => Err(self.refusal(None)),
            Ok(()) => Ok(self),
            Err(invalid) => Err(self.tell_with(invalid)),
        }
    }

    /// Adds these members to an error.
    pub(crate) fn tell_with(self, mut invalid: ValidationError) -> ValidationError {
        if !self.is_empty() && invalid.unknown.is_none() {
            invalid.unknown = Some(Box::new(self));
        }
        invalid
    }
}

/// `customerProfile/team/0/emailAddress: did you mean email?; colour: unknown; 3 more`, up to `LONGEST_TEXT` bytes.
impl fmt::Display for UnknownMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut length = 0;
        for (at, UnknownMember { path, meant }) in self.named.iter().enumerate() {
            let one = match meant {
                Some(meant) => format!("{path}: did you mean {meant}?"),
                None => format!("{path}: unknown"),
            };
            let and = if at == 0 { "" } else { "; " };
            length += one.len() + and.len();
            if length > LONGEST_TEXT - SPACE_FOR_MORE {
                return write!(f, "; {} more", self.named.len() - at + self.more);
            }
            write!(f, "{and}{one}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; {more} more"),
        }
    }
}

/// Returns the first characters of a path.
fn cut(path: &str) -> String {
    match path.char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// Returns the member that was probably meant: by name in the same object, by path in another object.
pub(crate) fn meant(of: &ObjectType, name: &str) -> Option<String> {
    let wanted = folded(name);
    if wanted.is_empty() || name.len() > LONGEST_NAME {
        return None;
    }
    let beside = of.properties.iter().filter(|property| is_the_callers(property.access));
    let beside =
        beside.map(|property| (similarity(&folded(property.name), &wanted), property.name.to_owned()));
    let nearest = |found: &mut dyn Iterator<Item = (f64, String)>, least: f64| {
        // Of equally similar members the first one in the contract's order.
        found.filter(|(similar, _)| *similar >= least).fold(None, |best: Option<(f64, String)>, next| {
            match best {
                Some(best) if best.0 >= next.0 => Some(best),
                _ => Some(next),
            }
        })
    };
    let mut beside = beside;
    let best = nearest(&mut beside, SIMILAR);
    if let Some((similar, name)) = &best
        && *similar >= SIMILAR_ELSEWHERE
    {
        return Some(name.clone());
    }
    let mut paths = Vec::new();
    reachable(&Referral::TYPE, "", &mut paths);
    let mut elsewhere = paths.into_iter().map(|(name, path)| (similarity(&folded(name), &wanted), path));
    nearest(&mut elsewhere, SIMILAR_ELSEWHERE).or(best).map(|(_, name)| name)
}

/// Collects the paths of the members that callers set, in a type and its nested objects, lists excluded.
fn reachable(of: &ObjectType, before: &str, paths: &mut Vec<(&'static str, String)>) {
    for property in of.properties.iter().filter(|property| is_the_callers(property.access)) {
        let path = format!("{before}{}", property.name);
        if let Kind::Object(inner) = property.kind {
            reachable(inner, &format!("{path}/"), paths);
        }
        paths.push((property.name, path));
    }
}

fn is_the_callers(access: Access) -> bool {
    !matches!(access, Access::Server | Access::Derived)
}

/// Returns a name without case, hyphens and underscores.
fn folded(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Returns the similarity of two folded names, up to 1 for equal names.
fn similarity(one: &str, other: &str) -> f64 {
    let (shorter, longer) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let contains =
        shorter.len() >= SHORTEST_CONTAINED && (longer.starts_with(shorter) || longer.ends_with(shorter));
    let similar = strsim::jaro_winkler(one, other);
    if contains { similar.max(CONTAINS) } else { similar }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Member, ReferralDetails};

    #[test]
    fn the_member_that_was_meant_is_found_by_its_name() {
        let referral = &Referral::TYPE;
        for (of, sent, expected) in [
            (&Member::TYPE, "emailAddress", Some("email")),
            (&Member::TYPE, "EMAILADDRESS", Some("email")),
            (&Member::TYPE, "e-mail", Some("email")),
            (&Member::TYPE, "emal", Some("email")),
            (&Member::TYPE, "first_name", Some("firstName")),
            (&Member::TYPE, "fistName", Some("firstName")),
            (&Member::TYPE, "phone", Some("phoneNumber")),
            (&Member::TYPE, "telephone", None),
            (&ReferralDetails::TYPE, "closeDate", Some("closingDateTime")),
            (&ReferralDetails::TYPE, "closingDate", Some("closingDateTime")),
            (&ReferralDetails::TYPE, "dealvalues", Some("dealValue")),
            (&ReferralDetails::TYPE, "dealVlaue", Some("dealValue")),
            (&ReferralDetails::TYPE, "note", Some("notes")),
            (&ReferralDetails::TYPE, "colour", None),
            // Names that the contract itself confuses (spec 5.4).
            (referral, "referralType", Some("type")),
            (referral, "typ", Some("type")),
            // Members of another object.
            (referral, "dealValue", Some("details/dealValue")),
            (referral, "deal_value", Some("details/dealValue")),
            (referral, "industry", Some("details/requirements/industries")),
            (referral, "country", Some("customerProfile/address/country")),
            (referral, "x", None),
            (referral, "", None),
            (referral, "zzzzzz", None),
            (referral, &"d".repeat(65), None),
        ] {
            assert_eq!(meant(of, sent).as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn the_text_is_bounded() {
        for letter in ["x", "ß"] {
            let mut unknown = UnknownMembers::default();
            for at in 0..100 {
                let name = format!("emailAddress{}", letter.repeat(at * 100));
                unknown.add(&Member::TYPE, &name, || format!("team/{at}/{name}"));
            }
            let text = unknown.to_string();
            assert!(text.len() <= LONGEST_TEXT, "{}", text.len());
            assert!(
                text.starts_with("team/0/emailAddress: did you mean email?; team/1/emailAddress"),
                "{text}"
            );
            assert!(text.ends_with(" more"), "{text}");
        }
    }

    #[test]
    fn the_names_of_all_members_fit_where_they_are_few() {
        let mut unknown = UnknownMembers::default();
        for name in ["one", "two", "emal"] {
            unknown.add(&Member::TYPE, name, || name.to_owned());
        }
        let mut outer = UnknownMembers::default();
        outer.add_within("customerProfile/team/-", unknown);
        let text = "customerProfile/team/-/one: unknown; customerProfile/team/-/two: unknown; \
                    customerProfile/team/-/emal: did you mean email?";
        assert_eq!(outer.to_string(), text);
    }
}
