//! `$apply` over an owner's referrals: which rows go into the steps of `aggregation.rs`, and what is read of each.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use referral::ReferralId;
use tokio_postgres::Row;

use super::list_threads::ListThreads;
use super::pool::Pool;
use super::query::{Reading, ask};
use super::rows;
use super::ways::{Sql, Ways};
use crate::aggregation::{Finished, Pipeline, add_kept, complete, ids, is_kept, leading_query};
use crate::asked::{Asked, check_expressions};
use crate::item::{Column, ColumnValues, ItemSource};
use crate::list_work::{ListWork, QueryLimits};
use crate::plan::Way;
use crate::{Aggregated, Aggregation, StoreError};

/// Documents that are fetched at a time.
const FETCHED: usize = 64;

/// The results of an aggregation, all of one moment.
pub(super) async fn aggregate(
    pool: &Arc<Pool>,
    threads: &ListThreads,
    limits: QueryLimits,
    aggregation: &Aggregation,
) -> Result<Aggregated, StoreError> {
    let pool = Arc::clone(pool);
    let asked = aggregation.clone();
    threads
        .run(&aggregation.scope.owner, move |interrupt| async move {
            let work = ListWork::new(limits, interrupt);
            aggregate_within(&pool, &asked, &work).await
        })
        .await
}

async fn aggregate_within(
    pool: &Arc<Pool>,
    aggregation: &Aggregation,
    work: &ListWork,
) -> Result<Aggregated, StoreError> {
    let (query, steps) = leading_query(aggregation);
    check_expressions(query.filter.as_ref(), &query.order)?;
    let mut pipeline = Pipeline::new(aggregation, steps, work)?;
    if aggregation.limit == 0 {
        return Ok(Aggregated::default());
    }
    let (reading, asked) = ask(pool, &query, work).await?;
    let left_out = reading.feed(&asked, &mut pipeline, work).await?;
    let mut made = match pipeline.finish()? {
        Finished::Rows(rows) => Aggregated { rows, left_out: 0 },
        Finished::Referrals(parts) => {
            let documents = reading.documents(&asked, &ids(&parts)?, work).await?;
            complete(parts, &documents, work)?
        }
    };
    reading.end().await?;
    made.left_out += left_out;
    Ok(made)
}

impl Reading {
    /// Brings every referral that matches into the steps; how many could not be read.
    async fn feed(
        &self,
        asked: &Asked<'_>,
        pipeline: &mut Pipeline<'_>,
        work: &ListWork,
    ) -> Result<usize, StoreError> {
        let way = asked.set_way();
        if way == Way::Nothing {
            return Ok(0);
        }
        if let Some(columns) = pipeline.counted_columns() {
            if is_kept(&asked.conditions, &columns) {
                add_kept(pipeline, &asked.figures, asked.classes())?;
                return Ok(0);
            }
            if asked.is_plain() && asked.conditions.search.is_none() {
                self.feed_counts(asked, &way, columns, pipeline, work).await?;
                return Ok(0);
            }
        }
        let source = pipeline.source(asked.residual_paths());
        let scanned = self.scan(asked, &way, &source, work, |candidate| {
            if asked.matches(&candidate.item, work)? {
                pipeline.add(candidate.created, candidate.id, candidate.item, 1)?;
            }
            Ok(())
        });
        scanned.await
    }

    /// Brings the numbers of referrals with the same values in some columns: PostgreSQL counts them.
    async fn feed_counts(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        columns: Vec<Column>,
        pipeline: &mut Pipeline<'_>,
        work: &ListWork,
    ) -> Result<(), StoreError> {
        let mut names: Vec<&str> = columns.iter().map(|column| column.sql()).collect();
        names.sort_unstable();
        names.dedup();
        let select: String = names.iter().map(|name| format!(", {name}")).collect();
        let mut sql: Sql = (Ways { asked }).set(way, &format!("count(*){select}"));
        if !names.is_empty() {
            sql.push(&format!(" GROUP BY {}", names.join(", ")));
        }
        let source = ItemSource::Columns(columns);
        let visited = self.visit(&sql, |row| {
            work.take_row()?;
            let values = grouped_values(row, &names)?;
            match rows::count(row, 0)? {
                0 => Ok(()),
                count => pipeline.add(values.created, values.id, source.from_columns(&values), count),
            }
        });
        visited.await
    }

    /// The documents of these referrals; none for those that are damaged.
    async fn documents(
        &self,
        asked: &Asked<'_>,
        ids: &[ReferralId],
        work: &ListWork,
    ) -> Result<HashMap<ReferralId, Bytes>, StoreError> {
        let mut documents = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(FETCHED) {
            for referral in self.referrals_of(asked.query.scope.owner.as_bytes(), chunk).await? {
                work.hold(referral.document.len())?;
                documents.insert(referral.id, referral.document);
            }
        }
        Ok(documents)
    }
}

/// Reads a count and, after it, the columns of these names; the others have values of no meaning.
fn grouped_values(row: &Row, names: &[&str]) -> Result<ColumnValues, StoreError> {
    let mut values = ColumnValues::empty();
    for (place, name) in (1..).zip(names) {
        match *name {
            "referral.id" => values.id = rows::referral_id(row, place)?,
            "referral.engagement" => values.engagement = rows::engagement_id(row, place)?,
            "referral.created" => values.created = rows::get(row, place)?,
            "referral.updated" => values.updated = rows::get(row, place)?,
            "referral.expires" => values.expires = rows::get(row, place)?,
            "referral.accepted" => values.accepted = rows::get(row, place)?,
            "referral.country" => values.country = rows::text(row, place)?,
            "referral.shared_with_microsoft" => values.shared_with_microsoft = rows::get(row, place)?,
            _ => values.class = rows::class(row, place)?,
        }
    }
    Ok(values)
}
