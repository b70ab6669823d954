//! `cosell load`: many referrals at once, from a file or invented.

mod fast_path;
mod generated;
mod lines;
mod parallel;
mod row;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use indicatif::ProgressBar;
use referral::OrganizationId;
use store::{BulkReport, Organization, Store, Transfer, Write};

use super::progress::{Unit, bar};
use crate::failure::Failure;
use crate::options::LoadOptions;
use crate::{seed, serving, terminal};

/// How many bad lines are told one by one.
const MAX_PRINTED_ERRORS: usize = 20;

/// What one thread made of a piece of the input.
#[derive(Default)]
struct Batch {
    rows: Vec<Write>,
    /// Line and reason. When bad lines stop the load, nothing after the first one is in `rows`.
    bad: Vec<(u64, String)>,
    /// Owners the store does not know, with the names that rows give them.
    unknown: BTreeMap<OrganizationId, String>,
    /// How far this piece brings the progress bar.
    steps: u64,
}

/// What is known of the whole when the rows are through.
#[derive(Default)]
struct LoadCounts {
    bad: u64,
    /// The first bad line, when it stopped the load; or the reason why reading did.
    stopped: Option<String>,
    told: usize,
    unknown: BTreeMap<OrganizationId, String>,
    document_bytes: u64,
}

/// Loads.
///
/// # Errors
/// `Failed` when the file cannot be read, at the first bad line unless those are to be left out, and when the store
/// is in use or refuses. What was read before a bad line is loaded.
pub fn run(options: LoadOptions) -> Result<(), Failure> {
    serving::run(async {
        let location = super::location(&options.place)?;
        let store = super::open_and_check(&location).await?;
        let outcome = load(&options, store.as_ref()).await;
        store.close().await;
        outcome
    })
}

async fn load(options: &LoadOptions, store: &dyn Transfer) -> Result<(), Failure> {
    let organizations = owners(options, store).await?;
    let begun = Instant::now();
    let (batches, bar) = source(options, &organizations)?;
    let counts = Arc::new(Mutex::new(LoadCounts::default()));
    let rows =
        Rows { batches, bar: bar.clone(), counts: Arc::clone(&counts), stop_at_bad: !options.skip_bad };
    let report = store.load(Box::new(rows)).await?;
    bar.finish_and_clear();
    let counts = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    for (id, name) in &counts.unknown {
        add_organization(store, id, name).await?;
    }
    print_report(&report, &counts, begun.elapsed().as_secs_f64());
    match counts.stopped {
        Some(problem) => Err(Failure::failed(problem)),
        None => Ok(()),
    }
}

/// The store's organizations. For invented referrals an empty store is given those of the sandbox first.
async fn owners(options: &LoadOptions, store: &dyn Transfer) -> Result<Vec<Organization>, Failure> {
    let organizations = store.organizations().await?;
    if options.generate.is_none() || !organizations.is_empty() {
        return Ok(organizations);
    }
    let seeded = seed::organizations();
    // Refused before anything is written.
    generated::owners(&seeded, options.organization.as_ref())?;
    for organization in &seeded {
        store.save_organization(organization).await?;
    }
    Ok(seeded)
}

type Batches = Box<dyn Iterator<Item = Batch> + Send>;

fn source(options: &LoadOptions, organizations: &[Organization]) -> Result<(Batches, ProgressBar), Failure> {
    if let Some(count) = options.generate {
        let owners = generated::owners(organizations, options.organization.as_ref())?;
        return Ok((Box::new(generated::batches(count, owners)), bar(count, Unit::Each)));
    }
    let path = options.file.as_deref().unwrap_or(Path::new("-"));
    let input = lines::open(path)?;
    let bar = match input.length {
        Some(length) => bar(length, Unit::Bytes),
        None => bar(0, Unit::Bytes),
    };
    let rules = row::ReadRules::new(organizations, options.organization.clone());
    Ok((Box::new(lines::batches(input, rules, !options.skip_bad)), bar))
}

/// The rows of the batches, as the store draws them.
struct Rows {
    batches: Batches,
    bar: ProgressBar,
    counts: Arc<Mutex<LoadCounts>>,
    stop_at_bad: bool,
}

impl Iterator for Rows {
    type Item = Vec<Write>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.stopped.is_some() {
            return None;
        }
        let batch = self.batches.next()?;
        self.bar.inc(batch.steps);
        counts.take(&batch, self.stop_at_bad);
        Some(batch.rows)
    }
}

impl LoadCounts {
    fn take(&mut self, batch: &Batch, stop_at_bad: bool) {
        self.document_bytes += batch.rows.iter().map(|row| row.referral.document.len() as u64).sum::<u64>();
        for (id, name) in &batch.unknown {
            self.unknown.entry(id.clone()).or_insert_with(|| name.clone());
        }
        self.bad += batch.bad.len() as u64;
        for (line, problem) in &batch.bad {
            let problem = match line {
                0 => problem.clone(),
                line => format!("line {line}: {problem}"),
            };
            if stop_at_bad || *line == 0 {
                self.stopped.get_or_insert(problem);
                return;
            }
            if self.told < MAX_PRINTED_ERRORS {
                self.told += 1;
                terminal::print_error(&format!("left out {problem}"));
            }
        }
    }
}

/// An owner that the rows know better than the store: its people cannot sign in until it has an issuer.
async fn add_organization(store: &dyn Store, id: &OrganizationId, name: &str) -> Result<(), Failure> {
    let organization = Organization {
        id: id.clone(),
        name: name.to_owned(),
        issuer: String::new(),
        tenant: None,
        partner_id: None,
        locations: Vec::new(),
    };
    store.save_organization(&organization).await?;
    terminal::print_error(&format!(
        "organization {name} ({id}) was not in the store and is now, without an issuer: nobody of it can sign in"
    ));
    Ok(())
}

fn print_report(report: &BulkReport, counts: &LoadCounts, seconds: f64) {
    let seen = report.loaded + report.skipped_existing;
    let rate = if seconds > 0.0 { seen as f64 / seconds } else { 0.0 };
    let mean = counts.document_bytes.checked_div(seen).unwrap_or_default();
    let mut line = format!(
        "loaded {} referrals in {seconds:.2} s: {rate:.0} a second, {mean} bytes each",
        report.loaded
    );
    if report.skipped_existing > 0 {
        line.push_str(&format!("; {} were there already", report.skipped_existing));
    }
    if counts.bad > 0 && counts.stopped.is_none() {
        line.push_str(&format!("; {} bad lines left out", counts.bad));
    }
    terminal::print_line(&line);
}
