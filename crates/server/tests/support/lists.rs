//! Lists: queries as a person writes them, pages, and many referrals at once.

use serde_json::Value;

use super::{Answer, BASE, CONTOSO, Person, REFERRALS, World};

/// The ids of a page, in its order.
#[track_caller]
pub fn ids(answer: &Answer) -> Vec<String> {
    members(answer, "id")
}

/// The names of a page's referrals, in its order.
#[track_caller]
pub fn names(answer: &Answer) -> Vec<String> {
    members(answer, "name")
}

#[track_caller]
fn members(answer: &Answer, name: &str) -> Vec<String> {
    let value = answer.body["value"].as_array().unwrap_or_else(|| panic!("no page: {}", answer.body));
    let text = |one: &Value| one[name].as_str().unwrap_or_else(|| panic!("no {name} in {one}")).to_owned();
    value.iter().map(text).collect()
}

/// The query of the next link, with its `?`; the link must be absolute and on the public base (REF-209).
#[track_caller]
pub fn next(answer: &Answer) -> Option<String> {
    let link = answer.body.get("@odata.nextLink")?.as_str().unwrap();
    let query = link.strip_prefix(&format!("{BASE}{REFERRALS}?")).unwrap_or_else(|| panic!("{link}"));
    Some(format!("?{query}"))
}

/// The token of a next link's query.
#[track_caller]
pub fn token_of(query: &str) -> String {
    let pieces = query.trim_start_matches('?').split('&');
    pieces
        .filter_map(|piece| piece.strip_prefix("$skiptoken="))
        .next()
        .unwrap_or_else(|| panic!("{query}"))
        .to_owned()
}

/// A query as a client sends it: what may not stand in an address is percent-encoded, `%` and `+` stay as they are.
pub fn encoded(query: &str) -> String {
    let mut out = String::new();
    for byte in query.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(byte.into()),
            _ if b"?&=$%+-._~(),/:;@*!'".contains(&byte) => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// One value within a query: everything but letters and digits is percent-encoded.
pub fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl<'a> Person<'a> {
    /// A list by a query as a person writes it.
    pub async fn asks(self, query: &str) -> Answer {
        self.lists(&encoded(query)).await
    }

    /// `GET` of any path below the collection, or of none, as a person writes it.
    pub async fn reads(self, below: &str) -> Answer {
        let target = encoded(&format!("{REFERRALS}{below}"));
        self.world().call("GET", &target).as_user(self.user()).send().await
    }

    /// All pages from a query on.
    pub async fn pages(self, query: &str) -> Vec<Answer> {
        let mut pages = vec![self.asks(query).await.expect(200)];
        while let Some(query) = next(pages.last().unwrap()) {
            assert!(pages.len() < 300, "no end");
            pages.push(self.lists(&query).await.expect(200));
        }
        pages
    }

    /// The names on all pages from a query on.
    pub async fn names(self, query: &str) -> Vec<String> {
        self.pages(query).await.iter().flat_map(names).collect()
    }
}

impl World {
    /// Puts referrals of Contoso into the store that differ from a new own deal by what `bend` does to each, and a
    /// second of age. The ids, in the order of their making; the clock stands at the last.
    pub async fn plants(&self, count: usize, bend: impl Fn(usize, &mut Value)) -> Vec<String> {
        // The model is another's, so that Contoso owns what is planted and nothing else.
        let model = self.northwind().own_deal().await;
        let document = self.stored_bytes(&model.id).await.document;
        let document: Value = serde_json::from_str(&document).unwrap();
        let mut ids = Vec::new();
        for at in 0..count {
            self.clock.advance(1);
            let id = format!("00000000-0000-4000-9000-{:012x}", ((at + 1) * 7919) % 65536);
            let mut one = document.clone();
            one["id"] = id.clone().into();
            one["engagementId"] = format!("00000000-0000-4000-a000-{at:012x}").into();
            one["organizationId"] = CONTOSO.into();
            one["organizationName"] = "Contoso Company".into();
            one["createdDateTime"] = self.clock.time().to_string().into();
            one["updatedDateTime"] = self.clock.time().to_string().into();
            bend(at, &mut one);
            self.plant_new(one, None).await;
            ids.push(id);
        }
        ids
    }

    /// Changes a stored document past all rules, and the columns with it; its engagement stays (5.5).
    pub async fn bends(&self, id: &str, bend: impl FnOnce(&mut Value)) {
        self.plant(id, |stored| {
            let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
            bend(&mut document);
            let referral = referral::Referral::from_document(document.to_string().as_bytes()).unwrap();
            *stored = exchange::to_store(&referral, stored.version, stored.columns.sender.clone());
        })
        .await;
    }
}
