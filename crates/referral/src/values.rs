//! The enumerations of the contract. Source: spec 6.
//!
//! Responses use the exact spelling below; requests match in any case (spec 5.1).

use std::fmt;

/// An enumeration: its name in the contract and its values in order.
#[derive(Debug)]
pub struct Enumeration {
    /// The name in the reference tables, such as `ReferralStatus`.
    pub name: &'static str,
    /// All values, in the order of the reference.
    pub spellings: &'static [&'static str],
}

impl Enumeration {
    /// Returns the documented spelling of a text in any case.
    pub fn spelling(&self, text: &str) -> Option<&'static str> {
        self.spellings.iter().copied().find(|spelling| spelling.eq_ignore_ascii_case(text))
    }
}

macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs)]
        pub enum $name {
            $($value),+
        }

        impl $name {
            /// All values, in the order of the reference.
            pub const ALL: &'static [$name] = &[$($name::$value),+];
            /// The enumeration, for the property table.
            pub const TABLE: Enumeration =
                Enumeration { name: stringify!($name), spellings: &[$(stringify!($value)),+] };

            /// Returns the contract's spelling.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => stringify!($value)),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseEnumError;

            /// Parses a value in any case.
            ///
            /// # Errors
            /// [`ParseEnumError`] for any other text.
            fn from_str(text: &str) -> Result<$name, ParseEnumError> {
                $name::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str().eq_ignore_ascii_case(text))
                    .ok_or(ParseEnumError($name::TABLE.name))
            }
        }

        impl crate::diff::FieldValue for $name {
            fn write(&self, out: &mut Vec<u8>) {
                crate::diff::write_plain(self.as_str(), out);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The text is not a value of the enumeration named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of {0}")]
pub struct ParseEnumError(pub &'static str);

enumeration! {
    /// The status of a referral. `None` is never stored. Source: spec 6.1.
    ReferralStatus { None, New, Active, Closed }
}
enumeration! {
    /// The substatus of a referral. `None` is never stored. Source: spec 6.2.
    ReferralSubstatus { None, Pending, Received, Accepted, Won, Lost, Declined, Expired, Error }
}
enumeration! {
    /// Visible to one partner or to two cooperating parties. Source: spec 6.3.
    ReferralType { Independent, Shared }
}
enumeration! {
    /// The qualification of a referral. Source: spec 6.4.
    ReferralQualification { None, Direct, MarketingQualified, SalesQualified }
}
enumeration! {
    /// The direction, as the owner sees it. Source: spec 6.5.
    ReferralDirection { Incoming, Outgoing }
}
enumeration! {
    /// The kind of id that a solution has. Source: spec 6.6.
    SolutionType { None, Category, Name }
}
enumeration! {
    /// The kind of id that a target has. Source: spec 6.6.
    TargetType { None, BusinessProfileLocation, SolutionProfile }
}
enumeration! {
    /// The registry that a customer profile id belongs to. Source: spec 6.6.
    CustomerProfileIdType { Duns, External }
}
enumeration! {
    /// The kind of help that an invitation asks for. Source: spec 6.8.
    AssistanceRequestCode {
        Unknown, GeneralOrOther, CustomerTechnicalArchitecture, ProofOfConceptOrDemo, QuotesOrLicensing,
        PostSalesCustomerSuccess, WorkloadSpecificValueProposition,
    }
}
enumeration! {
    /// The state of a deal registration. Source: spec 6.10.
    RegistrationStatus { None, ReviewPending, ActionRequired, Approved, Passed, Failed, Closed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_in_any_case_and_shown_in_the_documented_spelling() {
        // REF-118
        for &value in ReferralSubstatus::ALL {
            assert_eq!(value.as_str().to_uppercase().parse(), Ok(value));
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{value}\""));
        }
        // REF-142: a value that a client made up.
        assert!("Engaged".parse::<ReferralSubstatus>().is_err());
    }
}
