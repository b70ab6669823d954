//! Expensive expressions of OData's query language, drawn at random, and the places in a request that carry one.

use crate::support::chance::Chance;
use crate::world::{REFERRALS, Targets};

/// Patterns that compile to much more than their text, or that a backtracking matcher is slow at.
pub fn pattern(chance: &mut Chance) -> String {
    let count = [50, 200, 500, 1_000, 5_000, 100_000][chance.below(6) as usize];
    let low = 2 + chance.below(40);
    match chance.below(12) {
        0 | 1 => format!("(a?){{{count}}}b"),
        2 => format!("((a{{{low}}}){{{low}}}){{{low}}}"),
        3 => format!("(((a?{{0,{low}}}){{0,{low}}}){{0,{low}}}){{0,{low}}}b"),
        4 => format!("(.*a){{{low}}}"),
        5 => "(a+a+)+b".to_owned(),
        6 => "(a|aa)+$".to_owned(),
        7 => format!("[\\w\\d\\s]{{{count}}}$"),
        8 => format!("({})*b", vec!["a"; count.min(3_000) as usize].join("|")),
        9 => format!("^{}{}$", "a?".repeat(count.min(2_000) as usize), "a".repeat(count.min(2_000) as usize)),
        10 => format!("{}a{}", "(".repeat(low as usize * 5), ")*".repeat(low as usize * 5)),
        _ => format!("(.{{1,{count}}}){{1,{low}}}x"),
    }
}

/// Draws expressions. Long texts are behind parameter aliases, which an expression may use many times.
pub struct Expressions<'a> {
    chance: &'a mut Chance,
    /// `@t0='…'` and so on, to be added to the query.
    aliases: Vec<String>,
    /// How many more parts the expression may have.
    left: usize,
    /// How many variables of lambdas there are.
    variables: usize,
}

impl<'a> Expressions<'a> {
    /// Expressions of about so many parts, with aliases of so many characters.
    pub fn new(chance: &'a mut Chance, parts: usize, long: usize) -> Expressions<'a> {
        let letters = ["a", "ab", "x"][chance.below(3) as usize];
        let text = letters.repeat(long / letters.len());
        let mut aliases = vec![format!("@t0='{text}'")];
        if chance.percent(40) {
            aliases.push("@t1=concat(@t0,@t0)".to_owned());
            aliases.push("@t2=concat(@t1,@t1)".to_owned());
        }
        Expressions { chance, aliases, left: parts, variables: 0 }
    }

    /// What must stand in the query beside the expressions, each with an ampersand before it.
    pub fn aliases(&self) -> String {
        self.aliases.iter().map(|alias| format!("&{alias}")).collect()
    }

    fn one_more(&mut self, depth: usize) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0 && depth < 50
    }

    /// An expression that is a text.
    pub fn text(&mut self, depth: usize) -> String {
        let simple = !self.one_more(depth) || self.chance.percent(30);
        let next = depth + 1;
        match self.chance.below(if simple { 5 } else { 10 }) {
            0 => "details/notes".to_owned(),
            1 | 2 => format!("@t{}", self.chance.below(self.aliases.len() as u64)),
            3 => "name".to_owned(),
            4 => format!("'{}'", "b".repeat(self.chance.below(50) as usize)),
            5 | 6 => format!("concat({},{})", self.text(next), self.text(next)),
            7 => {
                let function = ["toupper", "tolower", "trim"][self.chance.below(3) as usize];
                format!("{function}({})", self.text(next))
            }
            8 => format!("substring({},{})", self.text(next), self.chance.below(9)),
            _ => format!("case({}:{},true:{})", self.boolean(next), self.text(next), self.text(next)),
        }
    }

    /// An expression that is a number.
    pub fn number(&mut self, depth: usize) -> String {
        let simple = !self.one_more(depth) || self.chance.percent(30);
        let next = depth + 1;
        match self.chance.below(if simple { 3 } else { 8 }) {
            0 => "details/dealValue".to_owned(),
            1 => self.chance.below(u64::MAX >> 2).to_string(),
            2 => "team/$count".to_owned(),
            3 => format!("length({})", self.text(next)),
            4 => format!("indexof({},{})", self.text(next), self.text(next)),
            5 => format!("team/$count($filter={})", self.of_member("", next)),
            6 => format!("round({})", self.number(next)),
            _ => {
                let operator = ["add", "sub", "mul", "div", "mod", "divby"][self.chance.below(6) as usize];
                format!("({} {operator} {})", self.number(next), self.number(next))
            }
        }
    }

    /// An expression that is true or false.
    pub fn boolean(&mut self, depth: usize) -> String {
        let simple = !self.one_more(depth) || self.chance.percent(20);
        let next = depth + 1;
        match self.chance.below(if simple { 3 } else { 12 }) {
            0 => format!("{} eq {}", self.text(next), self.text(next)),
            1 => format!("contains({},{})", self.text(next), self.text(next)),
            2 => format!("{} gt {}", self.number(next), self.number(next)),
            3 => format!("matchesPattern({},'{}')", self.text(next), pattern(self.chance)),
            4 => format!("not ({})", self.boolean(next)),
            5 | 6 => {
                let operator = [" or ", " and "][self.chance.below(2) as usize];
                let count = 2 + self.chance.below(40);
                let terms: Vec<String> = (0..count).map(|_| format!("({})", self.boolean(next))).collect();
                terms.join(operator)
            }
            7 | 8 => {
                let (name, quantifier) = (self.variable(), ["any", "all"][self.chance.below(2) as usize]);
                let list = ["team", "customerProfile/team"][self.chance.below(2) as usize];
                format!("{list}/{quantifier}({name}:{})", self.of_member(&format!("{name}/"), next))
            }
            9 => {
                let members: Vec<String> = (0..1 + self.chance.below(30)).map(|_| self.text(next)).collect();
                format!("{} in ({})", self.text(next), members.join(","))
            }
            10 => format!("startswith({},{})", self.text(next), self.text(next)),
            _ => format!("({}) eq ({})", self.boolean(next), self.boolean(next)),
        }
    }

    /// A condition on a member of a team; `before` names the member.
    pub fn of_member(&mut self, before: &str, depth: usize) -> String {
        let next = depth + 1;
        if !self.one_more(depth) {
            return format!("{before}email ne 'x'");
        }
        match self.chance.below(6) {
            0 => format!("contains({before}email,{})", self.text(next)),
            1 => format!("matchesPattern({before}firstName,'{}')", pattern(self.chance)),
            2 => {
                let name = self.variable();
                let inner = self.of_member(&format!("{name}/"), next);
                format!("$it/team/any({name}:{inner} and {name}/email ne {before}email)")
            }
            3 => format!("concat({before}firstName,{}) ne {before}lastName", self.text(next)),
            4 => format!("not ({})", self.of_member(before, next)),
            _ => format!("{before}email ne {} or {}", self.text(next), self.of_member(before, next)),
        }
    }

    fn variable(&mut self) -> String {
        self.variables += 1;
        format!("v{}", self.variables)
    }
}

/// What an expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Boolean,
    Text,
    Number,
}

/// The path and query of a request that carries an expression, not encoded yet; and the name of the place.
pub fn carried(chance: &mut Chance, targets: &Targets, of: Of, expression: &str) -> (&'static str, String) {
    let id = &targets.noted[chance.below(targets.noted.len() as u64) as usize];
    let large = &targets.large[chance.below(targets.large.len() as u64) as usize];
    let engagement = &targets.engagement;
    let condition = match of {
        Of::Boolean => expression.to_owned(),
        Of::Text => format!("{expression} ne 'q'"),
        Of::Number => format!("{expression} ne 7"),
    };
    match chance.below(22) {
        0..=2 => ("$filter", format!("{REFERRALS}?$filter={condition}")),
        3 => ("$filter, reversed", format!("{REFERRALS}?$filter=not ({condition})&$top=100")),
        4 => ("$count of a filter", format!("{REFERRALS}/$count?$filter={condition}")),
        5 => ("$orderby", format!("{REFERRALS}?$orderby={expression},{expression} desc")),
        6 | 7 => ("$compute", format!("{REFERRALS}?$compute={expression} as c&$select=c")),
        8 => ("$compute, ordered", format!("{REFERRALS}?$compute={expression} as c&$orderby=c&$select=id,c")),
        9 => ("$compute of one", format!("{REFERRALS}/{id}?$compute={expression} as c&$select=c")),
        10 => {
            ("$compute of a large one", format!("{REFERRALS}/{large}?$compute={expression} as c&$select=c"))
        }
        11 => ("$apply filter", format!("{REFERRALS}?$apply=filter({condition})/aggregate($count as n)")),
        12 => (
            "$apply compute",
            format!("{REFERRALS}?$apply=compute({expression} as c)/groupby((c),aggregate($count as n))"),
        ),
        13 => (
            "$apply distinct",
            format!("{REFERRALS}?$apply=compute({expression} as c)/aggregate(c with countdistinct as n)"),
        ),
        14 => ("segment", format!("{REFERRALS}/$filter({condition})/$count?$top=5")),
        15 => ("segments", format!("{REFERRALS}/$filter({condition})/$filter({condition})?$top=5")),
        16 => (
            "$expand",
            format!(
                "{REFERRALS}?$filter=engagementId eq '{engagement}'&$expand=relatedReferrals($filter={condition};$top=3)"
            ),
        ),
        17 => ("engagement", format!("{REFERRALS}?$filter=engagementId eq '{engagement}' and ({condition})")),
        18 => (
            "related",
            format!(
                "{REFERRALS}/{}/relatedReferrals?$filter={condition}&$orderby={expression}",
                targets.related[0]
            ),
        ),
        19 => ("$top 0", format!("{REFERRALS}?$filter={condition}&$top=0&$count=true")),
        20 => ("$skip", format!("{REFERRALS}?$filter={condition}&$skip=1000000000000000000&$count=true")),
        _ => ("constant", format!("{REFERRALS}?$filter=name eq 'x' or ({condition})&$top=1")),
    }
}
