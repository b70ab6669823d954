//! The referral resource as the contract defines it, and its rules.
//!
//! Pure: no clock, no randomness, no I/O. Times and identifiers are arguments. The facts of the contract are in
//! `docs/referrals-api.md`; comments cite its sections.

mod amount;
mod country;
mod create;
mod diff;
mod document;
mod edit;
mod error;
mod etag;
mod ids;
mod json;
mod lifecycle;
mod mode;
mod model;
mod patch;
mod program;
mod redaction;
mod search;
mod table;
mod timestamp;
mod unknown;
mod validate;
mod values;

pub use amount::{Amount, ParseAmountError};
pub use create::{CreateRequest, NewIds, Party};
pub use document::{DamagedDocument, MAX_DOCUMENT_BYTES, PublicBase};
pub use edit::{DecisionError, Edit, EditRequest, RequestOptions, ValidatedBody, ValidationProfile};
pub use error::{InnerCode, Rejection, ValidationError};
pub use etag::{ETag, FailedPrecondition, Precondition, Preconditions};
pub use ids::{
    ClientRequestId, EngagementId, OrganizationId, ParseGuidError, ParseOrganizationIdError, ReferralId,
};
pub use json::{Json, parse_json};
pub use lifecycle::{ClosedSubstatus, LifecycleState, NewSubstatus, TransitionError};
pub use mode::ApiMode;
pub use model::*;
pub use patch::PatchRequest;
pub use redaction::Redaction;
pub use table::{Access, Kind, ObjectType, PropertyDefinition};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use unknown::UnknownMembers;
pub use values::{
    AssistanceRequestCode, CustomerProfileIdType, Enumeration, ParseEnumError, ReferralDirection,
    ReferralQualification, ReferralStatus, ReferralSubstatus, ReferralType, RegistrationStatus, SolutionType,
    TargetType,
};
