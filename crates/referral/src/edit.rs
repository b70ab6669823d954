//! Changes to a stored referral: one pure decision for PUT, PATCH and expiry.
//!
//! `(stored document, request, version, now) → Edit
//! unchanged
//! Rejection`. The checks come in the order of spec 4.5, beginning with those that need the stored referral.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::Value;

use crate::diff::{self, ChangedMember, FieldValue};
use crate::document::{self, DamagedDocument};
use crate::error::{InnerCode, Rejection, ValidationError};
use crate::etag::ETag;
use crate::ids::ReferralId;
use crate::json::{self, Json};
use crate::lifecycle::{ClosedSubstatus, LifecycleState};
use crate::mode::ApiMode;
use crate::model::Referral;
use crate::patch::PatchRequest;
use crate::program;
use crate::table::Access;
use crate::timestamp::Timestamp;
use crate::unknown::UnknownMembers;
use crate::validate::{BodyPath, RequestKind, Validator};

/// The rules that values are validated against. Source: spec 8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationProfile {
    /// The rules of the API reference.
    #[default]
    Wire,
    /// The rules of the user documentation in addition: a complete record, fixed members, value lists.
    Program,
}

/// How requests are parsed: the configuration switches of spec 15 that concern the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestOptions {
    /// Answer 400 for unknown members instead of ignoring them.
    pub reject_unknown: bool,
    /// Ignore a `links` member in PUT instead of answering 400.
    pub ignore_links: bool,
    /// Support the JSON Patch operations `remove`, `test`, `move` and `copy` (extended mode).
    pub mode: ApiMode,
    /// The validation profile.
    pub profile: ValidationProfile,
}

/// An update, validated without the stored referral.
#[derive(Debug, Clone)]
pub enum EditRequest<'a> {
    /// PUT: the normalized members, to be merged into the stored ones (U8).
    Put(ValidatedBody<'a>),
    /// PATCH with JSON Patch operations.
    Patch(PatchRequest<'a>),
    /// PATCH with an object (RFC 7396), where it is allowed.
    Merge(ValidatedBody<'a>),
}

/// A validated body of PUT or of a merge patch.
#[derive(Debug, Clone)]
pub struct ValidatedBody<'a> {
    members: Json<'a>,
    unknown: UnknownMembers,
}

impl<'a> ValidatedBody<'a> {
    fn check(
        mut body: Json<'a>,
        request_kind: RequestKind,
        options: &RequestOptions,
    ) -> Result<ValidatedBody<'a>, ValidationError> {
        let unknown = RefCell::default();
        let checked =
            Validator { request_kind, unknown: &unknown }.object(&Referral::TYPE, &mut body, &BodyPath::BODY);
        Ok(ValidatedBody { members: body, unknown: unknown.into_inner().conclude(checked, options)? })
    }
}

/// A decided change: the next version of a referral, and what is different in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The next version, with its new ETag and time.
    pub referral: Referral,
    /// `{ "member/path": [before, after], … }`
    pub changes: Value,
    /// Whether a text changed that `$search` looks in ([`Referral::search_texts`]).
    pub texts_changed: bool,
}

/// Why a change was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// The request was rejected.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The stored document cannot be parsed.
    #[error(transparent)]
    Damaged(#[from] DamagedDocument),
}

impl From<ValidationError> for DecisionError {
    fn from(invalid: ValidationError) -> DecisionError {
        DecisionError::Rejected(invalid.into())
    }
}

impl From<serde_json::Error> for DecisionError {
    fn from(error: serde_json::Error) -> DecisionError {
        DecisionError::Damaged(error.into())
    }
}

impl<'a> EditRequest<'a> {
    /// Parses and validates a PUT body (spec 9).
    ///
    /// # Errors
    /// A body that is not an object, a `links` member (U4), an `id` other than that of the path (U6), or an invalid
    /// value.
    pub fn put(
        body: impl Into<Json<'a>>,
        id: ReferralId,
        options: &RequestOptions,
    ) -> Result<EditRequest<'a>, ValidationError> {
        let body = body.into();
        refuse_links(&body, options)?;
        let other = |sent: &Json<'a>| sent.as_str().and_then(|text| text.parse().ok()) != Some(id);
        if members_named(&body, "id").any(other) {
            let message = "The id in the body differs from the one in the path.";
            return Err(ValidationError::new(InnerCode::ReadOnlyProperty, "id", message, "id"));
        }
        Ok(EditRequest::Put(ValidatedBody::check(body, RequestKind::Replace, options)?))
    }

    /// Parses and validates a merge patch: an object by RFC 7396, with null as in U8.
    ///
    /// # Errors
    /// A body that is not an object, a `links` member as in PUT, or an invalid value.
    pub fn merge(
        body: impl Into<Json<'a>>,
        options: &RequestOptions,
    ) -> Result<EditRequest<'a>, ValidationError> {
        let body = body.into();
        refuse_links(&body, options)?;
        Ok(EditRequest::Merge(ValidatedBody::check(body, RequestKind::Merge, options)?))
    }

    /// Returns the members that the contract does not have. They are not applied.
    pub fn unknown_members(&self) -> &UnknownMembers {
        match self {
            EditRequest::Put(sent) | EditRequest::Merge(sent) => &sent.unknown,
            EditRequest::Patch(patch) => patch.unknown_members(),
        }
    }

    /// Returns whether this is the only write that a sender may make (T18): a PATCH of nothing but `status`,
    /// `substatus` and `statusReason` that ends in Closed/Declined.
    pub fn is_withdrawal(&self) -> bool {
        const TOUCHED: [&str; 3] = ["status", "substatus", "statusReason"];
        let sets = |member: &str| match self {
            EditRequest::Put(_) => None,
            EditRequest::Merge(sent) => sent.members.get(member),
            EditRequest::Patch(patch) => patch.last_value(member),
        };
        let alone = match self {
            EditRequest::Put(_) => false,
            EditRequest::Merge(sent) => {
                sent.members.members().iter().all(|(name, _)| TOUCHED.contains(&name.as_ref()))
            }
            EditRequest::Patch(patch) => patch.touches_only(&TOUCHED),
        };
        let ends = |member: &str, value: &str| sets(member).and_then(Json::as_str) == Some(value);
        alone && ends("status", "Closed") && ends("substatus", "Declined")
    }

    /// Applies the request to the stored referral. The state transition is not checked yet.
    fn applied(&self, stored: &Referral, document: &[u8]) -> Result<Referral, DecisionError> {
        let mut next = stored.clone();
        match self {
            EditRequest::Put(sent) | EditRequest::Merge(sent) => {
                next.merge_from(&sent.members).map_err(misfit)?
            }
            EditRequest::Patch(patch) if patch.sets_members() => {
                patch.set_members(stored, &mut next).map_err(misfit)?;
            }
            EditRequest::Patch(patch) => {
                let before: Value = json::read(document)?;
                let mut after = before.clone();
                patch.apply(&mut after)?;
                diff::keep_protected(&Referral::TYPE, &before, &mut after);
                next = Referral::deserialize(&after).map_err(misfit)?;
            }
        }
        Ok(next)
    }

    fn touches(&self, member: &str) -> bool {
        match self {
            EditRequest::Put(sent) | EditRequest::Merge(sent) => sent.members.get(member).is_some(),
            EditRequest::Patch(patch) => patch.touches(member),
        }
    }

    /// Returns the target of an error at a member: the path of the operation as sent, or the path of the member.
    fn target_of(&self, path: &str) -> String {
        match self {
            EditRequest::Patch(patch) => patch.operation_at(path).unwrap_or(path).to_owned(),
            _ => path.to_owned(),
        }
    }

    /// Returns the error for a change that would make the document longer than [`crate::MAX_DOCUMENT_BYTES`].
    pub fn too_long(&self) -> ValidationError {
        document::too_long(match self {
            EditRequest::Patch(patch) => patch.last_path().unwrap_or("body"),
            EditRequest::Put(_) | EditRequest::Merge(_) => "body",
        })
    }

    /// Decides on a stored document. Returns `None` if nothing changes (T15).
    ///
    /// # Errors
    /// [`Rejection`] in the order of spec 4.5; [`DamagedDocument`] if the stored document cannot be parsed.
    pub fn decide(
        &self,
        document: &[u8],
        version: u64,
        now: Timestamp,
        options: &RequestOptions,
    ) -> Result<Option<Edit>, DecisionError> {
        self.decide_parsed(&Referral::from_document(document)?, document, version, now, options)
    }

    /// Like [`decide`](EditRequest::decide), for a document that is parsed already: `stored` is its content.
    ///
    /// # Errors
    /// As for `decide`.
    pub fn decide_parsed(
        &self,
        stored: &Referral,
        document: &[u8],
        version: u64,
        now: Timestamp,
        options: &RequestOptions,
    ) -> Result<Option<Edit>, DecisionError> {
        let mut next = self.applied(stored, document)?;
        diff::keep_known(&stored.team, &mut next.team);
        diff::keep_known(&stored.customer_profile.team, &mut next.customer_profile.team);
        let changes = diff::changed(stored, &next);
        let protected = |change: &&ChangedMember| {
            matches!(change.property.access, Access::Server | Access::Fixed | Access::Derived)
        };
        if let Some(change) = changes.iter().find(protected) {
            return Err(ValidationError::read_only(self.target_of(&change.path), &change.path).into());
        }
        if stored.consent.share_with_microsoft_sellers && !next.consent.share_with_microsoft_sellers {
            let target = self.target_of("consent/consentToShareReferralWithMicrosoftSellers");
            let message = "The consent to share the referral with Microsoft sellers cannot be taken back.";
            return Err(ValidationError::value(target, message, "false").into());
        }
        if options.profile == ValidationProfile::Program {
            program::check_update(stored, &next, &changes).map_err(|mut invalid| {
                invalid.target = self.target_of(&invalid.target);
                invalid
            })?;
        }
        let state = self.next_state(stored, &next)?;
        let at = now.max(stored.updated_date_time.next());
        next.apply_state(state, stored.lifecycle_state(), at);
        finish(stored, next, version, at)
    }

    fn next_state(&self, stored: &Referral, next: &Referral) -> Result<LifecycleState, DecisionError> {
        let status = self.touches("status").then_some(next.status);
        let substatus = self.touches("substatus").then_some(next.substatus);
        let current = stored.lifecycle_state();
        let refuse = |error| {
            let mut refusal = Rejection::from(error);
            if let Rejection::Invalid(invalid) = &mut refusal {
                let at = if substatus.is_some() { "substatus" } else { "status" };
                invalid.target = self.target_of(at);
            }
            refusal
        };
        let asked = current.requested_state(status, substatus).map_err(refuse)?;
        Ok(current.transition_to(asked).map_err(Rejection::from)?)
    }
}

fn members_named<'s, 'a>(body: &'s Json<'a>, wanted: &'s str) -> impl Iterator<Item = &'s Json<'a>> {
    body.members().iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// Refuses a `links` member (U4), unless the switch says to ignore it.
fn refuse_links(body: &Json<'_>, options: &RequestOptions) -> Result<(), ValidationError> {
    if options.ignore_links || members_named(body, "links").next().is_none() {
        return Ok(());
    }
    let message = "The links object must not be sent in an update.";
    Err(ValidationError::new(InnerCode::ReadOnlyProperty, "links", message, "links"))
}

/// An operation of the extended set can remove a member that every referral needs. That is an error of the caller.
fn misfit(error: serde_json::Error) -> ValidationError {
    ValidationError::new(
        InnerCode::InvalidPatch,
        "body",
        "The result would not be a referral.",
        error.to_string(),
    )
}

/// Compares both versions, refuses changes that a closed referral does not allow (T6), and sets time and ETag of the
/// new version (T15, T19).
fn finish(
    stored: &Referral,
    mut next: Referral,
    version: u64,
    at: Timestamp,
) -> Result<Option<Edit>, DecisionError> {
    let changes = diff::changed(stored, &next);
    if changes.is_empty() {
        return Ok(None);
    }
    let texts_changed = changes.iter().any(|change| change.property.kind.may_hold_text())
        && !stored.search_texts().eq(next.search_texts());
    let frozen = |change: &ChangedMember| change.property.access != Access::FreeWhenClosed;
    if let LifecycleState::Closed(was) = stored.lifecycle_state()
        && changes.iter().any(frozen)
    {
        return Err(Rejection::Terminal(was).into());
    }
    let mut changes = diff::as_json(changes);
    if next.lifecycle_state() == LifecycleState::Closed(ClosedSubstatus::Expired)
        && let Some(contacts) = changes.get_mut("customerProfile/team")
    {
        // T13 erases the contacts, so the change log must not keep them either.
        contacts[0] = Value::Null;
    }
    next.updated_date_time = at;
    next.etag = ETag::of_version(version + 1, at);
    Ok(Some(Edit { referral: next, changes, texts_changed }))
}

impl Referral {
    /// Returns status and substatus as one value. Stored referrals always have a legal pair. If a damaged one has not,
    /// it counts as Closed/Error, so that it cannot be changed.
    pub fn lifecycle_state(&self) -> LifecycleState {
        LifecycleState::from_pair(self.status, self.substatus)
            .unwrap_or(LifecycleState::Closed(ClosedSubstatus::Error))
    }

    /// Sets status and substatus, the times that depend on them, and erases contacts on expiry (T8, T13).
    pub(crate) fn apply_state(&mut self, state: LifecycleState, before: LifecycleState, now: Timestamp) {
        self.status = state.status();
        self.substatus = state.substatus();
        if state == LifecycleState::Active && before.is_new() {
            self.accepted_date_time = Some(now);
        }
        if state.is_closed() && !before.is_closed() {
            self.closed_date_time = Some(now);
        }
        if state == LifecycleState::Closed(ClosedSubstatus::Expired) && !before.is_closed() {
            self.customer_profile.team.clear();
        }
    }

    /// Closes an unanswered referral that has expired (T9, T13, T17). The closing time is the time of the expiry.
    /// Returns `None` if the referral is no longer New.
    ///
    /// # Errors
    /// [`DamagedDocument`] if the stored document cannot be parsed.
    pub fn expire(document: &[u8], version: u64) -> Result<Option<Edit>, DecisionError> {
        let stored = Referral::from_document(document)?;
        let (was, Some(expires)) = (stored.lifecycle_state(), stored.expiration_date_time) else {
            return Ok(None);
        };
        if !was.is_new() {
            return Ok(None);
        }
        let at = expires.max(stored.updated_date_time.next());
        let mut next = stored.clone();
        next.apply_state(LifecycleState::Closed(ClosedSubstatus::Expired), was, at);
        finish(&stored, next, version, at)
    }
}
