//! One line: from JSON, as GET prints it, to what the store keeps.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use exchange::{Clock, Ids, search_text, to_store};
use referral::{
    ETag, EditRequest, LifecycleState, MAX_DOCUMENT_BYTES, OrganizationId, Referral, RequestOptions,
    Timestamp,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{Action, Entry, Organization, Write};

use super::fast_path;
use crate::clock::SystemClock;
use crate::random::RandomIds;

/// How lines are read.
pub struct ReadRules {
    /// The names the store knows.
    names: HashMap<OrganizationId, String>,
    /// Who owns them all, whatever they say.
    owner: Option<OrganizationId>,
    request_options: RequestOptions,
}

impl ReadRules {
    /// Rules under which `owner` owns every row, or each row says who does.
    pub fn new(organizations: &[Organization], owner: Option<OrganizationId>) -> ReadRules {
        let names = organizations.iter().map(|one| (one.id.clone(), one.name.clone())).collect();
        ReadRules {
            names,
            owner,
            request_options: RequestOptions { ignore_links: true, ..RequestOptions::default() },
        }
    }

    /// Reads a line. An owner that the store does not know is put into `unknown`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(&self, line: &[u8], unknown: &mut BTreeMap<OrganizationId, String>) -> Result<Write, String> {
        let referral = match self.parse_fast(line) {
            Some(referral) => referral,
            None => self.parse_and_validate(line)?,
        };
        LifecycleState::from_pair(referral.status, referral.substatus).map_err(|error| error.to_string())?;
        if !self.names.contains_key(&referral.organization_id) {
            if referral.organization_name.is_empty() {
                return Err(format!(
                    "organization {} is not in the store, and the line does not name it",
                    referral.organization_id
                ));
            }
            let name = || referral.organization_name.clone();
            unknown.entry(referral.organization_id.clone()).or_insert_with(name);
        }
        let row = imported(&referral);
        if row.referral.document.len() > MAX_DOCUMENT_BYTES {
            return Err(format!("longer than the {MAX_DOCUMENT_BYTES} bytes of the longest referral"));
        }
        Ok(row)
    }

    /// A line that needs nothing and is plainly legal.
    fn parse_fast(&self, line: &[u8]) -> Option<Referral> {
        let mut referral: Referral = serde_json::from_slice(line).ok()?;
        if let Some(owner) = &self.owner {
            referral.organization_id = owner.clone();
            if let Some(name) = self.names.get(owner) {
                referral.organization_name.clone_from(name);
            }
        }
        fast_path::is_certainly_valid(line, &referral).then_some(referral)
    }

    /// Every other line: with defaults where the server's members are missing, held against every rule.
    fn parse_and_validate(&self, line: &[u8]) -> Result<Referral, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| no_line_number(&error))?;
        let Value::Object(mut members) = value else { return Err("no JSON object".to_owned()) };
        self.fill(&mut members)?;
        let value = Value::Object(members);
        let referral = Referral::deserialize(&value).map_err(|error| no_line_number(&error))?;
        EditRequest::put(&value, referral.id, &self.request_options)
            .map_err(|invalid| invalid.to_string())?;
        Ok(referral)
    }

    /// Gives the server's members their defaults where they are missing.
    fn fill(&self, members: &mut Map<String, Value>) -> Result<(), String> {
        if let Some(owner) = &self.owner {
            members.insert("organizationId".to_owned(), json!(owner));
            if let Some(name) = self.names.get(owner) {
                members.insert("organizationName".to_owned(), json!(name));
            }
        }
        let is_missing =
            |members: &Map<String, Value>, name: &str| members.get(name).is_none_or(Value::is_null);
        if is_missing(members, "organizationId") {
            return Err("organizationId is missing: say whose it is, or give --organization".to_owned());
        }
        let mut default = |name: &str, value: &dyn Fn(&Map<String, Value>) -> Value| {
            if is_missing(members, name) {
                let value = value(members);
                members.insert(name.to_owned(), value);
            }
        };
        default("organizationName", &|members| json!(self.name_of(members).unwrap_or_default()));
        default("createdDateTime", &|_| json!(SystemClock.now()));
        default("updatedDateTime", &|members| members["createdDateTime"].clone());
        let created = |members: &Map<String, Value>| instant(members, "createdDateTime");
        default("id", &|members| json!(RandomIds.next(created(members))));
        default("engagementId", &|members| json!(RandomIds.next(created(members))));
        default("eTag", &|members| json!(ETag::of_version(1, instant(members, "updatedDateTime"))));
        default("status", &|_| json!("New"));
        default("substatus", &|members| match members["status"].as_str() {
            Some("Active") => json!("Accepted"),
            _ => json!("Pending"),
        });
        default("qualification", &|_| json!("None"));
        default("direction", &|_| json!("Incoming"));
        Ok(())
    }

    fn name_of(&self, members: &Map<String, Value>) -> Option<&str> {
        let id: OrganizationId = members["organizationId"].as_str()?.parse().ok()?;
        self.names.get(&id).map(String::as_str)
    }
}

/// The time of a member that is there; should it be none, reading the line will say so.
fn instant(members: &Map<String, Value>, name: &str) -> Timestamp {
    let text = members.get(name).and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MIN)
}

/// A row that came from elsewhere, with the news of it.
pub fn imported(referral: &Referral) -> Write {
    let at = referral.updated_date_time;
    let version = u64::from(referral.etag.counter()).max(1); // so that the next tag counts on
    let entry = Entry { action: Action::Imported, at, actor: None, changes: Bytes::from_static(b"{}") };
    let search = search_text(referral);
    Write { referral: to_store(referral, version, None), decided_on: None, entry, search: Some(search) }
}

/// The parser counts lines within its text, which is one line of ours.
fn no_line_number(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line 1 column ") {
        Some((what, column)) => format!("column {column}: {what}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";

    fn rules(owner: Option<&str>) -> ReadRules {
        let contoso = Organization {
            id: CONTOSO.parse().unwrap(),
            name: "Contoso Company".to_owned(),
            issuer: String::new(),
            tenant: None,
            partner_id: None,
            locations: Vec::new(),
        };
        ReadRules::new(&[contoso], owner.map(|owner| owner.parse().unwrap()))
    }

    fn read(rules: &ReadRules, line: &Value) -> Result<Write, String> {
        rules.read(line.to_string().as_bytes(), &mut BTreeMap::new())
    }

    fn small() -> Value {
        json!({ "organizationId": CONTOSO, "type": "Independent", "customerProfile": { "name": "A" } })
    }

    #[test]
    fn a_whole_referral_as_get_prints_it_is_kept_as_it_is() {
        let answer = include_str!("../../../../../docs/examples/get-by-id.response.full.json");
        let value: Value = serde_json::from_str(answer).unwrap();
        let Write { referral: stored, entry, .. } = read(&rules(None), &value).unwrap();
        assert_eq!(stored.id.to_string(), value["id"]);
        assert_eq!(stored.etag.to_string(), value["eTag"]);
        assert_eq!(stored.version, 0x2500_ec5a);
        assert_eq!(entry.action, Action::Imported);
        assert_eq!(entry.at, stored.columns.updated);
        let mut expected = value.clone();
        expected.as_object_mut().unwrap().remove("@odata.context");
        expected["links"] = Value::Null;
        assert_eq!(serde_json::from_slice::<Value>(&stored.document).unwrap(), expected);
    }

    #[test]
    fn what_the_server_sets_may_be_missing() {
        let mut line = small();
        line["createdDateTime"] = json!("2026-01-02T03:04:05Z");
        line["status"] = json!("Active");
        let Write { referral: stored, .. } = read(&rules(None), &line).unwrap();
        let created: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!((stored.columns.created, stored.columns.updated, stored.version), (created, created, 1));
        assert_eq!(stored.etag, ETag::of_version(1, created));
        let document: Value = serde_json::from_slice(&stored.document).unwrap();
        assert_eq!(document["organizationName"], "Contoso Company");
        assert_eq!(document["substatus"], "Accepted");
        assert_eq!(document["team"], json!([]));
        assert_ne!(stored.id, read(&rules(None), &line).unwrap().referral.id);
    }

    #[test]
    fn an_owner_can_be_given_to_all() {
        let other = "11111111-2222-4333-8444-555555555555";
        let mut line = small();
        line["organizationId"] = json!(other);
        let mut unknown = BTreeMap::new();
        let text = line.to_string();
        let problem = rules(None).read(text.as_bytes(), &mut unknown).unwrap_err();
        assert!(problem.contains(other), "{problem}");
        line["organizationName"] = json!("Elsewhere");
        let Write { referral: stored, .. } =
            rules(None).read(line.to_string().as_bytes(), &mut unknown).unwrap();
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), [(stored.owner, "Elsewhere".to_owned())]);
        let Write { referral: stored, .. } = read(&rules(Some(CONTOSO)), &line).unwrap();
        assert_eq!(stored.owner.to_string(), CONTOSO);
        let document: Value = serde_json::from_slice(&stored.document).unwrap();
        assert_eq!(document["organizationName"], "Contoso Company");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (member, value, words) in [
            ("organizationId", Value::Null, "organizationId is missing"),
            ("id", json!("7"), "GUID"),
            ("eTag", json!("7"), "GUID"),
            ("status", json!("Sold"), "Sold"),
            ("substatus", json!("Won"), "cannot be combined"),
            ("type", Value::Null, "type"),
            ("customerProfile", json!({}), "name"),
            ("createdDateTime", json!("yesterday"), "RFC 3339"),
            ("details", json!({ "currency": "EURO" }), "details/currency"),
            ("team", json!([{ "email": "nobody" }]), "team/0/email"),
            ("name", json!("x".repeat(257)), "name"),
        ] {
            let mut line = small();
            line[member] = value;
            let problem = read(&rules(None), &line).unwrap_err();
            assert!(problem.contains(words), "{member}: {problem}");
        }
        for (line, words) in
            [("{", "column"), ("[]", "object"), ("{}", "organizationId"), ("\u{1}", "column")]
        {
            let problem = rules(None).read(line.as_bytes(), &mut BTreeMap::new()).unwrap_err();
            assert!(problem.contains(words), "{line}: {problem}");
        }
    }
}
