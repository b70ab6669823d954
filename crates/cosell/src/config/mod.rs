//! The settings of `cosell serve`: a commented default file, laid over by a file, the environment, and the command
//! line, then read into types once. One small file per section.

mod issuer;
mod limits;
mod listener;
mod log;
mod ranges;
mod secrets;
mod storage;
mod switches;

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::failure::Failure;

pub use issuer::IssuerConfig;
pub use limits::LimitsConfig;
pub use listener::{Listener, Tls, public_url};
pub use log::Log;
pub use storage::{DatabaseLocation, Storage, list_limits};
pub use switches::Switches;

/// The manual and the defaults in one.
pub const DEFAULT: &str = include_str!("default.toml");

/// Environment variables that begin so are settings.
const PREFIX: &str = "COSELL_";
/// Except these, which are the project's own tests'.
const TESTS: &str = "COSELL_TEST_";

/// Every setting of a server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[listener]`
    pub listener: Listener,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[store]`
    pub store: Storage,
    /// `[[issuer]]`
    #[serde(default)]
    pub issuer: Vec<IssuerConfig>,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[switches]`
    pub switches: Switches,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// The defaults, laid over by a file and by the environment.
    ///
    /// # Errors
    /// `Usage`, one line: a file that cannot be read or is no TOML, an unknown key, a value of the wrong kind.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, Failure> {
        let mut settings: Table = DEFAULT.parse().expect("the default settings are TOML");
        if let Some(path) = file {
            let name = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
            let table = parse(&text).map_err(|problem| Failure::usage(format!("{name}: {problem}")))?;
            merge_from(&mut settings, table);
            read(settings.clone()).map_err(|problem| Failure::usage(format!("{name}: {problem}")))?;
        }
        for (name, value) in environment {
            if name.starts_with(PREFIX) && !name.starts_with(TESTS) {
                apply_variable(&mut settings, &name, &value)
                    .and_then(|()| read(settings.clone()).map(drop))
                    .map_err(|problem| {
                        Failure::usage(format!("the environment variable {name}: {problem}"))
                    })?;
            }
        }
        read(settings).map_err(Failure::usage)
    }
}

impl Config {
    /// Warns of files with secrets that others on this machine can read, and of others that they can change.
    pub fn warn_of_open_files(&self, file: Option<&Path>) {
        if let Some(tls) = &self.tls {
            tls.warn_of_open_files();
        }
        if let Some(file) = file {
            match &self.store.database {
                Some(database) if secrets::has_password(database) => {
                    secrets::warn_of_open_secret(file, "The configuration with the database password,");
                }
                _ => secrets::warn_of_open_trust(file, "The configuration"),
            }
        }
        self.store.warn_of_open_files();
        self.issuer.iter().for_each(IssuerConfig::warn_of_open_files);
    }
}

fn read(settings: Table) -> Result<Config, String> {
    ranges::check(&settings)?;
    settings.try_into().map_err(|error: toml::de::Error| one_line(&error.to_string()))
}

fn parse(text: &str) -> Result<Table, String> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        one_line(&format!("{place}{}", error.message()))
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tables are laid over member by member; everything else is replaced.
fn merge_from(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge_from(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// `COSELL_SECTION_KEY`: a section's name is one word. `COSELL_ISSUER_…` speaks of the first issuer.
fn apply_variable(settings: &mut Table, name: &str, value: &str) -> Result<(), String> {
    let name = name[PREFIX.len()..].to_lowercase();
    let Some((section, key)) = name.split_once('_') else {
        return Err("names no setting; it should be COSELL_SECTION_KEY".to_owned());
    };
    let place = if section == "issuer" {
        let issuers = settings.entry(section).or_insert_with(|| Value::Array(Vec::new()));
        let issuers = issuers.as_array_mut().ok_or("issuer is no list")?;
        if issuers.is_empty() {
            issuers.push(Value::Table(Table::new()));
        }
        &mut issuers[0]
    } else {
        settings.entry(section).or_insert_with(|| Value::Table(Table::new()))
    };
    let place = place.as_table_mut().ok_or_else(|| format!("{section} is no section"))?;
    place.insert(key.to_owned(), value_of(value));
    Ok(())
}

/// Truth values, numbers and lists as TOML writes them; everything else is text as it stands.
fn value_of(text: &str) -> Value {
    let alone: Option<Value> =
        format!("it = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("it"));
    match alone {
        Some(value @ (Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cosell.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(&file), environment).map_err(|failure| {
            assert!(matches!(failure, Failure::Usage(_)));
            failure.to_string()
        })
    }

    #[test]
    fn the_default_file_is_the_default_and_every_key_it_mentions_is_known() {
        let defaults = Config::load(None, std::iter::empty()).unwrap();
        assert_eq!(load(DEFAULT, &[]).unwrap(), defaults);
        // With every key that has no default put in.
        let uncommented: Vec<&str> = DEFAULT
            .lines()
            .map(|line| {
                line.strip_prefix('#').map_or(line, |rest| {
                    let is_setting = rest.starts_with('[') || rest.split(' ').nth(1) == Some("=");
                    if is_setting { rest } else { "" }
                })
            })
            .collect();
        let all = load(&uncommented.join("\n"), &[]).unwrap();
        assert_eq!(all.issuer[0].identity_claims.len(), 1);
        assert!(all.tls.is_some() && all.store.directory.is_some() && all.listener.public_url.is_some());
    }

    #[test]
    fn a_file_changes_what_it_names_and_the_environment_wins() {
        let text = "[listener]\naddress = '127.0.0.1:9000'\n[log]\nlevel = 'warn'\n[[issuer]]\nurl = 'https://a.example'";
        let config = load(
            text,
            &[
                ("COSELL_LOG_LEVEL", "debug"),
                ("COSELL_LISTENER_MAX_CONNECTIONS", "7"),
                ("COSELL_SWITCHES_OBJECT_PATCH", "true"),
                ("COSELL_ISSUER_AUDIENCES", "['x', 'y']"),
                ("COSELL_TEST_KILLS", "50"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.listener.address.to_string(), "127.0.0.1:9000");
        assert_eq!(config.listener.max_connections, 7);
        assert_eq!(config.log.level, crate::logging::Level::Debug);
        assert!(config.switches.object_patch);
        assert_eq!(config.issuer[0].audiences.as_deref(), Some(&["x".to_owned(), "y".to_owned()][..]));
        assert_eq!(config.issuer[0].name(), "https://a.example");
    }

    #[test]
    fn what_is_unknown_or_wrong_is_named_in_one_line() {
        for (text, environment, words) in [
            ("[listener]\nadress = 'x'", None, &["cosell.toml", "adress", "listener"][..]),
            ("[listner]", None, &["listner"]),
            ("[listener]\nmax_connections = 'many'", None, &["max_connections"]),
            ("[listener\n", None, &["cosell.toml: line 1"]),
            ("[log]\nlevel = 'loud'", None, &["loud", "debug"]),
            ("[[issuer]]\nname = 'a'", None, &["url"]),
            ("", Some(("COSELL_LOG_LOUDNESS", "3")), &["COSELL_LOG_LOUDNESS", "loudness"]),
            ("", Some(("COSELL_DATA", "x")), &["COSELL_DATA", "COSELL_SECTION_KEY"]),
            ("", Some(("COSELL_LIMITS_BODY_BYTES", "big")), &["COSELL_LIMITS_BODY_BYTES"]),
        ] {
            let problem = load(text, environment.as_slice()).unwrap_err();
            for word in words {
                assert!(problem.contains(word), "{word} in {problem}");
            }
            assert!(!problem.contains('\n'), "{problem}");
        }
    }
}
