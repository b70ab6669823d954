//! What each number among the settings may be. A setting without a row here is refused by a test, not by chance.

use toml::{Table, Value};

const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;
const TIB: f64 = 1_048_576.0 * MIB;

/// Section, key, least and most. Beyond these a number is a slip: it would take a limit away, or all service.
const RANGES: &[(&str, &str, f64, f64)] = &[
    ("listener", "header_timeout_seconds", 1.0, DAY),
    ("listener", "idle_timeout_seconds", 1.0, DAY),
    ("listener", "write_timeout_seconds", 1.0, DAY),
    ("listener", "max_connections", 1.0, 1e6),
    // So that the process ends within ten seconds.
    ("listener", "shutdown_grace_seconds", 0.0, 8.0),
    ("store", "connections", 2.0, 1000.0),
    ("store", "statement_timeout_seconds", 1.0, 3600.0),
    ("store", "cache_bytes", 0.0, TIB),
    ("store", "list_cache_bytes", 0.0, TIB),
    // Each is a thread with a connection of its own.
    ("store", "reader_threads", 1.0, 256.0),
    ("store", "group_limit", 1.0, 65_536.0),
    ("limits", "body_bytes", 1.0, 64.0 * MIB),
    ("limits", "concurrent_requests", 1.0, 1e6),
    ("limits", "request_memory_bytes", MIB, TIB),
    ("limits", "answer_memory_bytes", MIB, TIB),
    ("limits", "request_deadline_seconds", 1.0, DAY),
    ("limits", "requests_per_second", 0.0, 1e6),
    ("limits", "burst_requests", 1.0, 1e6),
    ("limits", "token_leeway_seconds", 0.0, 3600.0),
];

/// Whether every number is one that a server can work with.
///
/// # Errors
/// One line that names the first that is not, with what it may be.
pub(super) fn check(settings: &Table) -> Result<(), String> {
    for (section, key, least, most) in RANGES {
        let value = settings.get(*section).and_then(|section| section.get(key));
        let number = match value {
            Some(Value::Integer(number)) => *number as f64,
            Some(Value::Float(number)) => *number,
            // What is no number is refused where settings are read into types.
            _ => continue,
        };
        if !(*least..=*most).contains(&number) {
            let value = value.map(Value::to_string).unwrap_or_default();
            return Err(format!("{section}.{key} is {value}: it must be {least} to {most}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, DEFAULT};
    use super::*;

    /// Every setting that the default file names, those without a default too.
    fn every_setting() -> Table {
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with('[') || rest.split(' ').nth(1) == Some("=") => rest.to_owned(),
            Some(_) => String::new(),
            None => line.to_owned(),
        };
        let text: Vec<String> = DEFAULT.lines().map(uncommented).collect();
        text.join("\n").parse().unwrap()
    }

    fn load(section: &str, key: &str, value: &str) -> Result<(), String> {
        let name = format!("COSELL_{}_{}", section.to_uppercase(), key.to_uppercase());
        let loaded = Config::load(None, std::iter::once((name, value.to_owned())));
        loaded.map(drop).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_number_among_the_settings_has_a_range() {
        let mut numbers = 0;
        for (section, keys) in every_setting() {
            let Value::Table(keys) = keys else { continue };
            for (key, value) in keys {
                if !matches!(value, Value::Integer(_) | Value::Float(_)) {
                    continue;
                }
                numbers += 1;
                let known = RANGES.iter().any(|(of, name, ..)| *of == section && **name == key);
                assert!(known, "{section}.{key} has no range in config/ranges.rs");
            }
        }
        assert_eq!(numbers, RANGES.len(), "a range is of a setting that is not there");
    }

    #[test]
    fn a_number_out_of_its_range_is_refused_with_its_name_its_value_and_the_range() {
        for (section, key, least, most) in RANGES {
            for good in [least, most] {
                assert_eq!(load(section, key, &format!("{good}")), Ok(()), "{section}.{key} = {good}");
            }
            let absurd = [
                "-1",
                "-9223372036854775808",
                "9223372036854775807",
                "9000000000000000000",
                "nan",
                "inf",
                "-inf",
            ];
            let beside = [format!("{}", least - 1.0), format!("{}", most + 1.0)];
            for bad in absurd.into_iter().map(str::to_owned).chain(beside) {
                let problem = load(section, key, &bad).expect_err(&format!("{section}.{key} = {bad}"));
                assert_eq!(problem.lines().count(), 1, "{problem}");
                for word in [format!("{section}.{key}"), bad, format!("{least} to {most}")] {
                    assert!(problem.contains(&word), "{word} in {problem}");
                }
            }
        }
    }
}
