//! Identifiers: a type of its own for each thing that could be confused with another.
//!
//! GUIDs are accepted in any case and kept as 128 bits. So comparison ignores case (spec 2.1), and responses always
//! have the lower-case hyphenated form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The text is not a GUID in the hyphenated 8-4-4-4-12 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID of the form 8-4-4-4-12")]
pub struct ParseGuidError;

/// Parses the hyphenated form only. `Uuid` would also accept braces, URNs and bare digits.
fn parse_guid(text: &str) -> Result<Uuid, ParseGuidError> {
    if text.len() != 36 || text.as_bytes()[8] != b'-' {
        return Err(ParseGuidError);
    }
    Uuid::try_parse(text).map_err(|_| ParseGuidError)
}

macro_rules! guid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an identifier that was generated elsewhere.
            pub const fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// Returns the 128 bits.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// Returns the sixteen bytes that the database stores.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Creates an identifier from the sixteen bytes that the database stores.
            pub const fn from_bytes(bytes: [u8; 16]) -> $name {
                $name(Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = ParseGuidError;

            /// Parses a hyphenated GUID in any case.
            ///
            /// # Errors
            /// [`ParseGuidError`] for any other text.
            fn from_str(text: &str) -> Result<$name, ParseGuidError> {
                parse_guid(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                crate::json::from_text(deserializer)
            }
        }
    };
}

guid! {
    /// The id of a referral. Source: spec 2.1.
    ReferralId
}
guid! {
    /// The id of an engagement, which groups the referrals of one deal. Source: spec 1.3.
    EngagementId
}
guid! {
    /// The idempotency key that a client sends as `request-id`. Source: spec 4.3.
    ClientRequestId
}

/// The id of an organization: a GUID, or `msft` for Microsoft. Source: spec 1.3.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(Repr);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Microsoft,
    Guid(Uuid),
}

/// The text is not an organization id: neither a GUID nor `msft`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an organization id is a GUID or `msft`")]
pub struct ParseOrganizationIdError;

impl OrganizationId {
    /// The id of Microsoft's organization in the contract.
    pub const MICROSOFT: OrganizationId = OrganizationId(Repr::Microsoft);

    /// Returns whether this is `msft`.
    pub fn is_microsoft(&self) -> bool {
        self.0 == Repr::Microsoft
    }

    /// Returns the bytes that the database stores: sixteen for a GUID, four for `msft`.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Microsoft => b"msft",
            Repr::Guid(uuid) => uuid.as_bytes(),
        }
    }

    /// Creates an id from the bytes that the database stores; `None` for bytes that [`Self::as_bytes`] does not
    /// produce.
    pub fn from_bytes(bytes: &[u8]) -> Option<OrganizationId> {
        match bytes {
            b"msft" => Some(Self::MICROSOFT),
            _ => Uuid::from_slice(bytes).ok().map(|uuid| OrganizationId(Repr::Guid(uuid))),
        }
    }
}

impl FromStr for OrganizationId {
    type Err = ParseOrganizationIdError;

    /// Parses a GUID or `msft`, in any case.
    ///
    /// # Errors
    /// [`ParseOrganizationIdError`] for any other text.
    fn from_str(text: &str) -> Result<OrganizationId, ParseOrganizationIdError> {
        if text.eq_ignore_ascii_case("msft") {
            return Ok(Self::MICROSOFT);
        }
        parse_guid(text).map(|uuid| OrganizationId(Repr::Guid(uuid))).map_err(|_| ParseOrganizationIdError)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Microsoft => f.write_str("msft"),
            Repr::Guid(uuid) => uuid.as_hyphenated().fmt(f),
        }
    }
}

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for OrganizationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OrganizationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OrganizationId, D::Error> {
        crate::json::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_in_any_case_and_written_in_lower_case() {
        let id: ReferralId = "C5FBB3B6-BE74-4795-9FB5-4324C73FED37".parse().unwrap();
        assert_eq!(id.to_string(), "c5fbb3b6-be74-4795-9fb5-4324c73fed37");
        assert_eq!(ReferralId::from_bytes(*id.as_bytes()), id);
    }

    #[test]
    fn only_the_hyphenated_form_is_a_guid() {
        for text in [
            "",
            "c5fbb3b6be7447959fb54324c73fed37",
            "{c5fbb3b6-be74-4795-9fb5-4324c73fed37}",
            "urn:uuid:c5fbb3b6-be74-4795-9fb5-4324c73fed37",
            "c5fbb3b6-be74-4795-9fb5-4324c73fed3g",
            "c5fbb3b6-be74-4795-9fb5-4324c73fed3",
            "c5fbb3b-6be74-4795-9fb5-4324c73fed37",
        ] {
            assert_eq!(text.parse::<ReferralId>(), Err(ParseGuidError), "{text}");
        }
    }

    #[test]
    fn an_organization_is_a_guid_or_msft_and_survives_its_stored_bytes() {
        for text in ["msft", "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d"] {
            let organization: OrganizationId = text.parse().unwrap();
            assert_eq!(organization.to_string(), text);
            assert_eq!(OrganizationId::from_bytes(organization.as_bytes()), Some(organization));
        }
        assert_eq!("MSFT".parse(), Ok(OrganizationId::MICROSOFT));
        assert!("contoso".parse::<OrganizationId>().is_err());
        assert_eq!(OrganizationId::from_bytes(b"short"), None);
    }
}
