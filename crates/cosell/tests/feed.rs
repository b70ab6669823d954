//! An analyst's session: Excel or Power BI by `OData.Feed`, request by request, against the real binary.
//!
//! Sources of what it sends: the headers as a server's author logged them (GitHub `NLstn/go-odata` issue 874, 2026);
//! the narrower `Accept` of later requests (Microsoft's OData guidelines for Azure DevOps Analytics); the form of a
//! folded query, with `%20`, `%27` and `%2C` (Microsoft Learn, "Query diagnostics"); the options that are folded,
//! `$top $skip $count $select $orderby` (Microsoft Learn, TripPin part 10) and `$filter` on times (incremental
//! refresh). It reads `$metadata` as XML alone (GitHub `flat3/lodata` issue 441), and fails when `OData-Version` comes
//! twice (the first source).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Answer, Connection, Sandbox};

/// Until it knows what the service speaks.
const FIRST: &str = "application/json;odata.metadata=minimal;q=1.0,application/json;odata=minimalmetadata;q=0.9,\
                     application/atomsvc+xml;q=0.8,application/atom+xml;q=0.8,application/xml;q=0.7,text/plain;q=0.7";
/// When it knows version 4.
const THEN: &str = "application/json;odata.metadata=minimal";

/// One table in a workbook.
struct Feed {
    connection: Connection,
    base: String,
    bearer: String,
    context: String,
    collection: String,
}

impl Feed {
    /// "Get data, OData feed": the service document, then `$metadata` at the address of its context.
    fn open(sandbox: &Sandbox) -> Feed {
        let mut feed = Feed {
            connection: sandbox.connect(),
            base: sandbox.url().to_owned(),
            bearer: format!("Bearer {}", sandbox.token("admin@contoso.example")),
            context: String::new(),
            collection: String::new(),
        };
        let root = format!("{}/v1.0/", feed.base);
        let service = feed.get(&root, FIRST).json();
        feed.context = service["@odata.context"].as_str().unwrap().to_owned();
        assert_eq!(feed.context, format!("{root}$metadata"));
        let sets = service["value"].as_array().unwrap();
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0]["name"], "Referrals");
        feed.collection = format!("{root}{}", sets[0]["url"].as_str().unwrap());
        feed
    }

    fn get(&mut self, url: &str, accept: &str) -> Answer {
        let target = url.strip_prefix(&self.base).unwrap_or_else(|| panic!("another host: {url}")).to_owned();
        let headers = [
            ("Authorization", self.bearer.as_str()),
            ("Accept", accept),
            ("Accept-Encoding", "gzip, deflate"),
            ("MaxDataServiceVersion", "3.0"),
            ("OData-MaxVersion", "4.0"),
            ("User-Agent", "Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)"),
        ];
        let answer = self.connection.request("GET", &target, &headers, b"");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let is_version = |name: &str| name.eq_ignore_ascii_case("OData-Version");
        let versions: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(name, _)| is_version(name))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(versions, ["4.0"], "{target}");
        answer
    }

    /// A query that was folded; its page.
    fn page(&mut self, query: &str) -> Value {
        let answer = self.get(&format!("{}{query}", self.collection), THEN);
        self.read(&answer)
    }

    /// A page as the library reads it.
    fn read(&self, answer: &Answer) -> Value {
        let content = answer.header("content-type").unwrap();
        assert!(content.starts_with("application/json"), "{content}");
        let page = answer.json();
        let context = page["@odata.context"].as_str().unwrap();
        assert!(context.starts_with(&format!("{}#Referrals", self.context)), "{context}");
        page
    }

    /// "Load": the query and every next link.
    fn load(&mut self, query: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut page = self.page(query);
        loop {
            rows.extend(page["value"].as_array().unwrap().clone());
            let Some(next) = page.get("@odata.nextLink") else { return rows };
            let next = next.as_str().unwrap().to_owned();
            let answer = self.get(&next, THEN);
            page = self.read(&answer);
        }
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

/// Those rows that hold, which must be some and not all.
fn those(rows: &[Value], holds: impl Fn(&Value) -> bool) -> Vec<Value> {
    let found: Vec<Value> = rows.iter().filter(|row| holds(row)).cloned().collect();
    assert!(!found.is_empty() && found.len() < rows.len(), "{} of {}", found.len(), rows.len());
    found
}

fn both(test: impl Fn(&Sandbox)) {
    for mode in ["--strict", "--extended"] {
        test(&Sandbox::start(&[mode]));
    }
}

#[test]
fn the_feed_finds_the_set_and_reads_its_types_as_xml() {
    both(|sandbox| {
        let mut feed = Feed::open(sandbox);
        let context = feed.context.clone();
        let answer = feed.get(&context, "application/xml");
        let content = answer.header("content-type").unwrap();
        assert!(content.starts_with("application/xml"), "{content}");
        let text = answer.text();
        for part in
            ["<edmx:Edmx", "Version=\"4.0", "<EntitySet Name=\"Referrals\"", "Name=\"createdDateTime\""]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        // The same document stands at the context of a single referral (spec 5.6).
        let other = format!("{}/$metadata", feed.collection);
        assert_eq!(feed.get(&other, "application/xml").text(), text);
    });
}

#[test]
fn the_feed_loads_the_whole_table_once() {
    both(|sandbox| {
        let mut feed = Feed::open(sandbox);
        let rows = feed.load("");
        let count = feed.page("?$count=true&$top=0");
        assert_eq!(count["value"], Value::Array(Vec::new()));
        assert_eq!(count["@odata.count"], rows.len());
        assert_eq!(ids(&rows).into_iter().collect::<BTreeSet<_>>().len(), rows.len());
        assert!(rows.len() > 100);
        // The preview asks for more than a page holds.
        assert_eq!(ids(&feed.load("?$top=1000")), ids(&rows));
    });
}

#[test]
fn steps_that_fold_give_the_rows_that_the_steps_would() {
    both(|sandbox| {
        let mut feed = Feed::open(sandbox);
        let rows = feed.load("");
        let text =
            |row: &Value, path: &str| row.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();

        let kept = feed.load("?$filter=status%20eq%20%27New%27&$select=id%2Cname");
        let expected = those(&rows, |row| row["status"] == "New");
        assert_eq!(ids(&kept), ids(&expected));
        for (row, full) in kept.iter().zip(&expected) {
            assert_eq!(row.as_object().unwrap().len(), 2);
            assert_eq!(row["name"], full["name"]);
        }

        let range = feed.page("?$skip=10&$top=20");
        assert_eq!(ids(range["value"].as_array().unwrap()), ids(&rows[10..30]));
        assert!(range.get("@odata.nextLink").is_none());

        let mut oldest = rows.clone();
        let time = |row: &Value| text(row, "/createdDateTime");
        oldest.sort_by_key(|row| (time(row), text(row, "/id")));
        assert_eq!(ids(&feed.load("?$orderby=createdDateTime")), ids(&oldest));
        assert_eq!(ids(&feed.load("?$orderby=createdDateTime%20desc&$top=3")), ids(&rows[..3]));

        // Incremental refresh asks for a piece of time.
        let (start, end) = (time(&rows[80]), time(&rows[20]));
        let piece = feed.load(&format!(
            "?$filter=createdDateTime%20ge%20{start}%20and%20createdDateTime%20lt%20{end}&$select=id%2CcreatedDateTime"
        ));
        assert_eq!(ids(&piece), ids(&those(&rows, |row| (&start..&end).contains(&&time(row)))));

        let query = "?$filter=contains%28name%2C%27Publishing%27%29%20or%20startswith%28name%2C%27A%27%29";
        let words =
            |row: &Value| text(row, "/name").contains("Publishing") || text(row, "/name").starts_with('A');
        assert_eq!(ids(&feed.load(query)), ids(&those(&rows, words)));

        let counted = feed.page("?$filter=direction%20eq%20%27Incoming%27&$count=true&$top=1");
        let incoming = those(&rows, |row| row["direction"] == "Incoming");
        assert_eq!(counted["@odata.count"], incoming.len());
    });
}

#[test]
fn an_enumeration_may_be_named_by_its_type() {
    // A column that $metadata types as an enumeration is compared with a literal of that type.
    both(|sandbox| {
        let mut feed = Feed::open(sandbox);
        let context = feed.context.clone();
        let metadata = feed.get(&context, "application/xml").text();
        let (_, rest) = metadata.split_once("<Property Name=\"status\" Type=\"").unwrap();
        let enumeration = rest.split('"').next().unwrap();
        let rows = feed.load("");
        let found = feed.load(&format!("?$filter=status%20eq%20{enumeration}%27Active%27"));
        assert_eq!(ids(&found), ids(&those(&rows, |row| row["status"] == "Active")));
    });
}
