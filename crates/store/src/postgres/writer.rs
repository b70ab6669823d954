//! The writer: changes that wait at the same time share one transaction (group commit).
//!
//! A shard takes all changes that wait for it, locks the logs of the organizations concerned, reads the current state,
//! applies the changes in memory, and writes the result with one statement for each table: two round trips and one commit
//! for all of them. An organization's changes always go to the same shard, so a node never waits for itself; other nodes
//! wait for the locks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flume::{Receiver, Sender};
use futures_util::future::join_all;
use referral::OrganizationId;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};

use super::changes::{ExistingReferral, GroupState, ReadSet};
use super::errors::PgError;
use super::pool::{Lease, Pool};
use super::rows;
use super::writes;
use crate::{AllOrNone, Change, CommitOutcome, StoreError};

/// Capacity of the channel of a shard.
const WAITING: usize = 1024;
/// Number of attempts of a group that conflicts with others.
const TRIES: u32 = 8;
/// Pause before the second attempt; it doubles each time.
const PAUSE: Duration = Duration::from_millis(2);

/// The changes of one caller.
pub(super) enum Request {
    One(Box<Change>, oneshot::Sender<Result<CommitOutcome, StoreError>>),
    All(Vec<Change>, oneshot::Sender<Result<AllOrNone, StoreError>>),
}

impl Request {
    fn changes(&self) -> &[Change] {
        match self {
            Request::One(change, _) => std::slice::from_ref(change),
            Request::All(changes, _) => changes,
        }
    }

    /// Returns whether the caller no longer waits.
    fn is_given_up(&self) -> bool {
        match self {
            Request::One(_, reply) => reply.is_closed(),
            Request::All(_, reply) => reply.is_closed(),
        }
    }

    fn refuse(self, error: StoreError) {
        // Nobody may wait any more: then nobody is told.
        match self {
            Request::One(_, reply) => drop(reply.send(Err(error))),
            Request::All(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// The outcome of a request.
enum Decided {
    One(CommitOutcome),
    All(AllOrNone),
}

/// The shards, and their channels.
pub(super) struct Writer {
    /// `None` once closed.
    shards: Mutex<Option<Vec<Sender<Request>>>>,
    running: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(pool: &Arc<Pool>, shards: usize, group_limit: usize) -> Writer {
        let mut senders = Vec::with_capacity(shards);
        let mut running = Vec::with_capacity(shards);
        for _ in 0..shards {
            let (sender, requests) = flume::bounded(WAITING);
            let shard = WriterShard { pool: Arc::clone(pool), group_limit, known: HashSet::new() };
            senders.push(sender);
            running.push(tokio::spawn(shard.run(requests)));
        }
        Writer { shards: Mutex::new(Some(senders)), running: tokio::sync::Mutex::new(running) }
    }

    /// Sends the changes of an organization to its shard.
    pub(super) async fn send(
        &self,
        organization: Option<&OrganizationId>,
        request: Request,
    ) -> Result<(), StoreError> {
        let number = organization.map_or(0, shard_number);
        let sender = match &*self.shards.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(senders) => senders.get(number % senders.len().max(1)).cloned(),
            None => None,
        };
        let sender = sender.ok_or(StoreError::Closed)?;
        sender.send_async(request).await.map_err(|_| StoreError::Closed)
    }

    /// Accepts no more, and waits until accepted changes are done.
    pub(super) async fn close(&self) {
        drop(self.shards.lock().unwrap_or_else(PoisonError::into_inner).take());
        for shard in self.running.lock().await.drain(..) {
            // A panic there has been reported by its task already.
            let _ = shard.await;
        }
    }
}

/// Returns the shard of an organization. Bytes of an id are as good as random.
fn shard_number(organization: &OrganizationId) -> usize {
    organization.as_bytes().iter().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)))
}

struct WriterShard {
    pool: Arc<Pool>,
    group_limit: usize,
    /// Organizations that had a row of `log_head` when they were last looked at.
    known: HashSet<Vec<u8>>,
}

/// The reason why a group was not written.
enum GroupError {
    /// Nothing was written.
    Before(PgError),
    /// It is unknown whether it was written.
    Unknown(String),
    Store(StoreError),
}

impl From<PgError> for GroupError {
    fn from(pg_error: PgError) -> GroupError {
        GroupError::Before(pg_error)
    }
}

impl From<StoreError> for GroupError {
    fn from(error: StoreError) -> GroupError {
        GroupError::Store(error)
    }
}

impl WriterShard {
    async fn run(mut self, requests: Receiver<Request>) {
        while let Ok(first) = requests.recv_async().await {
            // Those who were just answered may want more: they come before the next group, not after it.
            tokio::task::yield_now().await;
            let mut group = vec![first];
            group.extend(requests.try_iter().take(self.group_limit.saturating_sub(1)));
            // While the database is slow or away they become many.
            group.retain(|request| !request.is_given_up());
            if !group.is_empty() {
                self.write(group).await;
            }
        }
    }

    /// Writes a group and answers everybody in it. A statement that fails for another reason than others in the way is
    /// one change's: then each is tried alone.
    async fn write(&mut self, group: Vec<Request>) {
        match self.try_often(&group).await {
            Ok(decided) => answer(group, decided),
            Err(GroupError::Before(PgError::Other(_))) if group.len() > 1 => {
                for request in group {
                    let alone = vec![request];
                    match self.try_often(&alone).await {
                        Ok(decided) => answer(alone, decided),
                        Err(group_error) => refuse(alone, group_error),
                    }
                }
            }
            Err(group_error) => refuse(group, group_error),
        }
    }

    async fn try_often(&mut self, group: &[Request]) -> Result<Vec<Decided>, GroupError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_once(group).await {
                Err(GroupError::Before(pg_error)) if pg_error.is_transient() && tries < TRIES => {
                    self.pool.count_retry();
                    tokio::time::sleep(PAUSE * (1 << tries)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_once(&mut self, group: &[Request]) -> Result<Vec<Decided>, GroupError> {
        let wanted = ReadSet::of(group.iter().flat_map(Request::changes));
        let mut lease = self.pool.acquire().await?;
        self.make_heads(&lease, &wanted).await?;
        lease.mark_in_transaction();
        let mut state = self.begin(&lease, &wanted).await?;
        if state.positions.len() < wanted.organizations.len() {
            // The database is not the one it was: restored, or taken over by a standby that was behind.
            self.known.clear();
            return Err(PgError::Retryable("the head of a log is gone".to_owned()).into());
        }
        let decided = group.iter().map(|request| match request {
            Request::One(change, _) => Decided::One(state.apply(change)),
            Request::All(changes, _) => Decided::All(state.apply_all(changes)),
        });
        let decided = decided.collect();
        if state.write_set.is_empty() {
            lease.with_timeout(lease.client().batch_execute("COMMIT")).await?;
        } else {
            let begun = Instant::now();
            finish(&lease, &state).await?;
            self.pool.counts.commits.add(group.len(), begun.elapsed());
        }
        lease.mark_idle();
        Ok(decided)
    }

    /// Adds the rows of `log_head` that are missing.
    async fn make_heads(&mut self, lease: &Lease, wanted: &ReadSet) -> Result<(), PgError> {
        let unknown: Vec<Vec<u8>> =
            wanted.organizations.iter().filter(|id| !self.known.contains(*id)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO log_head (organization, position)
             SELECT organization, 0
             FROM unnest($1) AS new (organization)
             ON CONFLICT (organization) DO NOTHING";
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&unknown, Type::BYTEA_ARRAY)];
        lease.with_timeout(lease.client().execute_typed(sql, &params)).await?;
        self.known.extend(unknown);
        Ok(())
    }

    /// Locks, then reads: all sent at once, done one after the other. Every statement sees what was committed before it
    /// began, so the reads see all that was committed before the locks were had.
    async fn begin(&self, lease: &Lease, wanted: &ReadSet) -> Result<GroupState, GroupError> {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}", self.pool.limits());
        let organizations: Vec<&[u8]> = wanted.organizations.iter().map(Vec::as_slice).collect();
        let lock: [(&(dyn ToSql + Sync), Type); 1] = [(&organizations, Type::BYTEA_ARRAY)];
        let new: Vec<&[u8]> = wanted.new.iter().map(|id| &id.as_bytes()[..]).collect();
        let find_new: [(&(dyn ToSql + Sync), Type); 1] = [(&new, Type::BYTEA_ARRAY)];
        let (seen_owners, seen): (Vec<&[u8]>, Vec<&[u8]>) =
            wanted.seen.iter().map(|(owner, id)| (owner.as_bytes(), &id.as_bytes()[..])).unzip();
        let find: [(&(dyn ToSql + Sync), Type); 2] =
            [(&seen_owners, Type::BYTEA_ARRAY), (&seen, Type::BYTEA_ARRAY)];
        let (askers, digests): (Vec<&[u8]>, Vec<&[u8]>) =
            wanted.answers.iter().map(|(asker, digest)| (asker.as_bytes(), &digest[..])).unzip();
        let remember: [(&(dyn ToSql + Sync), Type); 2] =
            [(&askers, Type::BYTEA_ARRAY), (&digests, Type::BYTEA_ARRAY)];
        let mut guarded = wanted.guarded.clone();
        guarded.sort_by(|one, other| {
            (one.0.as_bytes(), one.1.as_bytes()).cmp(&(other.0.as_bytes(), other.1.as_bytes()))
        });
        guarded.dedup();
        let (engagements, owners): (Vec<&[u8]>, Vec<&[u8]>) =
            guarded.iter().map(|(engagement, owner)| (&engagement.as_bytes()[..], owner.as_bytes())).unzip();
        let guard: [(&(dyn ToSql + Sync), Type); 2] =
            [(&engagements, Type::BYTEA_ARRAY), (&owners, Type::BYTEA_ARRAY)];
        let none_if = |empty: bool, sql: &'static str| (!empty).then_some(sql);
        let find_new_sql = none_if(new.is_empty(), FIND_NEW);
        let find_sql = none_if(seen.is_empty(), FIND);
        let remember_sql = none_if(askers.is_empty(), REMEMBER);
        let guard_sql = none_if(guarded.is_empty(), GUARD);
        let reads: [(Option<&'static str>, &[_]); 5] = [
            (Some(LOCK), &lock),
            (find_new_sql, &find_new),
            (find_sql, &find),
            (remember_sql, &remember),
            (guard_sql, &guard),
        ];
        let needed: Vec<_> = reads.into_iter().filter_map(|(sql, params)| Some((sql?, params))).collect();
        lease.prepare(&needed).await?;
        let asked = async {
            tokio::try_join!(
                biased;
                lease.client().batch_execute(&begin),
                lease.query(LOCK, &lock),
                some(lease, find_new_sql, &find_new),
                some(lease, find_sql, &find),
                some(lease, remember_sql, &remember),
                some(lease, guard_sql, &guard),
            )
        };
        let ((), heads, taken, found, answers, open) = lease.with_timeout(asked).await?;

        let mut state = GroupState::default();
        for row in &heads {
            state.positions.insert(rows::organization(row, 0)?, rows::count(row, 1)?);
        }
        for row in taken.iter().chain(&found) {
            let known = ExistingReferral {
                owner: rows::organization(row, 1)?,
                engagement: rows::engagement_id(row, 2)?,
                version: rows::count(row, 3)?,
                facet: rows::facet(row, 4)?,
                offer_lead: rows::get(row, 5)?,
                created: rows::get(row, 6)?,
                country: rows::text(row, 7)?,
                team: rows::team(row, 8)?,
            };
            state.referrals.insert(rows::referral_id(row, 0)?, known);
        }
        for row in &answers {
            let digest = rows::digest(row, 1)?;
            state.answers.insert((rows::organization(row, 0)?, digest), rows::encoded_response(row, 2)?);
        }
        state.open.extend(guarded.into_iter().map(|pair| (pair, 0)));
        for row in &open {
            let pair = (rows::engagement_id(row, 0)?, rows::organization(row, 1)?);
            state.open.insert(pair, rows::get(row, 2)?);
        }
        Ok(state)
    }
}

/// Every transaction takes the locks in the order of the ids.
pub(super) const LOCK: &str = "SELECT organization, position
     FROM log_head
     WHERE organization = ANY ($1)
     ORDER BY organization
     FOR UPDATE";

/// Finds ids that exist, under any owner.
const FIND_NEW: &str = "SELECT referral.id, referral.owner, referral.engagement, version, class, offer_lead,
            referral.created, country, team
     FROM referral_directory
     JOIN referral
       ON referral.owner = referral_directory.owner
       AND referral.id = referral_directory.id
     WHERE referral_directory.id = ANY ($1)";

const FIND: &str = "SELECT referral.id, referral.owner, referral.engagement, version, class, offer_lead,
            referral.created, country, team
     FROM unnest($1, $2) AS seen (owner, id)
     JOIN referral
       ON referral.owner = seen.owner
       AND referral.id = seen.id";

const REMEMBER: &str = "SELECT answer.organization, answer.digest, request_digest, status, content
     FROM unnest($1, $2) AS asked (organization, digest)
     JOIN answer
       ON answer.organization = asked.organization
       AND answer.digest = asked.digest";

/// Status 3 is `Closed`.
const GUARD: &str = "SELECT guarded.engagement, guarded.owner, count(*)
     FROM unnest($1, $2) AS guarded (engagement, owner)
     JOIN referral_directory
       ON referral_directory.engagement = guarded.engagement
       AND referral_directory.owner = guarded.owner
     JOIN referral
       ON referral.owner = referral_directory.owner
       AND referral.id = referral_directory.id
       AND referral.status <> 3
     GROUP BY guarded.engagement, guarded.owner";

/// The rows of a statement that may not be needed.
async fn some(
    lease: &Lease,
    sql: Option<&'static str>,
    params: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    match sql {
        Some(sql) => lease.query(sql, params).await,
        None => Ok(Vec::new()),
    }
}

/// Writes and commits, all sent at once: after a statement that fails the server does none of the others, and the commit
/// is none.
async fn finish(lease: &Lease, state: &GroupState) -> Result<(), GroupError> {
    let statements = writes::statements(state);
    let params: Vec<_> = statements.iter().map(writes::Statement::params).collect();
    let needed: Vec<_> = statements
        .iter()
        .zip(&params)
        .map(|(statement, params)| (statement.sql, params.as_slice()))
        .collect();
    lease.prepare(&needed).await?;
    let writes = statements.iter().zip(&params).map(|(statement, params)| async move {
        lease.execute(statement.sql, params).await.map_err(|error| PgError::of(&error))
    });
    let done = async {
        let writes = join_all(writes);
        let commit =
            async { lease.client().batch_execute("COMMIT").await.map_err(|error| PgError::of(&error)) };
        let (writes, commit) = tokio::join!(biased; writes, commit);
        let writes = writes.into_iter().map(|write| write.map(drop));
        Ok(writes.chain([commit]).filter_map(Result::err).collect::<Vec<PgError>>())
    };
    let pg_errors = match lease.with_timeout(done).await {
        Ok(pg_errors) => pg_errors,
        Err(pg_error) => return Err(GroupError::Unknown(StoreError::from(pg_error).to_string())),
    };
    match pg_errors.into_iter().find(PgError::is_cause) {
        None => Ok(()),
        Some(PgError::Unreachable(what)) => Err(GroupError::Unknown(what)),
        Some(pg_error) => Err(GroupError::Before(pg_error)),
    }
}

fn answer(group: Vec<Request>, decided: Vec<Decided>) {
    for (request, decided) in group.into_iter().zip(decided) {
        match (request, decided) {
            (Request::One(_, reply), Decided::One(outcome)) => drop(reply.send(Ok(outcome))),
            (Request::All(_, reply), Decided::All(outcome)) => drop(reply.send(Ok(outcome))),
            (request, _) => request.refuse(StoreError::Engine("an answer to another question".to_owned())),
        }
    }
}

fn refuse(group: Vec<Request>, group_error: GroupError) {
    let error = match group_error {
        GroupError::Before(pg_error) => pg_error.into(),
        GroupError::Unknown(what) => {
            tracing::warn!("the connection was lost during a commit: {what}");
            StoreError::Unavailable(format!("whether the change was made is not known: {what}"))
        }
        GroupError::Store(error) => error,
    };
    for request in group {
        request.refuse(error.clone());
    }
}
