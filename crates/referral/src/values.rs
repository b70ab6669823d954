//! The closed lists of the contract. Source: spec 6.
//!
//! Answers use the exact spelling below; requests match in any case (spec 5.1).

use std::fmt;

/// A closed list: its contract name and its spellings in order.
#[derive(Debug)]
pub struct Enumeration {
    /// The name in the reference tables, such as `ReferralStatus`.
    pub name: &'static str,
    /// Every spelling, in the order of the reference.
    pub spellings: &'static [&'static str],
}

impl Enumeration {
    /// The documented spelling of a text in any case.
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
            /// Every value, in the order of the reference.
            pub const ALL: &'static [$name] = &[$($name::$value),+];
            /// The list as the property table names it.
            pub const TABLE: Enumeration =
                Enumeration { name: stringify!($name), spellings: &[$(stringify!($value)),+] };

            /// The contract's spelling.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => stringify!($value)),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseEnumError;

            /// Reads a spelling in any case.
            ///
            /// # Errors
            /// Any other text is [`ParseEnumError`].
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

/// The text is not in the list named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a value of {0}")]
pub struct ParseEnumError(pub &'static str);

enumeration! {
    /// Where a referral stands. `None` is never stored. Source: spec 6.1.
    ReferralStatus { None, New, Active, Closed }
}
enumeration! {
    /// How it stands there. `None` is never stored. Source: spec 6.2.
    ReferralSubstatus { None, Pending, Received, Accepted, Won, Lost, Declined, Expired, Error }
}
enumeration! {
    /// Visible to one partner or to two cooperating parties. Source: spec 6.3.
    ReferralType { Independent, Shared }
}
enumeration! {
    /// Who vouches for the referral. Source: spec 6.4.
    ReferralQualification { None, Direct, MarketingQualified, SalesQualified }
}
enumeration! {
    /// From the owner's view. Source: spec 6.5.
    ReferralDirection { Incoming, Outgoing }
}
enumeration! {
    /// What a solution's id refers to. Source: spec 6.6.
    SolutionType { None, Category, Name }
}
enumeration! {
    /// What a target's id refers to. Source: spec 6.6.
    TargetType { None, BusinessProfileLocation, SolutionProfile }
}
enumeration! {
    /// Whose number a customer profile id is. Source: spec 6.6.
    CustomerProfileIdType { Duns, External }
}
enumeration! {
    /// What help an invitation asks for. Source: spec 6.8.
    AssistanceRequestCode {
        Unknown, GeneralOrOther, CustomerTechnicalArchitecture, ProofOfConceptOrDemo, QuotesOrLicensing,
        PostSalesCustomerSuccess, WorkloadSpecificValueProposition,
    }
}
enumeration! {
    /// State of a deal registration. Source: spec 6.10.
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
        // REF-142: a client's invention.
        assert!("Engaged".parse::<ReferralSubstatus>().is_err());
    }
}
