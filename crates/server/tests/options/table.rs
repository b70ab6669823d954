//! Reading `docs/options.md`.

use std::collections::{BTreeSet, HashMap};

/// What one cell of the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// The answer differs from the one without it; a success, or this status.
    Executed(Option<u16>),
    /// An error of this status and target.
    Refused(u16, String),
    /// The answer is the same.
    Same,
    /// There is no such resource.
    Absent,
}

/// A place that requests go to.
#[derive(Debug, Clone)]
pub struct Resource {
    pub name: String,
    pub methods: Vec<String>,
    /// The canonical path first; `{id}` is a referral's.
    pub paths: Vec<String>,
    pub extended_only: bool,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    pub line: usize,
    pub resources: Vec<String>,
    pub methods: Vec<String>,
    /// `$top=1` or `Accept: text/html`.
    pub sent: String,
    pub strict: Cell,
    pub extended: Cell,
    /// The mode's cell is not true yet, for one resource at least.
    pub strict_to_do: bool,
    pub extended_to_do: bool,
}

impl Row {
    /// Name and value, where a header is sent.
    pub fn header(&self) -> Option<(&str, &str)> {
        let (name, value) = self.sent.split_once(": ")?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_name.then_some((name, value))
    }

    /// What the row is about: an option with its `$`, a header in lower case, or one preference.
    pub fn key(&self) -> String {
        match self.header() {
            Some((name, value)) if name.eq_ignore_ascii_case("prefer") => {
                let preference = value.split(['=', ';', ',']).next().unwrap_or_default().trim();
                format!("prefer {}", preference.strip_prefix("odata.").unwrap_or(preference))
            }
            Some((name, _)) => name.to_ascii_lowercase(),
            None => self.sent.split('=').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The page.
pub struct Table {
    pub resources: Vec<Resource>,
    pub rows: Vec<Row>,
    /// Headers that need no row, in lower case: those of answers, of framing and of parts of batches.
    pub named_beside: BTreeSet<String>,
}

impl Table {
    pub fn read() -> Table {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");
        Table::parse(&std::fs::read_to_string(path).unwrap())
    }

    fn parse(page: &str) -> Table {
        let mut resources: Vec<Resource> = Vec::new();
        let mut groups: HashMap<String, Vec<String>> = HashMap::new();
        let mut rows = Vec::new();
        let mut named_beside = BTreeSet::new();
        for (at, line) in page.lines().enumerate() {
            let line_number = at + 1;
            let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
                if !line.starts_with('|') && !resources.is_empty() {
                    named_beside.extend(code(line).into_iter().map(str::to_ascii_lowercase));
                }
                continue;
            };
            let cells: Vec<&str> = cells.split(" | ").map(str::trim).collect();
            match cells.as_slice() {
                ["Resource" | "Group" | "Cell", ..] => {}
                [name, methods, paths, mode @ ("both" | "extended")] => resources.push(Resource {
                    name: (*name).to_owned(),
                    methods: words(methods),
                    paths: code(paths).into_iter().map(str::to_owned).collect(),
                    extended_only: *mode == "extended",
                }),
                [group, members] if !resources.is_empty() => {
                    groups.insert((*group).to_owned(), words(members));
                }
                [named, methods, sent, strict, extended] => {
                    let mut of = Vec::new();
                    for name in words(named) {
                        match groups.get(&name) {
                            Some(members) => of.extend(members.iter().cloned()),
                            None => of.push(name),
                        }
                    }
                    for name in &of {
                        let known = resources.iter().any(|resource| resource.name == *name);
                        assert!(known, "line {line_number}: no resource {name}");
                    }
                    let sent = sent.strip_prefix('`').and_then(|sent| sent.strip_suffix('`'));
                    rows.push(Row {
                        line: line_number,
                        resources: of,
                        methods: words(methods),
                        sent: sent.unwrap_or_else(|| panic!("line {line_number}: no code")).to_owned(),
                        strict: cell(strict, line_number),
                        extended: cell(extended, line_number),
                        strict_to_do: strict.starts_with(TO_DO),
                        extended_to_do: extended.starts_with(TO_DO),
                    });
                }
                _ => {}
            }
        }
        Table { resources, rows, named_beside }
    }

    pub fn resource(&self, name: &str) -> &Resource {
        self.resources.iter().find(|resource| resource.name == name).unwrap()
    }

    /// The methods of a resource that a row is about.
    pub fn methods<'a>(&'a self, row: &'a Row, resource: &'a Resource) -> Vec<&'a str> {
        let any = row.methods == ["any"];
        let all = resource.methods.iter().map(String::as_str).chain(["OPTIONS"]);
        all.filter(|method| any || row.methods.iter().any(|named| named == method)).collect()
    }
}

/// The lines of the checklist that may say that something is ignored, by number: this file proves none of them.
const LINES: [&str; 7] = ["014", "035", "048", "094", "244", "245", "260"];

/// Whether a cell names a line that says so, or a section on headers.
fn names_a_line(text: &str) -> bool {
    match text.strip_prefix("REF-") {
        Some(number) => LINES.contains(&number),
        None => text.starts_with("spec 4."),
    }
}

/// Before a cell that is not true yet.
const TO_DO: &str = "to do: ";

fn cell(text: &str, line: usize) -> Cell {
    let text = text.strip_prefix(TO_DO).unwrap_or(text);
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        "executed" if rest.is_empty() => Cell::Executed(None),
        "executed" => Cell::Executed(Some(rest.parse().unwrap())),
        "refused" => {
            let (status, target) = rest.split_once(' ').unwrap_or_else(|| panic!("line {line}: {text}"));
            Cell::Refused(status.parse().unwrap(), target.to_owned())
        }
        "ignored:" => {
            assert!(names_a_line(rest), "line {line}: {text} names no line");
            Cell::Same
        }
        "default:" | "no" => {
            assert!(rest.contains(|c: char| c.is_ascii_digit()), "line {line}: {text} names no section");
            Cell::Same
        }
        "absent" => Cell::Absent,
        _ => panic!("line {line}: {text} is no cell"),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
