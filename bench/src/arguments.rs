//! The command line: `--name value` pairs, nothing else. A name that the program does not know is an error.

use std::collections::BTreeMap;

use crate::Outcome;

/// The pairs not taken yet.
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// The pairs after the program's name.
    ///
    /// # Errors
    /// A word that is no `--name`, and a name without a value.
    pub fn of_program() -> Outcome<Arguments> {
        let mut words = std::env::args().skip(1);
        let mut pairs = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("expected --name, found {word}"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Arguments(pairs))
    }

    /// The value of `--name`, if given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The value of `--name`.
    ///
    /// # Errors
    /// When it was not given.
    pub fn require(&mut self, name: &str) -> Outcome<String> {
        self.take(name).ok_or_else(|| format!("--{name} is missing").into())
    }

    /// The number after `--name`, or the default.
    ///
    /// # Errors
    /// When it is no such number.
    pub fn number<N: std::str::FromStr>(&mut self, name: &str, default: N) -> Outcome<N> {
        match self.take(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} is no number: {text}").into()),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When a pair was not taken.
    pub fn finish(self) -> Outcome<()> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("--{name} is not known").into()),
        }
    }
}
