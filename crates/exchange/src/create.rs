//! Creating: own deals, and connected referrals for another party. Source: spec 7.3, 8.3.

use std::sync::Arc;

use referral::{
    CreateRequest, DamagedDocument, EngagementId, InnerCode, MAX_DOCUMENT_BYTES, NewIds, OrganizationId,
    Party, Redaction, Referral, ReferralId, Rejection, Timestamp, ValidationError,
};
use store::{Action, Change, CommitOutcome, Entry, Guard, StoredReferral, StoredResponse, Write};

use crate::caller::{Caller, Role};
use crate::error::{CreateError, ReadError};
use crate::idempotency::{IdempotentRequest, ReplayCheck, ResponseRecorder, WriteResult};
use crate::large_work::{DocumentMemory, RequestCost};
use crate::visibility::{is_open, redacted, unredacted};
use crate::{Exchange, VisibleReferral, search_text, to_store};

/// Maximum number of attempts: the engagement can change between reading and writing.
const MAX_ATTEMPTS: usize = 16;

/// The outcome of one attempt.
enum WriteAttempt {
    Saved(VisibleReferral),
    Replayed(StoredResponse),
    Overtaken,
}

/// The caller's side of an engagement that the new referral joins.
struct JoinedEngagement<R = Arc<StoredReferral>> {
    /// The caller's newest open referral. A connected referral takes omitted members from it.
    model: Option<R>,
    /// A 409, which is reported after all other errors (spec 4.5).
    conflict: Option<CreateError>,
    /// `createdDateTime` of the caller's newest referral there.
    newest: Option<Timestamp>,
}

impl JoinedEngagement {
    const NOTHING: JoinedEngagement = JoinedEngagement { model: None, conflict: None, newest: None };
}

/// The parties of a new referral, before its engagement is read.
struct CreationPlan {
    caller: Party,
    /// The organization that will own a connected referral; `None` for an own deal.
    invited: Option<Party>,
}

impl Exchange {
    /// Creates a referral: the caller's own deal, or one for the organization that a target names.
    ///
    /// # Errors
    /// [`CreateError`], in the order of spec 4.5.
    pub async fn create(
        &self,
        caller: &Caller,
        request: &CreateRequest<'_>,
        cost: RequestCost<'_>,
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, CreateError>,
    ) -> Result<WriteResult<VisibleReferral>, CreateError> {
        let plan = self.plan(caller, request)?;
        let _turn = self.enter_in_flight(request_identity).await.ok_or(CreateError::RequestInProgress)?;
        let mut taken = DocumentMemory::default();
        for _ in 0..MAX_ATTEMPTS {
            match self
                .try_create(caller, request, &plan, (cost, &mut taken), request_identity, recorder)
                .await
            {
                Ok(WriteAttempt::Saved(visible)) => return Ok(WriteResult::Done(visible)),
                Ok(WriteAttempt::Replayed(answer)) => return Ok(WriteResult::Replayed(answer)),
                Ok(WriteAttempt::Overtaken) => {}
                Err(error) => {
                    if let Some(request_identity) = request_identity
                        && let Some(previous) =
                            self.record_response(request_identity, recorder(Err(&error))).await?
                    {
                        return Ok(WriteResult::Replayed(previous.replay(CreateError::RequestIdReused)?));
                    }
                    return Err(error);
                }
            }
        }
        Err(CreateError::Contended)
    }

    /// Determines the owner. The referral is a connected one if a location target names another organization.
    fn plan(&self, caller: &Caller, request: &CreateRequest<'_>) -> Result<CreationPlan, CreateError> {
        let directory = self.directory();
        let mut invited: Option<OrganizationId> = None;
        for (at, location) in request.target_locations() {
            let Some(named) =
                directory.find_by_location(location).filter(|named| *named != caller.organization)
            else {
                continue;
            };
            if invited.as_ref().is_some_and(|first| *first != named) {
                let message = "The targets name two organizations; a referral is sent to one.";
                let target = format!("target/{at}/id");
                return Err(ValidationError::new(InnerCode::InvalidValue, target, message, location).into());
            }
            invited = Some(named);
        }
        if invited.is_some() {
            request.check_consent_to_share()?;
        }
        Ok(CreationPlan {
            caller: directory.party(&caller.organization),
            invited: invited.map(|organization| directory.party(&organization)),
        })
    }

    async fn try_create(
        &self,
        caller: &Caller,
        request: &CreateRequest<'_>,
        plan: &CreationPlan,
        (cost, taken): (RequestCost<'_>, &mut DocumentMemory),
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, CreateError>,
    ) -> Result<WriteAttempt, CreateError> {
        let engagement = request.engagement_id();
        let JoinedEngagement { model, conflict, newest } = match engagement {
            Some(engagement) => self.join(caller, engagement, plan).await?,
            None => JoinedEngagement::NOTHING,
        };
        check_on_team(caller, request, model.as_deref())?;
        let model = model.as_deref();
        let length = cost.body_bytes + model.map_or(0, |model| model.document.len());
        taken.for_document(cost.memory, length)?;
        let decide = || {
            self.decide_creation(
                caller,
                request,
                plan,
                JoinedEngagement { model, conflict, newest },
                request_identity,
                recorder,
            )
        };
        let (change, visible) = self.run_large(caller, length, decide).await??;
        Ok(match self.store.commit(change).await? {
            CommitOutcome::Committed(_) => WriteAttempt::Saved(visible),
            CommitOutcome::Replayed(answer) => match self.check_replay(request_identity, answer).await? {
                ReplayCheck::Found(previous) => {
                    WriteAttempt::Replayed(previous.replay(CreateError::RequestIdReused)?)
                }
                ReplayCheck::Expired => WriteAttempt::Overtaken,
            },
            CommitOutcome::VersionConflict | CommitOutcome::GuardFailed => WriteAttempt::Overtaken,
        })
    }

    /// Decides on the new referral, without I/O.
    fn decide_creation(
        &self,
        caller: &Caller,
        request: &CreateRequest<'_>,
        plan: &CreationPlan,
        JoinedEngagement { model, conflict, newest }: JoinedEngagement<&StoredReferral>,
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, CreateError>,
    ) -> Result<(Change, VisibleReferral), CreateError> {
        let engagement = request.engagement_id();
        // The order of creation determines who began the engagement (spec 8.6), even if the clocks of nodes differ.
        let now = newest.map_or(self.now(), |newest| self.now().max(newest.next()));
        let new_ids = NewIds {
            id: ReferralId::from_uuid(self.ids.next(now)),
            engagement_id: engagement.unwrap_or_else(|| EngagementId::from_uuid(self.ids.next(now))),
            now,
        };
        let request_options = &self.policy.request_options;
        let made = match &plan.invited {
            None => request.own_deal(new_ids, &plan.caller, request_options),
            Some(invited) => {
                let model = model.map(|model| model.document.as_ref());
                request.connected_referral(new_ids, invited, &plan.caller, model, request_options)
            }
        };
        let referral = made.map_err(create_error)?;
        if let Some(conflict) = conflict {
            return Err(conflict);
        }
        let sender = plan.invited.as_ref().map(|_| caller.organization.clone());
        let stored = to_store(&referral, 1, sender);
        if stored.document.len() > MAX_DOCUMENT_BYTES {
            return Err(request.too_long().into());
        }
        self.expiry.announce(stored.columns.expires);
        let visible = visible_after(plan, &stored)?;
        let answer = request_identity.and_then(|request_identity| {
            recorder(Ok(&visible)).map(|(status, content)| request_identity.record(status, content, now))
        });
        let change = Change {
            write: Some(Write {
                entry: created_entry(caller, &referral),
                search: Some(search_text(&referral)),
                referral: stored,
                decided_on: None,
            }),
            guards: guards(caller, engagement, plan),
            answer,
        };
        Ok((change, visible))
    }

    /// Looks at the engagement to join: it must hold a referral of the caller's, and for a Referral User one that it
    /// is on the team of. For a connected one the caller's newest open referral is the model, and the invited
    /// organization must have none open. A Referral User has only those it may read for models.
    async fn join(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        plan: &CreationPlan,
    ) -> Result<JoinedEngagement, CreateError> {
        self.expire_due().await.map_err(read_error)?;
        let ours = self.store.engagement(engagement, &caller.organization).await?;
        let own = || ours.iter().filter(|one| one.owner == caller.organization);
        if own().next().is_none() {
            // `engagement` leaves damaged referrals out, and a 404 would be stored for repeats of this request.
            return Err(match self.store.has_open_referral(engagement, &caller.organization).await? {
                true => CreateError::Damaged(damaged_document("the caller's own referral in the engagement")),
                false => CreateError::EngagementNotFound,
            });
        }
        // Joining gives access to the other referrals there (spec 3.3), so the caller must have access already.
        if !ours.iter().any(|one| caller.may_access(one)) {
            return Err(CreateError::NotOnTeam);
        }
        let newest = ours.iter().map(|one| one.columns.created).max();
        let Some(invited) = &plan.invited else {
            return Ok(JoinedEngagement { newest, ..JoinedEngagement::NOTHING });
        };
        let own_open: Vec<_> = own().filter(|one| is_open(one)).collect();
        let readable = own_open.iter().filter(|one| caller.may_access(one));
        let model = readable.max_by_key(|one| (one.columns.created, one.id)).map(|one| (*one).clone());
        let conflict = if own_open.is_empty() {
            Some(CreateError::EngagementClosed)
        } else if model.is_none() {
            return Err(CreateError::NotOnTeam);
        } else if self.store.has_open_referral(engagement, &invited.id).await? {
            Some(CreateError::AlreadyInvited)
        } else {
            None
        };
        Ok(JoinedEngagement { model, conflict, newest })
    }
}

/// A Referral User must be on the team that the new referral will have.
fn check_on_team(
    caller: &Caller,
    request: &CreateRequest<'_>,
    model: Option<&StoredReferral>,
) -> Result<(), CreateError> {
    if caller.role == Role::Admin {
        return Ok(());
    }
    let inherited = || model.map(|model| model.columns.team.clone()).unwrap_or_default();
    let team = request.team_emails().unwrap_or_else(inherited);
    if caller.is_one_of(&team) { Ok(()) } else { Err(CreateError::NotOnTeam) }
}

/// Conditions that held when the engagement was read and must still hold when the referral is written.
fn guards(caller: &Caller, joined: Option<EngagementId>, plan: &CreationPlan) -> Vec<Guard> {
    match (joined, &plan.invited) {
        (Some(engagement), Some(invited)) => vec![
            Guard::SomeOpenReferral { engagement, owner: caller.organization.clone() },
            Guard::NoOpenReferral { engagement, owner: invited.id.clone() },
        ],
        _ => Vec::new(),
    }
}

fn created_entry(caller: &Caller, referral: &Referral) -> Entry {
    Entry {
        action: Action::Created,
        at: referral.created_date_time,
        actor: Some(caller.actor()),
        changes: "{}".into(),
    }
}

fn visible_after(plan: &CreationPlan, stored: &StoredReferral) -> Result<VisibleReferral, CreateError> {
    match plan.invited {
        None => Ok(unredacted(stored)),
        Some(_) => redacted(stored, Redaction::Inviting).map_err(read_error),
    }
}

fn create_error(error: referral::DecisionError) -> CreateError {
    match error {
        referral::DecisionError::Rejected(Rejection::Invalid(invalid)) => invalid.into(),
        referral::DecisionError::Rejected(other) => {
            CreateError::Damaged(damaged_document(&other.to_string()))
        }
        referral::DecisionError::Damaged(error) => error.into(),
    }
}

fn read_error(error: ReadError) -> CreateError {
    match error {
        ReadError::Store(error) => error.into(),
        ReadError::Damaged(_, error) => error.into(),
        other => CreateError::Damaged(damaged_document(&other.to_string())),
    }
}

fn damaged_document(message: &str) -> DamagedDocument {
    DamagedDocument::from(<serde_json::Error as serde::de::Error>::custom(message))
}
