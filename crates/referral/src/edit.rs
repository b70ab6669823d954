//! Changing a stored referral: one pure decision for PUT, PATCH and expiry.
//!
//! `(stored document, request, version, now) → Edit | unchanged | Rejection`. The order of the checks is that of
//! spec 4.5, from "what only the stored referral shows" on.

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
use crate::model::Referral;
use crate::patch::PatchRequest;
use crate::program;
use crate::table::Access;
use crate::timestamp::Timestamp;
use crate::unknown::UnknownMembers;
use crate::validate::{BodyPath, RequestKind, Validator};

/// Which rules values are held against. Source: spec 8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationProfile {
    /// What the pages of the API say.
    #[default]
    Wire,
    /// What the user pages say as well: a complete record, fixed members, value lists.
    Program,
}

/// How requests are read: the switches of spec 15 that concern the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestOptions {
    /// Unknown members are 400 instead of passed over.
    pub reject_unknown: bool,
    /// A `links` member in PUT is passed over instead of 400.
    pub ignore_links: bool,
    /// JSON Patch `remove`, `test`, `move`, `copy` are served (the extended temperament).
    pub all_patch_operations: bool,
    /// Which validation profile holds.
    pub profile: ValidationProfile,
}

/// What an update asks for, checked as far as the request alone shows.
#[derive(Debug, Clone)]
pub enum EditRequest<'a> {
    /// PUT: the members sent, in normal form, laid over the stored ones (U8).
    Put(ValidatedBody<'a>),
    /// PATCH with operations.
    Patch(PatchRequest<'a>),
    /// PATCH with an object (RFC 7396), where it is allowed.
    Merge(ValidatedBody<'a>),
}

/// A checked body of PUT, or of a merge patch.
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

/// A decided change: the next version of a referral, and what is new in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The next version, stamped.
    pub referral: Referral,
    /// `{ "member/path": [before, after], … }`
    pub changes: Value,
    /// Whether a text has changed that searches look into ([`Referral::search_texts`]).
    pub texts_changed: bool,
}

/// Why an edit was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// The request does not fit the referral.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The stored bytes cannot be read.
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
    /// Reads a PUT body (spec 9).
    ///
    /// # Errors
    /// No object; a `links` member (U4); another `id` than the path's (U6); any value that breaks its row.
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

    /// Reads a merge patch: an object, by RFC 7396, with null as in U8.
    ///
    /// # Errors
    /// No object; a `links` member as in PUT; any value that breaks its row.
    pub fn merge(
        body: impl Into<Json<'a>>,
        options: &RequestOptions,
    ) -> Result<EditRequest<'a>, ValidationError> {
        let body = body.into();
        refuse_links(&body, options)?;
        Ok(EditRequest::Merge(ValidatedBody::check(body, RequestKind::Merge, options)?))
    }

    /// Members that the contract does not have; they are not applied.
    pub fn unknown_members(&self) -> &UnknownMembers {
        match self {
            EditRequest::Put(sent) | EditRequest::Merge(sent) => &sent.unknown,
            EditRequest::Patch(patch) => patch.unknown_members(),
        }
    }

    /// Whether this is the one write that a sender may do (T18): a PATCH of `status`, `substatus` and `statusReason`
    /// alone that ends in Closed/Declined.
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

    /// The referral as the request leaves it, before its standing is judged.
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

    /// The target of an error at a member: the operation's path as sent, or the member's own.
    fn target_of(&self, path: &str) -> String {
        match self {
            EditRequest::Patch(patch) => patch.operation_at(path).unwrap_or(path).to_owned(),
            _ => path.to_owned(),
        }
    }

    /// Why a change is refused that leaves a document longer than [`crate::MAX_DOCUMENT_BYTES`].
    pub fn too_long(&self) -> ValidationError {
        document::too_long(match self {
            EditRequest::Patch(patch) => patch.last_path().unwrap_or("body"),
            EditRequest::Put(_) | EditRequest::Merge(_) => "body",
        })
    }

    /// Decides on a stored document: `None` when nothing changes (T15).
    ///
    /// # Errors
    /// [`Rejection`] in the order of spec 4.5; [`DamagedDocument`] when the stored bytes cannot be read.
    pub fn decide(
        &self,
        document: &[u8],
        version: u64,
        now: Timestamp,
        options: &RequestOptions,
    ) -> Result<Option<Edit>, DecisionError> {
        self.decide_parsed(&Referral::from_document(document)?, document, version, now, options)
    }

    /// As [`decide`](EditRequest::decide), where the document has been read before: `stored` is what it says.
    ///
    /// # Errors
    /// As of `decide`.
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

/// U4, unless the switch says to pass them over.
fn refuse_links(body: &Json<'_>, options: &RequestOptions) -> Result<(), ValidationError> {
    if options.ignore_links || members_named(body, "links").next().is_none() {
        return Ok(());
    }
    let message = "The links object must not be sent in an update.";
    Err(ValidationError::new(InnerCode::ReadOnlyProperty, "links", message, "links"))
}

/// Operations of the extended set may have removed what every referral has, so a misfit is the caller's.
fn misfit(error: serde_json::Error) -> ValidationError {
    ValidationError::new(
        InnerCode::InvalidPatch,
        "body",
        "The result would be no referral.",
        error.to_string(),
    )
}

/// Compares, refuses what a closed referral does not allow (T6), and stamps the new version (T15, T19).
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
        // T13 erases the contacts; the news of it must not keep them.
        contacts[0] = Value::Null;
    }
    next.updated_date_time = at;
    next.etag = ETag::of_version(version + 1, at);
    Ok(Some(Edit { referral: next, changes, texts_changed }))
}

impl Referral {
    /// Status and substatus as one value. A stored referral always has a legal pair; should the bytes say
    /// otherwise, it counts as closed by an error, so that nobody writes to it.
    pub fn lifecycle_state(&self) -> LifecycleState {
        LifecycleState::from_pair(self.status, self.substatus)
            .unwrap_or(LifecycleState::Closed(ClosedSubstatus::Error))
    }

    /// Takes a standing, with the times and the erasure that go with it (T8, T13).
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

    /// Closes an unanswered referral whose time is up (T9, T13, T17): the closing carries the instant of the expiry.
    ///
    /// # Errors
    /// [`DamagedDocument`] when the stored bytes cannot be read. `None` when it no longer stands New.
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
