//! Creating: own deals, and connected referrals for another party. Source: spec 7.3, 8.3.

use std::sync::Arc;

use referral::{
    CreateRequest, DamagedDocument, EngagementId, InnerCode, MAX_DOCUMENT_BYTES, NewIds, OrganizationId,
    Party, Redaction, Referral, ReferralId, Rejection, Timestamp, ValidationError,
};
use store::{Action, Change, Entry, Guard, Outcome, RememberedAnswer, StoredReferral, Write};

use crate::caller::{Caller, Role};
use crate::error::{CreateError, ReadError};
use crate::heavy::{RequestCost, Taken};
use crate::once::{Already, Once, Remember, Written};
use crate::visibility::{is_open, redacted, unredacted};
use crate::{Exchange, VisibleReferral, search_words, to_store};

/// The engagement may change between reading and writing; it is read again at most so often.
const ROUNDS: usize = 16;

/// How one attempt ended.
enum Attempt {
    Saved(VisibleReferral),
    Replayed(RememberedAnswer),
    Overtaken,
}

/// What is found in the engagement to join.
struct Joined<R = Arc<StoredReferral>> {
    /// The caller's newest open referral, from which a connected one takes what is left out.
    model: Option<R>,
    /// 409, told after all other refusals (spec 4.5).
    conflict: Option<CreateError>,
    /// `createdDateTime` of the caller's newest referral there.
    newest: Option<Timestamp>,
}

impl Joined {
    const NOTHING: Joined = Joined { model: None, conflict: None, newest: None };
}

/// What a POST makes, before its engagement is looked at.
struct Plan {
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
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, CreateError>,
    ) -> Result<Written<VisibleReferral>, CreateError> {
        let plan = self.plan(caller, request)?;
        let _turn = self.turn(once).await.ok_or(CreateError::RequestInProgress)?;
        let mut taken = Taken::default();
        for _ in 0..ROUNDS {
            match self.try_create(caller, request, &plan, (cost, &mut taken), once, remember).await {
                Ok(Attempt::Saved(visible)) => return Ok(Written::Now(visible)),
                Ok(Attempt::Replayed(answer)) => return Ok(Written::Before(answer)),
                Ok(Attempt::Overtaken) => {}
                Err(error) => {
                    if let Some(once) = once
                        && let Some(earlier) = self.remember(once, remember(Err(&error))).await?
                    {
                        return Ok(Written::Before(earlier.replay(CreateError::RequestIdReused)?));
                    }
                    return Err(error);
                }
            }
        }
        Err(CreateError::Contended)
    }

    /// Whose referral it becomes: a connected one when a location target names another organization.
    fn plan(&self, caller: &Caller, request: &CreateRequest<'_>) -> Result<Plan, CreateError> {
        let directory = self.directory();
        let mut invited: Option<OrganizationId> = None;
        for (at, location) in request.target_locations() {
            let Some(named) = directory.of_location(location).filter(|named| *named != caller.organization)
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
        Ok(Plan {
            caller: directory.party(&caller.organization),
            invited: invited.map(|organization| directory.party(&organization)),
        })
    }

    async fn try_create(
        &self,
        caller: &Caller,
        request: &CreateRequest<'_>,
        plan: &Plan,
        (cost, taken): (RequestCost<'_>, &mut Taken),
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, CreateError>,
    ) -> Result<Attempt, CreateError> {
        let engagement = request.engagement_id();
        let Joined { model, conflict, newest } = match engagement {
            Some(engagement) => self.join(caller, engagement, plan).await?,
            None => Joined::NOTHING,
        };
        on_the_team(caller, request, model.as_deref())?;
        let model = model.as_deref();
        let length = cost.body_bytes + model.map_or(0, |model| model.document.len());
        taken.for_document(cost.memory, length)?;
        let decide = || {
            self.decide_creation(caller, request, plan, Joined { model, conflict, newest }, once, remember)
        };
        let (change, visible) = self.run_heavy(caller, length, decide).await??;
        Ok(match self.store.commit(change).await? {
            Outcome::Committed(_) => Attempt::Saved(visible),
            Outcome::AlreadyAnswered(answer) => match self.already(once, answer).await? {
                Already::Earlier(earlier) => Attempt::Replayed(earlier.replay(CreateError::RequestIdReused)?),
                Already::Forgotten => Attempt::Overtaken,
            },
            Outcome::Overtaken | Outcome::GuardFailed => Attempt::Overtaken,
        })
    }

    /// What the request makes. Nothing is waited for.
    fn decide_creation(
        &self,
        caller: &Caller,
        request: &CreateRequest<'_>,
        plan: &Plan,
        Joined { model, conflict, newest }: Joined<&StoredReferral>,
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, CreateError>,
    ) -> Result<(Change, VisibleReferral), CreateError> {
        let engagement = request.engagement_id();
        // The order of creation tells who began the engagement (spec 8.6), whatever the clocks of several nodes say.
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
        let visible = show(plan, &stored)?;
        let answer = once.and_then(|once| {
            remember(Ok(&visible)).map(|(status, content)| once.replayable(status, content, now))
        });
        let change = Change {
            write: Some(Write {
                entry: created(caller, &referral),
                search: Some(search_words(&referral)),
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
        plan: &Plan,
    ) -> Result<Joined, CreateError> {
        self.settle().await.map_err(read_error)?;
        let ours = self.store.engagement(engagement, &caller.organization).await?;
        let own = || ours.iter().filter(|one| one.owner == caller.organization);
        if own().next().is_none() {
            // One whose document is damaged is left out, and a 404 would be remembered.
            return Err(match self.store.has_open_referral(engagement, &caller.organization).await? {
                true => CreateError::Damaged(damaged("the caller's own referral in the engagement")),
                false => CreateError::EngagementNotFound,
            });
        }
        // Joining opens the others' referrals there (spec 3.3), so it is for who has them open already.
        if !ours.iter().any(|one| caller.reaches(one)) {
            return Err(CreateError::NotOnTeam);
        }
        let newest = ours.iter().map(|one| one.columns.created).max();
        let Some(invited) = &plan.invited else { return Ok(Joined { newest, ..Joined::NOTHING }) };
        let own_open: Vec<_> = own().filter(|one| is_open(one)).collect();
        let readable = own_open.iter().filter(|one| caller.reaches(one));
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
        Ok(Joined { model, conflict, newest })
    }
}

/// A Referral User must be on the team that the new referral will have.
fn on_the_team(
    caller: &Caller,
    request: &CreateRequest<'_>,
    model: Option<&StoredReferral>,
) -> Result<(), CreateError> {
    if caller.role == Role::Admin {
        return Ok(());
    }
    let inherited = || model.map(|model| model.columns.team.clone()).unwrap_or_default();
    let team = request.team_emails().unwrap_or_else(inherited);
    if caller.is_among(&team) { Ok(()) } else { Err(CreateError::NotOnTeam) }
}

/// What was true when the engagement was read must still be true when the referral is written.
fn guards(caller: &Caller, joined: Option<EngagementId>, plan: &Plan) -> Vec<Guard> {
    match (joined, &plan.invited) {
        (Some(engagement), Some(invited)) => vec![
            Guard::SomeOpenReferral { engagement, owner: caller.organization.clone() },
            Guard::NoOpenReferral { engagement, owner: invited.id.clone() },
        ],
        _ => Vec::new(),
    }
}

fn created(caller: &Caller, referral: &Referral) -> Entry {
    Entry {
        action: Action::Created,
        at: referral.created_date_time,
        actor: Some(caller.actor()),
        changes: "{}".into(),
    }
}

fn show(plan: &Plan, stored: &StoredReferral) -> Result<VisibleReferral, CreateError> {
    match plan.invited {
        None => Ok(unredacted(stored)),
        Some(_) => redacted(stored, Redaction::Inviting).map_err(read_error),
    }
}

fn create_error(error: referral::DecisionError) -> CreateError {
    match error {
        referral::DecisionError::Rejected(Rejection::Invalid(invalid)) => invalid.into(),
        referral::DecisionError::Rejected(other) => CreateError::Damaged(damaged(&other.to_string())),
        referral::DecisionError::Damaged(error) => error.into(),
    }
}

fn read_error(error: ReadError) -> CreateError {
    match error {
        ReadError::Store(error) => error.into(),
        ReadError::Damaged(_, error) => error.into(),
        other => CreateError::Damaged(damaged(&other.to_string())),
    }
}

fn damaged(message: &str) -> DamagedDocument {
    DamagedDocument::from(<serde_json::Error as serde::de::Error>::custom(message))
}
