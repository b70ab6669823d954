//! `$apply` over an owner's referrals: which rows go into the steps of `aggregation.rs`, and what is read of each.

use std::collections::HashMap;

use bytes::Bytes;
use referral::{EngagementId, ReferralId};
use rusqlite::{Row, params_from_iter};

use super::query::{ListReader, Reading};
use super::rows;
use super::ways::Ways;
use crate::aggregation::{Finished, Pipeline, add_kept, complete, ids, is_kept, leading_query};
use crate::asked::{Asked, check_expressions};
use crate::class::Class;
use crate::item::{Column, ColumnValues, ItemSource};
use crate::list_work::QueryLimits;
use crate::plan::Way;
use crate::{Aggregated, Aggregation, StoreError};

impl ListReader {
    /// The results of an aggregation, all of one moment.
    pub(super) fn aggregate(
        &self,
        limits: QueryLimits,
        aggregation: &Aggregation,
    ) -> Result<Aggregated, StoreError> {
        let work = self.meter.start(limits);
        let (query, steps) = leading_query(aggregation);
        check_expressions(query.filter.as_ref(), &query.order)?;
        let mut pipeline = Pipeline::new(aggregation, steps, &work)?;
        if aggregation.limit == 0 {
            return Ok(Aggregated::default());
        }
        let _snapshot = self.snapshot()?;
        let reading = Reading { connection: &self.connection, meter: &self.meter, work: &work, moment: None };
        let asked = reading.ask(&query)?;
        let left_out = reading.feed(&asked, &mut pipeline)?;
        let mut made = match pipeline.finish()? {
            Finished::Rows(rows) => Aggregated { rows, left_out: 0 },
            Finished::Referrals(parts) => {
                let documents = reading.documents_of(&ids(&parts)?)?;
                complete(parts, &documents, &work)?
            }
        };
        made.left_out += left_out;
        Ok(made)
    }
}

impl Reading<'_> {
    /// Brings every referral that matches into the steps; how many could not be read.
    fn feed(&self, asked: &Asked<'_>, pipeline: &mut Pipeline<'_>) -> Result<usize, StoreError> {
        let way = asked.set_way();
        if way == Way::Nothing {
            return Ok(0);
        }
        if let Some(columns) = pipeline.counted_columns() {
            if is_kept(&asked.conditions, &columns) {
                add_kept(pipeline, &asked.figures, asked.classes())?;
                return Ok(0);
            }
            if asked.is_plain() {
                self.feed_counts(asked, &way, columns, pipeline)?;
                return Ok(0);
            }
        }
        let source = pipeline.source(asked.residual_paths());
        self.scan(asked, &way, &source, |candidate| {
            if asked.matches(&candidate.item, self.work)? {
                pipeline.add(candidate.created, candidate.id, candidate.item, 1)?;
            }
            Ok(())
        })
    }

    /// Brings the numbers of referrals with the same values in some columns: SQLite counts them.
    fn feed_counts(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        columns: Vec<Column>,
        pipeline: &mut Pipeline<'_>,
    ) -> Result<(), StoreError> {
        let mut names: Vec<&str> = columns.iter().map(|column| column.sql()).collect();
        names.sort_unstable();
        names.dedup();
        let select: String = names.iter().map(|name| format!(", {name}")).collect();
        let mut sql = (Ways { asked }).set(way, &format!("count(*){select}"));
        if !names.is_empty() {
            sql.push(&format!(" GROUP BY {}", names.join(", ")));
        }
        let source = ItemSource::Columns(columns);
        let mut statement = self.judge(self.connection.prepare_cached(&sql.text))?;
        let mut found = self.judge(statement.query(params_from_iter(&sql.values)))?;
        while let Some(row) = self.judge(found.next())? {
            self.work.take_row()?;
            let values = self.judge(grouped_values(row, &names))?;
            let count: u64 = self.judge(row.get(0))?;
            if count > 0 {
                pipeline.add(values.created, values.id, source.from_columns(&values), count)?;
            }
        }
        Ok(())
    }

    /// The documents of these referrals; none for those that are damaged.
    fn documents_of(&self, ids: &[ReferralId]) -> Result<HashMap<ReferralId, Bytes>, StoreError> {
        let mut statement =
            self.judge(self.connection.prepare_cached("SELECT row FROM referral WHERE id = ?1"))?;
        let mut documents = HashMap::with_capacity(ids.len());
        for id in ids {
            let row = self.judge(statement.query_row([id.as_bytes()], |row| row.get(0)))?;
            if let Some(referral) = self.stored(row)? {
                self.work.hold(referral.document.len())?;
                documents.insert(*id, referral.document.clone());
            }
        }
        Ok(documents)
    }
}

/// Reads a count and, after it, the columns of these names; the others have values of no meaning.
fn grouped_values(row: &Row<'_>, names: &[&str]) -> rusqlite::Result<ColumnValues> {
    let mut values = ColumnValues::empty();
    for (place, name) in (1..).zip(names) {
        match *name {
            "referral.id" => values.id = rows::referral_id(row, place)?,
            "referral.engagement" => values.engagement = EngagementId::from_bytes(rows::sixteen(row, place)?),
            "referral.created" => values.created = row.get(place)?,
            "referral.updated" => values.updated = row.get(place)?,
            "referral.expires" => values.expires = row.get(place)?,
            "referral.accepted" => values.accepted = row.get(place)?,
            "referral.country" => values.country = row.get(place)?,
            "referral.shared_with_microsoft" => values.shared_with_microsoft = row.get(place)?,
            _ => values.class = Class(row.get(place)?),
        }
    }
    Ok(values)
}
