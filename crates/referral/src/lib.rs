//! The referral resource exactly as the contract writes it, and its rules.
//!
//! Pure: no clock, no randomness, no I/O. Times and identifiers are arguments. The facts of the contract are in
//! `docs/referrals-api.md`; comments name its sections.

mod etag;
mod ids;
mod standing;
mod timestamp;
mod values;

pub use etag::{ETag, Precondition};
pub use ids::{ClientRequestId, EngagementId, NotAGuid, NotAnOrganization, OrganizationId, ReferralId};
pub use standing::{ClosedSubstatus, NewSubstatus, Standing, StandingError};
pub use timestamp::{NotATimestamp, Timestamp};
pub use values::{
    AssistanceRequestCode, CustomerProfileIdType, Enumeration, ReferralDirection, ReferralQualification,
    ReferralStatus, ReferralSubstatus, ReferralType, RegistrationStatus, SolutionType, TargetType, UnknownValue,
};
