//! `cosell copy`: everything of one store into another, whatever the engines.
//!
//! Records go over in the order of their keys, each batch whole or not at all, so a copy that was broken off goes on
//! after the last one that is there. In the end both sides are read again, side by side. Until then the target has a
//! setting that says what it is becoming, which is what no server starts with.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use exchange::search_text;
use indicatif::ProgressBar;
use referral::Referral;
use store::{Digest, Export, Record, Sum, Table, Transfer, UNFINISHED_COPY, digest_of_all};

use super::progress::{self, Unit};
use crate::config::{Config, DatabaseLocation};
use crate::failure::Failure;
use crate::options::CopyOptions;
use crate::{serving, terminal};

/// Copies and verifies.
///
/// # Errors
/// `Usage` for places that cannot be; `Failed` when one is in use, the target is not empty, the source changes meanwhile,
/// or both do not hold the same in the end.
pub fn run(options: CopyOptions) -> Result<(), Failure> {
    let config = Config::load(options.config.as_deref(), super::environment())?;
    if options.from.is_none() && options.to.is_none() {
        return Err(Failure::usage("where to? Give --from PLACE, --to PLACE or both"));
    }
    let from = location(&config, options.from.as_deref())?;
    let to = location(&config, options.to.as_deref())?;
    serving::run(async {
        let source = open_source(&from).await?;
        let target = match super::open_for_transfer(&to).await {
            Ok(target) => target,
            Err(failure) => {
                source.close().await;
                return Err(failure);
            }
        };
        let outcome = copy(&source, &target).await;
        source.close().await;
        target.close().await;
        terminal::print_line(&told(&outcome?));
        Ok(())
    })
}

/// What a place is, in the command line's words: `sqlite:DIR`, `DIR`, `postgres://…`, or `postgres:` and a list of
/// `key=value`; nothing is the place of the settings.
fn location(config: &Config, text: Option<&str>) -> Result<DatabaseLocation, Failure> {
    let mut store = config.store.clone();
    if text.is_none() && store.directory.is_none() && store.database.is_none() {
        return Err(Failure::usage("the settings name no place: give --from PLACE and --to PLACE"));
    }
    if let Some(text) = text {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        let database = match is_url {
            true => Some(text),
            false => text.strip_prefix("postgres:"),
        };
        if database.is_none() && text.contains("://") {
            return Err(Failure::usage(format!(
                "{text} is no place: that is DIR, sqlite:DIR or postgres://…"
            )));
        }
        let directory = text.strip_prefix("sqlite:").unwrap_or(text);
        store.database = database.map(str::to_owned);
        store.directory = database.is_none().then(|| Path::new(directory).to_owned());
    }
    store.location()
}

/// A source is only read, so its schema is not brought up to date in passing.
async fn open_source(location: &DatabaseLocation) -> Result<Arc<dyn Transfer>, Failure> {
    let version = super::migrate::version(location).await?;
    if version.found < version.known {
        return Err(Failure::failed(format!(
            "the source is of schema version {}, this program's is {}: run cosell migrate on it first",
            version.found, version.known
        )));
    }
    let source = super::open_for_transfer(location).await?;
    if source.setting(UNFINISHED_COPY).await?.is_some() {
        source.close().await;
        return Err(Failure::failed("the source is itself a copy that has not come to its end"));
    }
    Ok(source)
}

/// The digest of each table, in the order of [`Table::ALL`].
async fn copy(source: &Arc<dyn Transfer>, target: &Arc<dyn Transfer>) -> Result<Vec<Digest>, Failure> {
    let fingerprint = fingerprint(source).await?;
    begin(target, &fingerprint).await?;
    for table in Table::ALL {
        copy_table(source, target, table).await?;
    }
    let mut digests = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        digests.push(compare(source, target, table).await?);
    }
    if self::fingerprint(source).await? != fingerprint {
        return Err(Failure::failed(
            "the source was written to meanwhile: stop its servers, empty the target, and copy again",
        ));
    }
    target.remove_setting(UNFINISHED_COPY).await?;
    Ok(digests)
}

/// What tells one source from every other, and from itself after a write: how far each log is, and all that is small.
async fn fingerprint(source: &Arc<dyn Transfer>) -> Result<Vec<u8>, Failure> {
    let mut text = String::new();
    for (organization, position) in source.heads().await? {
        text.push_str(&format!("{organization} {position}\n"));
    }
    for table in [Table::Settings, Table::Assignments, Table::Organizations] {
        let mut sum = Sum::default();
        let mut records = source.export(table, None);
        while let Some(batch) = records.next().await? {
            batch.iter().for_each(|record| sum.take(record));
        }
        text.push_str(&format!("{} {}\n", table.as_str(), sum.end()));
    }
    Ok(digest(&SHA256, text.as_bytes()).as_ref().to_vec())
}

/// Marks an empty target as the copy of this source, or finds it marked so.
async fn begin(target: &Arc<dyn Transfer>, fingerprint: &[u8]) -> Result<(), Failure> {
    match target.setting(UNFINISHED_COPY).await? {
        Some(begun) if begun == fingerprint => Ok(()),
        Some(_) => Err(Failure::failed(
            "the target is the unfinished copy of another source, or of this one as it was before: empty it first",
        )),
        None => {
            for table in Table::ALL {
                let records = target.records(table).await?;
                if records > 0 {
                    let name = table.as_str();
                    return Err(Failure::failed(format!(
                        "the target is not empty: {name}: {records}. Copy into a new directory or database"
                    )));
                }
            }
            Ok(target.save_setting(UNFINISHED_COPY, fingerprint).await?)
        }
    }
}

/// Copies what the target lacks of a table. While one batch is written the next one is read.
async fn copy_table(
    source: &Arc<dyn Transfer>,
    target: &Arc<dyn Transfer>,
    table: Table,
) -> Result<(), Failure> {
    let bar = progress::bar(source.records(table).await?, Unit::Each);
    bar.set_message(format!("{:14}", table.as_str()));
    let after = target.last(table).await?;
    if after.is_some() {
        bar.set_position(target.records(table).await?);
    }
    let mut records = source.export(table, after);
    let mut ready = next_records(&mut records).await?;
    while let Some(batch) = ready {
        let count = batch.len() as u64;
        let write = async { target.import(batch).await.map_err(Failure::from) };
        let ((), next) = tokio::try_join!(write, next_records(&mut records))?;
        bar.inc(count);
        ready = next;
    }
    bar.finish_and_clear();
    Ok(())
}

/// The next records, with what no engine gives away: the words by which referrals are found.
async fn next_records(records: &mut Export) -> Result<Option<Vec<Record>>, Failure> {
    let Some(mut batch) = records.next().await? else { return Ok(None) };
    if !matches!(batch.first(), Some(Record::Referral { .. })) {
        return Ok(Some(batch));
    }
    let filled = tokio::task::spawn_blocking(move || {
        for record in &mut batch {
            add_derived(record)?;
        }
        Ok(Some(batch))
    });
    filled.await.map_err(Failure::failed)?
}

fn add_derived(record: &mut Record) -> Result<(), Failure> {
    let Record::Referral { referral, search } = record else { return Ok(()) };
    let read = Referral::from_document(&referral.document)
        .map_err(|error| Failure::failed(format!("referral {} cannot be read: {error}", referral.id)))?;
    *search = search_text(&read);
    Ok(())
}

/// One side of a comparison.
struct TableReader {
    records: Export,
    batch: std::vec::IntoIter<Record>,
    sum: Sum,
}

impl TableReader {
    fn new(store: &Arc<dyn Transfer>, table: Table) -> TableReader {
        TableReader { records: store.export(table, None), batch: Vec::new().into_iter(), sum: Sum::default() }
    }

    async fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            if let Some(record) = self.batch.next() {
                self.sum.take(&record);
                return Ok(Some(record));
            }
            match self.records.next().await? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// Reads both sides of a table again, and says what differs first.
async fn compare(
    source: &Arc<dyn Transfer>,
    target: &Arc<dyn Transfer>,
    table: Table,
) -> Result<Digest, Failure> {
    let (mut left, mut right) = (TableReader::new(source, table), TableReader::new(target, table));
    let bar = progress_for(source, table).await?;
    loop {
        let both = tokio::try_join!(left.next(), right.next())?;
        match difference(table, &both) {
            Some(difference) => return Err(Failure::failed(difference)),
            None if both.0.is_none() => break,
            None => bar.inc(1),
        }
    }
    bar.finish_and_clear();
    let (source, target) = (left.sum.end(), right.sum.end());
    if source != target {
        let name = table.as_str();
        return Err(Failure::failed(format!(
            "the {name} differ: {source} in the source, {target} in the target"
        )));
    }
    Ok(source)
}

async fn progress_for(source: &Arc<dyn Transfer>, table: Table) -> Result<ProgressBar, Failure> {
    let bar = progress::bar(source.records(table).await?, Unit::Each);
    bar.set_message(format!("{:14} again ", table.as_str()));
    Ok(bar)
}

fn difference(table: Table, both: &(Option<Record>, Option<Record>)) -> Option<String> {
    let name = table.as_str();
    match both {
        (source, target) if source == target => None,
        (Some(source), Some(target)) if source.name() == target.name() => {
            Some(format!("the {name} differ: {} is not the same in source and target", source.name()))
        }
        (Some(source), Some(target)) => Some(format!(
            "the {name} differ: where the source has {}, the target has {}",
            source.name(),
            target.name()
        )),
        (Some(source), None) => Some(format!("the {name} differ: the target lacks {}", source.name())),
        (None, Some(target)) => Some(format!("the {name} differ: the source lacks {}", target.name())),
        (None, None) => None,
    }
}

fn told(digests: &[Digest]) -> String {
    let mut lines = vec!["copied and verified: SHA-256 of the records on both sides".to_owned()];
    let mut line = |name: &str, digest: &Digest| {
        lines.push(format!("{name:14} {:>10}  {digest}", digest.records));
    };
    for (table, digest) in Table::ALL.iter().zip(digests) {
        line(table.as_str(), digest);
    }
    line("all", &digest_of_all(digests));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_database() {
        let config = Config::load(None, std::iter::empty()).unwrap();
        let told = |text: &str| match location(&config, Some(text)).unwrap() {
            DatabaseLocation::Directory(directory, _) => format!("directory {}", directory.display()),
            DatabaseLocation::Database(address, _) => format!("database {address}"),
        };
        assert_eq!(told("world"), "directory world");
        assert_eq!(told("sqlite:/var/lib/cosell"), "directory /var/lib/cosell");
        assert_eq!(told("postgres://127.0.0.1/cosell"), "database postgres://127.0.0.1/cosell");
        assert_eq!(told("postgresql://127.0.0.1/cosell"), "database postgresql://127.0.0.1/cosell");
        assert_eq!(told("postgres:host=/run dbname=cosell"), "database host=/run dbname=cosell");
        assert!(location(&config, None).is_err(), "the settings name no place");
        assert!(
            location(&config, Some("mysql://127.0.0.1/cosell")).is_err(),
            "no directory is made of an address"
        );
    }

    #[test]
    fn the_first_difference_is_named() {
        let setting =
            |name: &str, value: &[u8]| Some(Record::Setting { name: name.to_owned(), value: value.to_vec() });
        for (source, target, words) in [
            (setting("a", b"1"), setting("a", b"1"), None),
            (None, None, None),
            (setting("a", b"1"), setting("a", b"2"), Some("setting a is not the same")),
            (
                setting("a", b"1"),
                setting("b", b"1"),
                Some("the source has setting a, the target has setting b"),
            ),
            (setting("a", b"1"), None, Some("the target lacks setting a")),
            (None, setting("b", b"1"), Some("the source lacks setting b")),
        ] {
            let difference = difference(Table::Settings, &(source, target));
            assert_eq!(difference.is_some(), words.is_some(), "{difference:?}");
            assert!(difference.unwrap_or_default().contains(words.unwrap_or_default()));
        }
    }
}
