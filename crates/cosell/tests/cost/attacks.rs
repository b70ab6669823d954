//! Attacks: the issue's own inputs ([`known`]), and families of others whose sizes, depths, repetitions and places are
//! drawn at random ([`FAMILIES`]).

use bytes::Bytes;
use serde_json::{Value, json};

use crate::expressions::{Expressions, Of, carried, pattern};
use crate::generator::{Attack, Manner};
use crate::support::chance::Chance;
use crate::world::{REFERRALS, Targets};

const BATCH: &str = "/v1.0/$batch";
/// A little less than the longest head that is read.
const LONGEST_HEAD: usize = 62_000;
/// A little less than the longest body that is read.
const LONGEST_BODY: usize = 1_000_000;
const PATCH: &str = "application/json";

/// Makes requests for a server.
pub struct Maker<'a> {
    pub chance: Chance,
    pub targets: &'a Targets,
    /// Tokens of the weak callers.
    pub tokens: &'a [String],
    pub host: String,
}

/// A family: draws an attack.
type Family = fn(&mut Maker<'_>) -> Attack;

/// Every family with its name.
pub const FAMILIES: [(&str, Family); 27] = [
    ("patterns", patterns),
    ("expressions", expressions),
    ("growing texts", growing_texts),
    ("many terms", many_terms),
    ("nested lambdas", nested_lambdas),
    ("deep nesting", deep_nesting),
    ("searches", searches),
    ("sorts", sorts),
    ("groupings", groupings),
    ("expansions", expansions),
    ("selections", selections),
    ("large answers", large_answers),
    ("segments", segments),
    ("batches of reads", batches_of_reads),
    ("batches of expensive reads", batches_of_expensive_reads),
    ("change sets", change_sets),
    ("multipart batches", multipart_batches),
    ("references of batches", references_of_batches),
    ("large writes", large_writes),
    ("odd JSON", odd_json),
    ("long patches", long_patches),
    ("slow bodies", slow_bodies),
    ("long heads", long_heads),
    ("conditions", conditions),
    ("connections", connections),
    ("pipelines", pipelines),
    ("unique queries", unique_queries),
];

impl Maker<'_> {
    /// Draws an attack of one family.
    pub fn draw(&mut self, family: usize) -> Attack {
        let (name, draw) = FAMILIES[family % FAMILIES.len()];
        let mut attack = draw(self);
        attack.family = name;
        attack
    }

    /// One of these.
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.chance.below(of.len() as u64) as usize]
    }

    fn noted(&mut self) -> String {
        self.targets.noted[self.chance.below(self.targets.noted.len() as u64) as usize].clone()
    }

    fn large(&mut self) -> String {
        self.targets.large[self.chance.below(self.targets.large.len() as u64) as usize].clone()
    }

    /// The callers of an attack: mostly one, sometimes all.
    fn callers(&mut self) -> Vec<String> {
        match self.chance.percent(60) {
            true => self.tokens[..1].to_vec(),
            false => self.tokens.to_vec(),
        }
    }

    /// How a reader of answers behaves.
    fn reader(&mut self) -> Manner {
        self.one(&[
            Manner::Read,
            Manner::Read,
            Manner::Read,
            Manner::Leave,
            Manner::Leave,
            Manner::Deaf,
            Manner::Sip,
        ])
    }

    /// A GET of a path and query, which are encoded here.
    pub fn get(&self, token: &str, target: &str) -> Bytes {
        self.get_with(token, target, "")
    }

    fn get_with(&self, token: &str, target: &str, headers: &str) -> Bytes {
        let (host, target) = (&self.host, encoded(target));
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{headers}\r\n")
            .into()
    }

    /// A request with a body.
    pub fn send(&self, token: &str, method: &str, target: &str, media_type: &str, body: &[u8]) -> Bytes {
        self.send_with(token, method, target, media_type, "", body)
    }

    fn send_with(
        &self,
        token: &str,
        method: &str,
        target: &str,
        media_type: &str,
        headers: &str,
        body: &[u8],
    ) -> Bytes {
        let (host, target, length) = (&self.host, encoded(target), body.len());
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {media_type}\r\nContent-Length: {length}\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        request.into()
    }

    /// The same GET by each caller.
    fn reads(&mut self, about: impl Into<String>, target: &str) -> Attack {
        let (callers, manner) = (self.callers(), self.reader());
        let requests = callers.iter().map(|token| self.get(token, target)).collect();
        let connections = self.one(&[2, 4, 8, 16, 32]);
        let about = format!("{} ({} characters): {}", about.into(), target.len(), shortened(target));
        Attack { family: "", about, manner, connections, requests }
    }

    /// The same POST of a batch by each caller.
    fn batch(&mut self, about: impl Into<String>, requests: Vec<Value>) -> Attack {
        let body = json!({ "requests": requests }).to_string();
        let first = shortened(&requests.first().map(Value::to_string).unwrap_or_default());
        let about = format!("{}: {} requests, {} bytes, {first}", about.into(), requests.len(), body.len());
        let callers = self.callers();
        let requests =
            callers.iter().map(|token| self.send(token, "POST", BATCH, "application/json", body.as_bytes()));
        let requests = requests.collect();
        let manner = self.one(&[Manner::Read, Manner::Read, Manner::Leave, Manner::Sip]);
        let connections = self.one(&[1, 2, 4, 8]);
        Attack { family: "", about, manner, connections, requests }
    }
}

/// Percent-encodes what cannot stand in the target of a request.
fn encoded(target: &str) -> String {
    let mut encoded = String::with_capacity(target.len() + 64);
    for byte in target.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            byte if b"-._~/?=&$'(),;:@!*%".contains(&byte) => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn shortened(text: &str) -> String {
    const LENGTH: usize = 160;
    let mut shortened: String = text.chars().take(LENGTH).collect();
    if text.len() > LENGTH {
        shortened.push('…');
    }
    shortened
}

/// The inputs of the report that this test goes back to, by its numbers.
pub fn known(maker: &mut Maker<'_>) -> Vec<Attack> {
    let token = maker.tokens[0].clone();
    let attack = |family: &'static str, about: &str, manner, connections, requests| Attack {
        family,
        about: about.to_owned(),
        manner,
        connections,
        requests,
    };
    let mut attacks = Vec::new();

    let notes = format!("{REFERRALS}?$select=c&$compute=matchesPattern(details/notes,'(a?){{1000}}b') as c");
    attacks.push(attack("A1", "the pattern over notes", Manner::Read, 2, vec![maker.get(&token, &notes)]));
    let text = format!(
        "{REFERRALS}?$select=c&$compute=matchesPattern('{}','(a?){{1000}}b') as c",
        "a".repeat(30_000)
    );
    attacks.push(attack("A1", "the pattern over a text", Manner::Read, 2, vec![maker.get(&token, &text)]));

    let terms = vec!["matchesPattern(@t,@p)"; 300].join(" or ");
    let filter = format!("{REFERRALS}?$filter={terms}&@t='{}'&@p='(a?){{1000}}b'", "a".repeat(30_000));
    attacks.push(attack("A2", "300 terms, and away", Manner::Leave, 2, vec![maker.get(&token, &filter)]));

    // Within the depth of 64: each level has two branches.
    let mut doubled = "@t".to_owned();
    for _ in 0..9 {
        doubled = format!("concat({doubled},{doubled})");
    }
    let text = "t".repeat(40_000);
    let concat = format!("{REFERRALS}?$filter=name eq {doubled}&@t='{text}'");
    attacks.push(attack("A3", "512 uses of an alias", Manner::Read, 16, vec![maker.get(&token, &concat)]));
    let mut aliases = format!("&@a0='{text}'");
    for number in 1..=40 {
        aliases.push_str(&format!("&@a{number}=concat(@a{0},@a{0})", number - 1));
    }
    let nested = format!("{REFERRALS}?$filter=name eq @a40{aliases}");
    attacks.push(attack("A3", "aliases of aliases", Manner::Read, 16, vec![maker.get(&token, &nested)]));
    let computed: Vec<String> = (0..1_000).map(|number| format!("@t as c{number}")).collect();
    let computed = format!("{REFERRALS}?$compute={}&@t='{text}'&$select=c0", computed.join(","));
    attacks.push(attack(
        "A3 computed",
        "an alias 1,000 times",
        Manner::Read,
        5,
        vec![maker.get(&token, &computed)],
    ));

    let id = maker.targets.large[0].clone();
    let patches: Vec<Value> = (0..1_000)
        .map(|number| {
            json!({
                "id": number.to_string(), "atomicityGroup": "g", "method": "PATCH", "url": format!("{REFERRALS}/{id}"),
                "headers": { "Content-Type": PATCH },
                "body": [{ "op": "replace", "path": "/externalReferenceId", "value": number.to_string() }],
            })
        })
        .collect();
    let body = json!({ "requests": patches }).to_string();
    let batch = maker.send(&token, "POST", BATCH, "application/json", body.as_bytes());
    attacks.push(attack("A4", "1,000 PATCHes of a large referral", Manner::Read, 1, vec![batch]));

    let body = padded_referral(LONGEST_BODY);
    let all: Vec<Bytes> =
        maker.tokens.iter().map(|token| maker.send(token, "POST", REFERRALS, PATCH, &body)).collect();
    attacks.push(attack("A6", "slow bodies", Manner::Drip(body.len()), 1_024, all.clone()));
    attacks.push(attack("A6", "nearly complete bodies", Manner::Drip(40), 700, all));
    attacks
}

/// A referral of so many bytes that is refused in the end: it has not the required members.
fn padded_referral(length: usize) -> Vec<u8> {
    json!({ "name": "x", "details": { "notes": "n".repeat(length.saturating_sub(40)) } })
        .to_string()
        .into_bytes()
}

fn patterns(maker: &mut Maker<'_>) -> Attack {
    let pattern = pattern(&mut maker.chance);
    let length = maker.one(&[10, 1_000, 10_000, 30_000]);
    let subject = match maker.chance.below(5) {
        0 => "details/notes".to_owned(),
        1 => "@t".to_owned(),
        2 => "concat(@t,details/notes)".to_owned(),
        3 => "concat(concat(@t,@t),concat(@t,@t))".to_owned(),
        _ => "tolower(details/notes)".to_owned(),
    };
    let call = match maker.chance.percent(50) {
        true => format!("matchesPattern({subject},@p)"),
        false => format!("matchesPattern({subject},'{pattern}')"),
    };
    let count = maker.one(&[1, 1, 5, 50, 300]);
    let operator = maker.one(&[" or ", " and "]);
    let terms = vec![call; count.min(LONGEST_HEAD / 3 / (pattern.len() + 60)).max(1)].join(operator);
    let (place, target) = carried(&mut maker.chance, maker.targets, Of::Boolean, &terms);
    let separator = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{separator}@t='{}'&@p='{pattern}'", "a".repeat(length));
    maker.reads(format!("{place}, {} × {pattern}", count), &target)
}

fn expressions(maker: &mut Maker<'_>) -> Attack {
    let parts = maker.one(&[20, 100, 400]);
    let long = maker.one(&[10, 1_000, 10_000, 30_000]);
    let of = maker.one(&[Of::Boolean, Of::Boolean, Of::Text, Of::Number]);
    // An expression that is too long for a head would be refused before anything is read.
    for _ in 0..100 {
        let mut expressions = Expressions::new(&mut maker.chance, parts, long);
        let expression = match of {
            Of::Boolean => expressions.boolean(0),
            Of::Text => expressions.text(0),
            Of::Number => expressions.number(0),
        };
        let aliases = expressions.aliases();
        let (place, target) = carried(&mut maker.chance, maker.targets, of, &expression);
        let separator = if target.contains('?') { "" } else { "?x=1" };
        let target = format!("{target}{separator}{aliases}");
        if expression.len() > 40 && encoded(&target).len() < LONGEST_HEAD {
            return maker.reads(place, &target);
        }
    }
    maker.reads("nothing drawn", REFERRALS)
}

fn growing_texts(maker: &mut Maker<'_>) -> Attack {
    let length = maker.one(&[100, 4_000, 40_000]);
    let times = maker.one(&[3, 8, 12, 30, 60]);
    let text = "t".repeat(length);
    let mut aliases = format!("&@a0='{text}'");
    let target = match maker.chance.below(5) {
        0 => {
            for number in 1..=times {
                aliases.push_str(&format!("&@a{number}=concat(@a{0},@a{0})", number - 1));
            }
            let (_, target) = carried(&mut maker.chance, maker.targets, Of::Text, &format!("@a{times}"));
            target
        }
        1 => {
            let mut doubled = "@a0".to_owned();
            for _ in 0..times.min(10) {
                doubled = format!("concat({doubled},{doubled})");
            }
            carried(&mut maker.chance, maker.targets, Of::Text, &doubled).1
        }
        2 => {
            let computed: Vec<String> =
                (0..times * 15).map(|number| format!("concat(@a0,name) as c{number}")).collect();
            format!("{REFERRALS}?$compute={}", computed.join(","))
        }
        3 => {
            // Each property is twice the one before.
            let first = "concat(details/notes,@a0) as c0".to_owned();
            let rest = (1..times).map(|number| format!("concat(c{0},c{0}) as c{number}", number - 1));
            let computed: Vec<String> = std::iter::once(first).chain(rest).collect();
            let last = times - 1;
            match maker.chance.percent(50) {
                true => format!("{REFERRALS}?$compute={}&$select=c{last}", computed.join(",")),
                false => {
                    let steps: Vec<String> =
                        computed.iter().map(|computed| format!("compute({computed})")).collect();
                    format!("{REFERRALS}?$apply={}/aggregate(c{last} with max as m)", steps.join("/"))
                }
            }
        }
        _ => {
            let members = vec!["@a0"; times * 15].join(",");
            carried(
                &mut maker.chance,
                maker.targets,
                Of::Boolean,
                &format!("concat(name,@a0) in ({members})"),
            )
            .1
        }
    };
    let separator = if target.contains('?') { "" } else { "?x=1" };
    let target = format!("{target}{separator}{aliases}");
    maker.reads(format!("{length} characters, {times} times"), &target)
}

fn many_terms(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[100, 500, 999, 2_000]);
    let term = maker.one(&[
        "contains(details/notes,'zz')",
        "indexof(tolower(details/notes),'zz') gt 5",
        "team/any(t:endswith(t/email,'z'))",
        "length(details/notes) lt 0",
        "details/dealValue div 3 eq 4",
        "not (name eq 'x')",
        "year(updatedDateTime) eq 1",
        "toupper(concat(name,details/notes)) eq 'z'",
        "team/$count($filter=contains(lastName,'q')) gt 9000",
    ]);
    let operator = maker.one(&[" or ", " and "]);
    let fitting = (LONGEST_HEAD / (encoded(term).len() + encoded(operator).len())).min(count);
    let condition = match maker.chance.percent(70) {
        true => vec![term; fitting].join(operator),
        false => {
            let ids: Vec<String> =
                (0..fitting.min(1_300)).map(|_| format!("'{}'", maker.chance.guid())).collect();
            let member = maker.one(&["id", "engagementId", "name", "details/notes"]);
            format!("{member} in ({})", ids.join(","))
        }
    };
    let (place, target) = carried(&mut maker.chance, maker.targets, Of::Boolean, &condition);
    maker.reads(format!("{place}, {fitting} × {term}"), &target)
}

fn nested_lambdas(maker: &mut Maker<'_>) -> Attack {
    let depth = maker.one(&[2, 3, 4, 8, 20]);
    let quantifier = maker.one(&["any", "all"]);
    let list = maker.one(&["team", "customerProfile/team", "target"]);
    let mut condition =
        format!("v{}/{} eq 'nobody'", depth - 1, if list == "target" { "id" } else { "email" });
    if quantifier == "all" {
        condition = format!("not ({condition})");
    }
    for level in (0..depth).rev() {
        condition = format!("{list}/{quantifier}(v{level}:{condition})");
    }
    let (place, target) = carried(&mut maker.chance, maker.targets, Of::Boolean, &condition);
    maker.reads(format!("{place}, {depth} deep over {list}"), &target)
}

fn deep_nesting(maker: &mut Maker<'_>) -> Attack {
    let depth = maker.one(&[30, 63, 64, 500, 5_000, 20_000]);
    let (before, after) = maker.one(&[
        ("(", ")"),
        ("not (", ")"),
        ("tolower(", ")"),
        ("concat(name,", ")"),
        ("cast(", ",Edm.String)"),
        ("case(true:", ")"),
        ("-(", ")"),
        ("[", "]"),
        ("{\"a\":", "}"),
    ]);
    let depth = depth.min(LONGEST_HEAD / (encoded(before).len() + encoded(after).len()));
    let inner = maker.one(&["name", "1", "true"]);
    let expression = format!("{}{inner}{}", before.repeat(depth), after.repeat(depth));
    let target = match maker.chance.below(5) {
        0 => format!("{REFERRALS}?$filter=@p&@p={expression}"),
        1 => format!("{REFERRALS}?$search={}a{}", "(NOT ".repeat(depth), ")".repeat(depth)),
        2 => format!(
            "{REFERRALS}?$expand={}id{}",
            "relatedReferrals($expand=".repeat(depth.min(900)),
            ")".repeat(depth.min(900))
        ),
        3 => format!("{REFERRALS}?$apply={}identity{}", "concat(".repeat(depth), ",identity)".repeat(depth)),
        _ => carried(&mut maker.chance, maker.targets, Of::Boolean, &expression).1,
    };
    maker.reads(format!("{depth} deep {before}…{after}"), &shorter(target))
}

/// Cut to what fits a head.
fn shorter(mut target: String) -> String {
    while encoded(&target).len() > LONGEST_HEAD {
        target.truncate(target.len() * 9 / 10);
    }
    target
}

fn searches(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[10, 100, 500, 1_000, 3_000]);
    let operator = maker.one(&[" AND ", " OR ", " ", " NOT ", " AND NOT "]);
    let word = maker.one(&["a", "contoso", "\"tailspin toys cloud\"", "aaaaaaaaaaaaaaaaaaaa", "\u{1f4bc}"]);
    let terms: Vec<String> = (0..count)
        .map(|number| if word.len() < 3 { format!("{word}{number}") } else { word.to_owned() })
        .collect();
    let search = terms.join(operator);
    let phrase = format!("\"{}\"", "tailspin cloud ".repeat(count));
    let search = if maker.chance.percent(20) { phrase } else { search };
    let target = match maker.chance.below(6) {
        0 | 1 => format!("{REFERRALS}?$search={search}"),
        2 => format!("{REFERRALS}/$count?$search={search}"),
        3 => format!("{REFERRALS}?$apply=search({search})/aggregate($count as n)"),
        4 => format!("{REFERRALS}?$filter=engagementId eq '{}'&$search={search}", maker.targets.engagement),
        _ => format!("{REFERRALS}?$expand=relatedReferrals($search={search})&$top=100"),
    };
    maker.reads(format!("{count} terms with{operator}"), &shorter(target))
}

fn sorts(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[1, 5, 50, 200, 900]);
    let key = maker.one(&[
        "details/notes",
        "tolower(details/notes)",
        "concat(details/notes,details/notes)",
        "length(details/notes)",
        "indexof(details/notes,'b')",
        "team/$count",
        "matchesPattern(details/notes,'(a?){200}b')",
        "customerProfile/name",
    ]);
    let keys = (0..count).map(|number| format!("{key}{}", if number % 2 == 0 { "" } else { " desc" }));
    let keys = keys.collect::<Vec<_>>().join(",");
    let target = match maker.chance.below(4) {
        0 => format!("{REFERRALS}?$orderby={keys}"),
        1 => format!("{REFERRALS}?$orderby={keys}&$skip=200&$top=1"),
        2 => format!("{REFERRALS}?$orderby={keys}&$filter=engagementId eq '{}'", maker.targets.engagement),
        _ => format!("{REFERRALS}?$apply=orderby({keys})/top(3)"),
    };
    maker.reads(format!("{count} keys {key}"), &shorter(target))
}

fn groupings(maker: &mut Maker<'_>) -> Attack {
    let member = maker.one(&[
        "details/notes",
        "id",
        "name",
        "customerProfile/name",
        "details/dealValue",
        "updatedDateTime",
    ]);
    let count = maker.one(&[2, 10, 50, 200]);
    let apply = match maker.chance.below(9) {
        0 => format!("groupby(({member}),aggregate($count as n))"),
        1 => {
            let of = (0..count).map(|number| format!("details/dealValue with sum as s{number}"));
            format!("groupby(({member}),aggregate({}))", of.collect::<Vec<_>>().join(","))
        }
        2 => {
            let branches = vec![format!("groupby(({member}))"); count].join(",");
            format!("concat({branches})")
        }
        3 => {
            let mut inner = "identity".to_owned();
            for _ in 0..count.min(40) {
                inner = format!("concat({inner},{inner})");
                if inner.len() > 15_000 {
                    break;
                }
            }
            inner
        }
        4 => {
            let steps =
                (0..count).map(|number| format!("compute(concat(details/notes,details/notes) as c{number})"));
            format!("{}/groupby((c0),aggregate($count as n))", steps.collect::<Vec<_>>().join("/"))
        }
        5 => format!(
            "aggregate({member} with countdistinct as n,{member} with max as m,{member} with min as l)"
        ),
        6 => format!("topcount({count},details/dealValue)/groupby(({member}))"),
        7 => format!("groupby((rollup({member},status,substatus,type)),aggregate($count as n))"),
        _ => format!(
            "filter(contains(details/notes,'a'))/groupby(({member},status,type,direction),aggregate($count as n,details/dealValue with average as a))/orderby(n desc)"
        ),
    };
    maker.reads("$apply", &shorter(format!("{REFERRALS}?$apply={apply}")))
}

fn expansions(maker: &mut Maker<'_>) -> Attack {
    let engagement = maker.targets.engagement.clone();
    let top = maker.one(&["", ";$top=1", ";$top=100", ";$skip=100"]);
    let options = maker.one(&[
        "$select=id",
        "$filter=contains(details/notes,'a')",
        "$orderby=details/notes,name desc",
        "$compute=concat(details/notes,details/notes) as c;$select=c",
        "$filter=team/any(t:team/any(u:u/email eq t/lastName))",
        "$search=a OR b OR c",
        "$count=true",
        "$levels=max",
        "$expand=relatedReferrals($expand=relatedReferrals)",
    ]);
    let target = match maker.chance.below(5) {
        0 | 1 => format!(
            "{REFERRALS}?$filter=engagementId eq '{engagement}'&$top=100&$expand=relatedReferrals({options}{top})"
        ),
        2 => format!("{REFERRALS}/{}?$expand=relatedReferrals({options}{top})", maker.targets.related[0]),
        3 => {
            format!("{REFERRALS}/{}/relatedReferrals?{}", maker.targets.related[0], options.replace(';', "&"))
        }
        _ => {
            let times = maker.one(&[2, 10, 60]);
            let items = vec![format!("relatedReferrals({options}{top})"); times].join(",");
            format!("{REFERRALS}?$top=100&$expand={items}")
        }
    };
    maker.reads("$expand", &target)
}

fn selections(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[1, 20, 200, 900]);
    let item = maker.one(&[
        "team($filter=contains(firstName,'bb');$orderby=lastName desc;$top=3)",
        "team($orderby=firstName,lastName,email)",
        "team($compute=concat(firstName,firstName) as c;$select=c)",
        "team($search=long OR tailspin)",
        "customerProfile/address/country",
        "details/requirements/solutions/name",
        "team($filter=matchesPattern(firstName,'(b?){500}c'))",
        "team($count=true;$top=0)",
    ]);
    let items = vec![item; count].join(",");
    let computed: Vec<String> =
        (0..count).map(|number| format!("length(details/notes) as c{number}")).collect();
    let large = maker.large();
    let target = match maker.chance.below(4) {
        0 => format!("{REFERRALS}?$select={items}"),
        1 => format!("{REFERRALS}/{large}?$select={item}"),
        2 => format!("{REFERRALS}/{large}/team?$filter=contains(firstName,'bb')&$orderby=firstName desc"),
        _ => format!("{REFERRALS}?$compute={}", computed.join(",")),
    };
    maker.reads(format!("{count} × {item}"), &shorter(target))
}

fn large_answers(maker: &mut Maker<'_>) -> Attack {
    let large = maker.large();
    let target = match maker.chance.below(6) {
        0 => format!("{REFERRALS}?$filter=startswith(name,'Large')"),
        1 => format!("{REFERRALS}?$orderby=name&$filter=startswith(name,'Large')&$select=team,name"),
        2 => format!("{REFERRALS}?$filter=startswith(name,'Noted')&$top=100"),
        3 => format!("{REFERRALS}/{large}"),
        4 => format!("{REFERRALS}/{large}/team"),
        _ => format!("{REFERRALS}?$apply=filter(startswith(name,'Large'))/groupby((id,name))"),
    };
    let mut attack = maker.reads("a large answer", &target);
    attack.manner = maker.one(&[Manner::Read, Manner::Leave, Manner::Deaf, Manner::Sip]);
    attack.connections = maker.one(&[8, 32, 64, 128]);
    attack
}

fn segments(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[5, 100, 600, 2_000]);
    let segment = maker.one(&[
        "/$filter(contains(details/notes,'a'))",
        "/$filter(true)",
        "/$filter(team/any(t:t/email ne 'z'))",
        "/$filter(matchesPattern(details/notes,'(a?){300}b'))",
        "/team",
        "/%2e",
        "/$filter(name ne ')')",
    ]);
    let end = maker.one(&["", "/$count", "?$orderby=details/notes"]);
    let fitting = count.min(LONGEST_HEAD / (encoded(segment).len() + 1));
    maker.reads(format!("{fitting} × {segment}"), &format!("{REFERRALS}{}{end}", segment.repeat(fitting)))
}

fn batches_of_reads(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[10, 100, 1_000]);
    let (large, noted) = (maker.large(), maker.noted());
    let engagement = maker.targets.engagement.clone();
    let url = match maker.chance.below(6) {
        0 => REFERRALS.to_owned(),
        1 => format!("{REFERRALS}/{large}"),
        2 => format!("{REFERRALS}/{noted}"),
        3 => format!("{REFERRALS}?$filter=engagementId%20eq%20'{engagement}'"),
        4 => "/v1.0/$metadata".to_owned(),
        _ => format!("{REFERRALS}?$filter=startswith(name,'Large')"),
    };
    let request = |number: usize| json!({ "id": number.to_string(), "method": "GET", "url": url });
    let requests = (0..count).map(request).collect();
    maker.batch("GETs", requests)
}

fn batches_of_expensive_reads(maker: &mut Maker<'_>) -> Attack {
    let mut requests = Vec::new();
    let mut length = 0;
    let count = maker.one(&[3, 15, 100]);
    for number in 0..count {
        let draw: Family =
            maker.one(&[patterns, expressions, many_terms, nested_lambdas, sorts, groupings, growing_texts]);
        let attack = draw(maker);
        let line = String::from_utf8_lossy(&attack.requests[0]).into_owned();
        let url = line.split(' ').nth(1).unwrap_or_default().to_owned();
        length += url.len() + 100;
        if length < LONGEST_BODY {
            requests.push(json!({ "id": number.to_string(), "method": "GET", "url": url }));
        }
    }
    maker.batch("expensive GETs", requests)
}

/// A request of a change set.
fn change(maker: &mut Maker<'_>, id: &str, number: usize) -> Value {
    let text = "c".repeat(maker.one(&[1, 1_000]));
    let body = match maker.chance.below(4) {
        0 => json!([{ "op": "replace", "path": "/externalReferenceId", "value": number.to_string() }]),
        1 => {
            json!([{ "op": "add", "path": "/team/-", "value": { "firstName": text, "email": "c@contoso.example" } }])
        }
        2 => json!([{ "op": "replace", "path": "/details/notes", "value": text.repeat(9) }]),
        _ => json!([{ "op": "copy", "from": "/details/notes", "path": "/statusReason" }]),
    };
    json!({
        "id": number.to_string(), "method": "PATCH", "url": format!("{REFERRALS}/{id}"),
        "headers": { "Content-Type": PATCH }, "body": body,
    })
}

fn change_sets(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[20, 100, 300, 1_000]);
    let groups = maker.one(&[1, 1, 5, 1_000]);
    let (one, is_grouped) = (maker.large(), maker.chance.percent(80));
    let mixed = maker.chance.percent(40);
    let fails = maker.chance.percent(30);
    let mut requests = Vec::new();
    let mut length = 0;
    for number in 0..count {
        let id = if mixed { maker.large() } else { one.clone() };
        let mut request = change(maker, &id, number);
        length += request.to_string().len();
        if length > LONGEST_BODY {
            break;
        }
        if is_grouped {
            request["atomicityGroup"] = format!("g{}", number * groups / count).into();
        }
        requests.push(request);
    }
    if fails && let Some(last) = requests.last_mut() {
        last["body"] = json!([{ "op": "replace", "path": "/nothing", "value": 1 }]);
    }
    maker.batch(format!("changes in {groups} groups"), requests)
}

fn multipart_batches(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[100, 1_000, 10_000]);
    let id = maker.noted();
    let part = match maker.chance.below(4) {
        0 => format!("Content-Type: application/http\r\n\r\nGET {REFERRALS}/{id} HTTP/1.1\r\n\r\n\r\n"),
        1 => "\r\n".to_owned(),
        2 => format!(
            "Content-Type: application/http\r\n\r\nGET {REFERRALS}?$filter=contains(details/notes,'zz') HTTP/1.1\r\n\r\n\r\n"
        ),
        _ => "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_owned(),
    };
    let mut body = Vec::new();
    for _ in 0..count {
        if body.len() + part.len() + 8 > LONGEST_BODY {
            break;
        }
        body.extend_from_slice(b"--b\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(b"--b--\r\n");
    let (callers, connections) = (maker.callers(), maker.one(&[1, 4, 8]));
    let requests = callers
        .iter()
        .map(|token| maker.send(token, "POST", BATCH, "multipart/mixed; boundary=b", &body))
        .collect();
    let about = format!("{count} parts of {} bytes: {}", part.len(), shortened(&part));
    Attack { family: "", about, manner: maker.one(&[Manner::Read, Manner::Leave]), connections, requests }
}

fn references_of_batches(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[50, 250, 1_000]);
    let id = maker.noted();
    let everyone = maker.chance.percent(50);
    let mut requests = Vec::new();
    let mut length = 0;
    for number in 0..count {
        let before: Vec<String> = match everyone {
            true => (0..number).map(|before| before.to_string()).collect(),
            false => (0..number).rev().take(1).map(|before| before.to_string()).collect(),
        };
        let request = json!({
            "id": number.to_string(), "method": "PATCH", "url": format!("{REFERRALS}/{id}"), "dependsOn": before,
            "headers": { "Content-Type": PATCH },
            "body": [{ "op": "replace", "path": "/externalReferenceId", "value": "\"$1".repeat(100) }],
        });
        length += request.to_string().len();
        if length > LONGEST_BODY {
            break;
        }
        requests.push(request);
    }
    maker.batch("dependsOn", requests)
}

fn large_writes(maker: &mut Maker<'_>) -> Attack {
    let method = maker.one(&["POST", "PUT", "PATCH", "MERGE"]);
    let members = maker.one(&[100, 800, 4_000, 20_000]);
    let text = "w".repeat((LONGEST_BODY / members).saturating_sub(80).min(1_000));
    let team: Vec<Value> =
        (0..members).map(|_| json!({ "firstName": text, "email": "w@contoso.example" })).collect();
    let referral = json!({
        "name": "Written", "type": "Independent", "customerProfile": { "name": "w" },
        "consent": { "consentToToShareInfoWithOthers": true }, "details": {}, "team": team,
    });
    let path = format!("{REFERRALS}/{}", maker.large());
    let (callers, connections) = (maker.callers(), maker.one(&[2, 8, 32]));
    let request = |token: &String| match method {
        "POST" => maker.send(token, "POST", REFERRALS, PATCH, referral.to_string().as_bytes()),
        "PUT" => {
            maker.send_with(token, "PUT", &path, PATCH, "If-Match: *\r\n", referral.to_string().as_bytes())
        }
        "MERGE" => {
            let body = json!({ "team": team }).to_string();
            maker.send(token, "PATCH", &path, "application/merge-patch+json", body.as_bytes())
        }
        _ => {
            let body = json!([{ "op": "replace", "path": "/team", "value": team }]).to_string();
            maker.send(token, "PATCH", &path, PATCH, body.as_bytes())
        }
    };
    let requests = callers.iter().map(request).collect();
    let manner = maker.one(&[Manner::Read, Manner::Leave, Manner::Deaf]);
    Attack { family: "", about: format!("{method} of {members} members"), manner, connections, requests }
}

fn odd_json(maker: &mut Maker<'_>) -> Attack {
    let size = maker.one(&[1_000, 100_000, LONGEST_BODY]);
    let (kind, body) = match maker.chance.below(10) {
        0 => ("arrays", "[".repeat(size)),
        1 => ("objects", "{\"a\":".repeat(size / 5)),
        2 => ("a long number", format!("{{\"details\":{{\"dealValue\":{}}}}}", "9".repeat(size))),
        3 => ("a long exponent", format!("{{\"details\":{{\"dealValue\":1e{}}}}}", "9".repeat(size))),
        4 => {
            let members: Vec<String> = (0..size / 12).map(|number| format!("\"m{number}\":1")).collect();
            ("many members", format!("{{{}}}", members.join(",")))
        }
        5 => ("one name again and again", format!("{{{}\"a\":1}}", "\"a\":1,".repeat(size / 6))),
        6 => ("trailing commas", format!("{{\"team\":[{}]}}", "{},".repeat(size / 3))),
        7 => ("escapes", format!("{{\"name\":\"{}\"}}", "\\ud83d\\udcbc".repeat(size / 12))),
        8 => ("white space", format!("{{\"name\":{}1}}", " ".repeat(size))),
        _ => ("nested teams", format!("{{\"team\":{}{}}}", "[".repeat(size / 2), "]".repeat(size / 2))),
    };
    let large = maker.large();
    let (method, target) = match maker.chance.below(4) {
        0 => ("POST", REFERRALS.to_owned()),
        1 => ("POST", BATCH.to_owned()),
        _ => ("PATCH", format!("{REFERRALS}/{large}")),
    };
    let media_type = maker.one(&[PATCH, "application/merge-patch+json"]);
    let media_type = if method == "POST" { PATCH } else { media_type };
    let (callers, connections) = (maker.callers(), maker.one(&[2, 8, 24]));
    let body = &body.as_bytes()[..body.len().min(LONGEST_BODY + 10)];
    let requests = callers.iter().map(|token| maker.send(token, method, &target, media_type, body)).collect();
    let manner = maker.one(&[Manner::Read, Manner::Leave]);
    Attack { family: "", about: format!("{method} of {kind}, {size} bytes"), manner, connections, requests }
}

fn long_patches(maker: &mut Maker<'_>) -> Attack {
    let count = maker.one(&[10, 100, 999, 10_000]);
    let number = maker.chance.below(1_000_000);
    let (kind, operation) = match maker.chance.below(7) {
        0 => (
            "copies of a list into itself",
            json!({ "op": "copy", "from": "/team", "path": "/customerProfile/team" }),
        ),
        1 => ("copies to the end", json!({ "op": "copy", "from": "/team/0", "path": "/team/-" })),
        2 => {
            ("inserts at the front", json!({ "op": "add", "path": "/team/0", "value": { "firstName": "f" } }))
        }
        3 => ("moves", json!({ "op": "move", "from": "/team/0", "path": "/team/5" })),
        4 => ("removals", json!({ "op": "remove", "path": "/team/0" })),
        5 => ("tests", json!({ "op": "test", "path": "/team", "value": [] })),
        _ => (
            "replacements",
            json!({ "op": "replace", "path": "/externalReferenceId", "value": number.to_string() }),
        ),
    };
    let operations = vec![operation; count];
    let (id, grows) = (maker.large(), maker.chance.percent(50));
    let id = if grows { id } else { maker.noted() };
    let body = Value::from(operations).to_string();
    let path = format!("{REFERRALS}/{id}");
    let (callers, connections) = (maker.callers(), maker.one(&[2, 8, 24]));
    let requests =
        callers.iter().map(|token| maker.send(token, "PATCH", &path, PATCH, body.as_bytes())).collect();
    let manner = maker.one(&[Manner::Read, Manner::Leave]);
    Attack { family: "", about: format!("{count} {kind}"), manner, connections, requests }
}

fn slow_bodies(maker: &mut Maker<'_>) -> Attack {
    let length = maker.one(&[1_000, 100_000, LONGEST_BODY]);
    let rest = maker.one(&[40, 100_000_000]);
    let body = padded_referral(length);
    let target = maker.one(&[REFERRALS, BATCH]);
    let callers = maker.callers();
    let connections = match length * usize::from(rest < 100) {
        LONGEST_BODY => maker.one(&[100, 400]),
        _ => maker.one(&[100, 600, 1_500]),
    };
    let chunked = maker.chance.percent(30);
    let request = |token: &String| {
        if !chunked {
            return maker.send(token, "POST", target, PATCH, &body);
        }
        let host = &maker.host;
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: {PATCH}\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        // Chunks of one byte: the framing is six times the body.
        for byte in &body[..body.len().min(150_000)] {
            request.extend_from_slice(b"1\r\n");
            request.push(*byte);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request.into()
    };
    let requests = callers.iter().map(request).collect();
    let about = format!("{length} bytes, the last {rest} slowly, chunked: {chunked}");
    Attack { family: "", about, manner: Manner::Drip(rest), connections, requests }
}

fn long_heads(maker: &mut Maker<'_>) -> Attack {
    let token = maker.tokens[0].clone();
    let (kind, headers) = match maker.chance.below(8) {
        0 => ("Prefer", format!("Prefer: {}\r\n", "return=minimal, ".repeat(3_700))),
        1 => ("Prefer", format!("Prefer: x=\"{}\"\r\n", "\\\"".repeat(29_000))),
        2 => (
            "Accept",
            format!("Accept: {}\r\n", "application/json;odata.metadata=minimal;q=0.1, ".repeat(1_250)),
        ),
        3 => ("Accept", format!("Accept: {}\r\n", "a/b;".repeat(15_000))),
        4 => ("many lines", "X: y\r\n".repeat(99)),
        5 => ("too many lines", "X: y\r\n".repeat(9_000)),
        6 => {
            ("Content-Type", format!("Content-Type: application/json;{}\r\n", "charset=utf-8;".repeat(4_000)))
        }
        _ => ("a long token", String::new()),
    };
    let token = if headers.is_empty() { format!("{token}{}", "A".repeat(60_000)) } else { token };
    let target = format!("{REFERRALS}?$top=1");
    let request = maker.get_with(&token, &target, &headers);
    let manner = maker.one(&[Manner::Read, Manner::Pipeline(8), Manner::Drip(100), Manner::Leave]);
    let connections = maker.one(&[4, 8, 16]);
    Attack { family: "", about: kind.to_owned(), manner, connections, requests: vec![request] }
}

fn conditions(maker: &mut Maker<'_>) -> Attack {
    let tag =
        maker.one(&["\"1\", ", "W/\"x\", ", "\"\", ", "*, ", "\"2500ec5a-0000-0000-0000-5bf4967d0000\", "]);
    let tags = tag.repeat(LONGEST_HEAD / tag.len() - 20);
    let name = maker.one(&["If-None-Match", "If-Match"]);
    let (large, noted) = (maker.large(), maker.noted());
    let callers = maker.callers();
    let writes = maker.chance.percent(40);
    let requests = callers
        .iter()
        .map(|token| match writes {
            true => {
                let headers = format!("{name}: {tags}\"z\"\r\n");
                maker.send_with(token, "PATCH", &format!("{REFERRALS}/{noted}"), PATCH, &headers, b"[]")
            }
            false => {
                maker.get_with(token, &format!("{REFERRALS}/{large}"), &format!("{name}: {tags}\"z\"\r\n"))
            }
        })
        .collect();
    Attack { family: "", about: format!("{name} of {tag}"), manner: Manner::Read, connections: 16, requests }
}

fn connections(maker: &mut Maker<'_>) -> Attack {
    let token = maker.tokens[0].clone();
    let whole = maker.get(&token, &format!("{REFERRALS}?$top=100"));
    let (kind, request, manner) = match maker.chance.below(4) {
        0 => ("resting", Bytes::new(), Manner::Deaf),
        1 => ("half a head", whole.slice(..whole.len() / 2), Manner::Deaf),
        2 => ("not reading", whole, Manner::Deaf),
        _ => ("come and go", whole, Manner::Leave),
    };
    let connections = match manner {
        Manner::Leave => maker.one(&[16, 64]),
        _ => maker.one(&[200, 1_000, 2_500]),
    };
    Attack { family: "", about: kind.to_owned(), manner, connections, requests: vec![request] }
}

fn pipelines(maker: &mut Maker<'_>) -> Attack {
    let depth = maker.one(&[10, 50, 200]);
    let large = maker.large();
    let target = match maker.chance.below(4) {
        0 => format!("{REFERRALS}?$top=100"),
        1 => format!("{REFERRALS}/{large}"),
        2 => format!("{REFERRALS}?$filter=contains(details/notes,'zz')"),
        _ => "/openapi.json".to_owned(),
    };
    let (callers, connections) = (maker.callers(), maker.one(&[2, 8, 16]));
    let requests = callers.iter().map(|token| maker.get(token, &target)).collect();
    let about = format!("{depth} × {target}");
    Attack { family: "", about, manner: Manner::Pipeline(depth), connections, requests }
}

fn unique_queries(maker: &mut Maker<'_>) -> Attack {
    let token = maker.tokens[0].clone();
    let count = 200;
    let kind = maker.chance.below(4);
    let requests = (0..count)
        .map(|_| {
            let number = maker.chance.below(u64::MAX);
            let target = match kind {
                0 => format!("{REFERRALS}?$filter=name ne 'x{number}'"),
                1 => format!("{REFERRALS}?$filter=contains(details/notes,'x{number}')"),
                2 => format!("{REFERRALS}?$compute=concat(name,'{number}') as c{number}"),
                _ => format!("{REFERRALS}?$search=w{number}"),
            };
            maker.get(&token, &target)
        })
        .collect();
    Attack { family: "", about: format!("{kind}"), manner: Manner::Read, connections: 16, requests }
}
