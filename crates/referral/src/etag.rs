//! The entity tag: its form, and the lenient comparison of `If-Match`. Source: spec 4.4.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::ids::ParseGuidError;
use crate::timestamp::Timestamp;

/// A referral's entity tag, 8-4-4-4-12 hexadecimal digits between double quotes.
///
/// The quotes belong to the value: the JSON member `eTag` is a string that begins and ends with `"`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag(Uuid);

impl ETag {
    /// Returns the ETag of one version of a referral.
    ///
    /// The first group is the version counter, so two versions of one referral never share an ETag. The first eight
    /// digits of the last group are the Unix seconds of the write, as in captured responses.
    pub fn of_version(version: u64, updated: Timestamp) -> ETag {
        let counter = version as u32; // wraps after 2^32 versions of one referral
        let seconds = updated.unix_seconds() as u32; // wraps in 2106, like the original's eight digits
        let bits = (u128::from(counter) << 96) | (u128::from(seconds) << 16);
        ETag(Uuid::from_u128(bits))
    }

    /// Returns the version counter in the first group. The next ETag counts on from it.
    pub fn counter(&self) -> u32 {
        (self.0.as_u128() >> 96) as u32
    }

    /// Returns the sixteen bytes that the database stores.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Creates an ETag from the sixteen bytes that the database stores.
    pub const fn from_bytes(bytes: [u8; 16]) -> ETag {
        ETag(Uuid::from_bytes(bytes))
    }
}

impl FromStr for ETag {
    type Err = ParseGuidError;

    /// Parses the quoted form, as in `eTag` members.
    ///
    /// # Errors
    /// [`ParseGuidError`] without the quotes, or without a GUID between them.
    fn from_str(text: &str) -> Result<ETag, ParseGuidError> {
        let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(ParseGuidError)?;
        if inner.len() != 36 {
            return Err(ParseGuidError);
        }
        Uuid::try_parse(inner).map(ETag).map_err(|_| ParseGuidError)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.as_hyphenated())
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ETag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ETag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ETag, D::Error> {
        crate::json::from_text(deserializer)
    }
}

/// The value of `If-Match` or `If-None-Match`: the versions that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// `*`: any version of an existing referral.
    Any,
    /// A list of ETags. Entries that are not ETags match nothing and are left out.
    OneOf(Vec<ETag>),
}

impl Precondition {
    /// Parses a header value: `*`, or a comma-separated list of ETags, each with or without `W/` and quotes.
    pub fn parse(header: &str) -> Precondition {
        if header.trim() == "*" {
            return Precondition::Any;
        }
        let mut quoted = false;
        let members = header.split(move |c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let tags = members.filter_map(|member| {
            let member = member.trim();
            let member = member.strip_prefix("W/").or_else(|| member.strip_prefix("w/")).unwrap_or(member);
            let member = member.strip_prefix('"').unwrap_or(member);
            let member = member.strip_suffix('"').unwrap_or(member);
            if member.len() == 36 { Uuid::try_parse(member).ok().map(ETag) } else { None }
        });
        Precondition::OneOf(tags.collect())
    }

    /// Returns whether the stored ETag matches.
    pub fn holds_for(&self, stored: &ETag) -> bool {
        match self {
            Precondition::Any => true,
            Precondition::OneOf(tags) => tags.contains(stored),
        }
    }
}

/// A precondition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedPrecondition {
    /// `If-Match`
    IfMatch,
    /// `If-None-Match`
    IfNoneMatch,
}

/// The preconditions of a change. Source: RFC 9110, 13.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`: the stored version must be one of these.
    pub if_match: Option<Precondition>,
    /// `If-None-Match`: the stored version must not be one of these.
    pub if_none_match: Option<Precondition>,
}

impl Preconditions {
    /// Returns the first precondition that fails for the version with this ETag; `None` if it may be changed.
    pub fn failed_for(&self, stored: &ETag) -> Option<FailedPrecondition> {
        if self.if_match.as_ref().is_some_and(|tags| !tags.holds_for(stored)) {
            return Some(FailedPrecondition::IfMatch);
        }
        let excludes = |tags: &Precondition| tags.holds_for(stored);
        self.if_none_match.as_ref().is_some_and(excludes).then_some(FailedPrecondition::IfNoneMatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\"2500ec5a-0000-0000-0000-5bf4967d0000\"";

    #[test]
    fn a_precondition_is_read_leniently() {
        // REF-161 REF-162 REF-163 (the comparison itself; the routes test the header)
        let stored: ETag = PAGE.parse().unwrap();
        for (header, holds) in [
            (PAGE, true),
            ("2500ec5a-0000-0000-0000-5bf4967d0000", true),
            ("2500EC5A-0000-0000-0000-5BF4967D0000", true),
            ("W/\"2500ec5a-0000-0000-0000-5bf4967d0000\"", true),
            (" \"00000000-0000-0000-0000-000000000000\" , \"2500ec5a-0000-0000-0000-5bf4967d0000\"", true),
            ("*", true),
            (" * ", true),
            ("", false),
            ("\"\"", false),
            ("\"2500ec5a-0000-0000-0000-5bf4967d0001\"", false),
            ("2500ec5a0000000000005bf4967d0000", false),
            ("\"*\"", false),
            ("\"x,2500ec5a-0000-0000-0000-5bf4967d0000\"", false),
        ] {
            assert_eq!(Precondition::parse(header).holds_for(&stored), holds, "{header}");
        }
    }

    #[test]
    fn a_tag_carries_its_version_and_its_second() {
        let updated: Timestamp = "2019-02-24T10:00:00.5Z".parse().unwrap();
        let tag = ETag::of_version(0x6d10, updated);
        assert_eq!(tag.to_string(), "\"00006d10-0000-0000-0000-5c726b200000\"");
        assert_eq!(tag.counter(), 0x6d10);
        assert_eq!(ETag::from_bytes(*tag.as_bytes()), tag);
        assert_ne!(tag, ETag::of_version(0x6d11, updated));
    }

    #[test]
    fn the_quotes_belong_to_the_value() {
        let tag: ETag = PAGE.parse().unwrap();
        assert_eq!(serde_json::to_string(&tag).unwrap(), r#""\"2500ec5a-0000-0000-0000-5bf4967d0000\"""#);
        assert_eq!("2500ec5a-0000-0000-0000-5bf4967d0000".parse::<ETag>(), Err(ParseGuidError));
    }
}
