//! The referral resource exactly as the contract writes it, and its rules.
//!
//! Pure: no clock, no randomness, no I/O. Times and identifiers are arguments. The facts of the contract are in
//! `docs/referrals-api.md`; comments name its sections.

mod amount;
mod check;
mod country;
mod create;
mod diff;
mod document;
mod edit;
mod etag;
mod ids;
mod invalid;
mod json;
mod model;
mod patch;
mod program;
mod search;
mod standing;
mod table;
mod timestamp;
mod unknown;
mod values;
mod view;

pub use amount::{Amount, NotAnAmount};
pub use create::{CreateRequest, Minted, Party};
pub use document::{Damaged, LONGEST_DOCUMENT, PublicBase};
pub use edit::{Dialect, Edit, EditError, EditRequest, Profile, Sent};
pub use etag::{ETag, Precondition, Preconditions};
pub use ids::{ClientRequestId, EngagementId, NotAGuid, NotAnOrganization, OrganizationId, ReferralId};
pub use invalid::{Invalid, Refusal, Rule};
pub use json::{Json, parse_json};
pub use model::*;
pub use patch::PatchRequest;
pub use standing::{ClosedSubstatus, NewSubstatus, Standing, StandingError};
pub use table::{Access, Kind, ObjectType, Property};
pub use timestamp::{NotATimestamp, Timestamp};
pub use unknown::UnknownMembers;
pub use values::{
    AssistanceRequestCode, CustomerProfileIdType, Enumeration, ReferralDirection, ReferralQualification,
    ReferralStatus, ReferralSubstatus, ReferralType, RegistrationStatus, SolutionType, TargetType,
    UnknownValue,
};
pub use view::View;
