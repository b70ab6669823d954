//! Who sees the customer's contacts in an engagement (spec 8.6): histories of an engagement, each against every way to
//! read.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod resource;
mod support;

use std::collections::BTreeMap;

use resource::{full, with};
use serde_json::{Value, json};
use support::*;

/// Found in the customer's contacts of Contoso's first own deal and nowhere else.
const CONTACT: &str = "sue@customer.example";
/// Found in the customer's ids of the same referral and nowhere else.
const NUMBER: &str = "DUNS795986822";

/// What happens in an engagement. An organization is named by its administrator.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The first sends the second a referral there.
    Invite(&'static str, &'static str),
    /// Adds an own deal.
    OwnDeal(&'static str),
    /// The owner accepts the newest referral it was sent.
    Accept(&'static str),
    /// The owner declines the newest referral it was sent.
    Decline(&'static str),
    /// The owner closes the newest referral it was sent as won.
    Win(&'static str),
    /// The first withdraws the newest referral that it sent the second.
    Withdraw(&'static str, &'static str),
    /// Fifteen days pass.
    Expire,
    /// The owner closes its newest own deal.
    CloseOwn(&'static str),
}
use Step::{Accept, CloseOwn, Decline, Expire, Invite, OwnDeal, Win, Withdraw};

const CONTOSO: &str = CONTOSO_ADMIN;
const FABRIKAM: &str = FABRIKAM_ADMIN;
const NORTHWIND: &str = NORTHWIND_ADMIN;
const MICROSOFT: &str = MICROSOFT_SELLER;

/// What an organization sees of the customer of Contoso's first own deal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum View {
    /// Not the referral either.
    Nothing,
    /// The referral without the customer's contacts.
    Redacted,
    /// The contacts too.
    Contacts,
}
use View::{Contacts, Nothing, Redacted};

fn location(of: &str) -> &'static str {
    match of {
        CONTOSO => CONTOSO_LOCATION,
        FABRIKAM => FABRIKAM_LOCATION,
        NORTHWIND => NORTHWIND_LOCATION,
        _ => "msft",
    }
}

/// A deal with a customer whose contacts are none of Contoso's.
fn plain() -> Value {
    let body = with(full(), "/customerProfile/team", json!([]));
    let body = with(body, "/customerProfile/ids", json!([]));
    with(body, "/consent/consentToShareReferralWithMicrosoftSellers", json!(false))
}

/// An engagement that Contoso began with an own deal, or with a lead that it sent to Fabrikam, and what happened then.
struct History {
    world: World,
    engagement: String,
    /// The referral whose contacts everybody would like to see.
    watched: String,
    /// What each owner was sent and has, oldest first.
    sent: BTreeMap<&'static str, Vec<String>>,
    own: BTreeMap<&'static str, Vec<String>>,
}

impl History {
    async fn of(extended: bool, consent: bool, steps: &[Step]) -> History {
        let world = if extended { World::extended().await } else { World::new().await };
        let mut contact = member(CONTACT);
        contact["firstName"] = json!("Sue");
        let watched = with(plain(), "/customerProfile/team", json!([contact]));
        let ids = json!([{ "profileType": "External", "id": NUMBER }]);
        let watched = with(watched, "/customerProfile/ids", ids);
        let watched = with(watched, "/name", json!("watched"));
        let watched = with(watched, "/consent/consentToToShareInfoWithOthers", json!(consent));
        let watched = world.contoso().creates(watched).await;
        let mut history = History {
            engagement: watched.engagement.clone(),
            watched: watched.id.clone(),
            sent: BTreeMap::new(),
            own: BTreeMap::from([(CONTOSO, vec![watched.id])]),
            world,
        };
        for step in steps {
            history.goes_on(*step).await;
        }
        history
    }

    async fn goes_on(&mut self, step: Step) {
        let world = &self.world;
        world.clock.advance(1);
        let there = with(with(plain(), "/engagementId", json!(self.engagement)), "/name", json!("other"));
        let newest = |of: &BTreeMap<&'static str, Vec<String>>, who: &str| of[who].last().unwrap().clone();
        match step {
            Invite(from, to) => {
                let target = invitation(location(to))["target"].clone();
                let made = world.person(from).creates(with(there, "/target", target)).await;
                self.sent.entry(to).or_default().push(made.id);
            }
            OwnDeal(who) => {
                let made = world.person(who).creates(there).await;
                assert!(made.body["acceptedDateTime"].is_string());
                self.own.entry(who).or_default().push(made.id);
            }
            Accept(who) => self.moves(who, &newest(&self.sent, who), "Active", "Accepted").await,
            Decline(who) => self.moves(who, &newest(&self.sent, who), "Closed", "Declined").await,
            Win(who) => self.moves(who, &newest(&self.sent, who), "Closed", "Won").await,
            Withdraw(from, to) => self.moves(from, &newest(&self.sent, to), "Closed", "Declined").await,
            CloseOwn(who) => self.moves(who, &newest(&self.own, who), "Closed", "Won").await,
            Expire => world.clock.advance(15 * 24 * 3600),
        }
    }

    async fn moves(&self, who: &str, id: &str, status: &str, substatus: &str) {
        let operations = json!([
            { "op": "replace", "path": "/status", "value": status },
            { "op": "replace", "path": "/substatus", "value": substatus },
        ]);
        self.world.person(who).patches(id, operations).await.expect(204);
    }

    /// Every way to read, with its answer.
    async fn readings(&self, who: &str, extended: bool) -> Vec<(String, Answer)> {
        let world = &self.world;
        let path = path(&self.watched);
        let there = format!("$filter=engagementId eq {}", self.engagement);
        let filtered =
            |predicate: &str| escaped(&format!("engagementId eq {} and {predicate}", self.engagement));
        let mut ways = vec![path.clone(), format!("{REFERRALS}?{}", there.replace(' ', "%20"))];
        // A filter that only the hidden fulfils finds nothing; its answer would show the contacts.
        for predicate in [
            format!("customerProfile/team/any(c:c/email eq '{CONTACT}')"),
            "name eq 'watched' and customerProfile/team/any()".to_owned(),
        ] {
            ways.push(format!("{REFERRALS}?$filter={}", filtered(&predicate)));
        }
        ways.push(format!("{REFERRALS}?{}&$select=customerProfile", there.replace(' ', "%20")));
        if extended {
            let own = self.own.get(who).or(self.sent.get(who)).map(|own| own[0].clone());
            for rest in [
                "/customerProfile",
                "/customerProfile/team",
                "/relatedReferrals",
                "?$select=customerProfile/team",
            ] {
                ways.push(format!("{path}{rest}"));
            }
            ways.push(format!("{path}?$expand=relatedReferrals"));
            ways.push(format!("{path}?$compute=customerProfile/team/$count%20as%20n"));
            if let Some(own) = own {
                let own = support::path(&own);
                ways.push(format!("{own}/relatedReferrals"));
                ways.push(format!("{own}/relatedReferrals?$filter=customerProfile/team/any()"));
                ways.push(format!("{own}?$expand=relatedReferrals"));
                ways.push(format!("{own}?$expand=relatedReferrals($select=customerProfile;$orderby=customerProfile/team/$count)"));
                ways.push(format!("{own}?$expand=relatedReferrals($expand=relatedReferrals)"));
            }
            for rest in [
                "&$expand=relatedReferrals".to_owned(),
                "&$orderby=customerProfile/team/$count desc".to_owned(),
                format!("&$search={NUMBER}"),
            ] {
                ways.push(format!("{REFERRALS}?{there}{rest}").replace(' ', "%20"));
            }
            for predicate in [
                format!("customerProfile/ids/any(i:i/id eq '{NUMBER}')"),
                "name eq 'watched' and customerProfile/team/$count gt 0".to_owned(),
                "name eq 'watched' and contains(concat(name,'x'),'w') and customerProfile/team/any(c:startswith(c/email,'sue'))".to_owned(),
            ] {
                ways.push(format!("{REFERRALS}?$filter={}", filtered(&predicate)));
            }
        }
        let mut readings = Vec::new();
        for way in &ways {
            readings.push((way.clone(), world.call("GET", way).as_user(who).await));
        }
        if extended {
            let requests: Vec<Value> = (0..)
                .zip(&ways)
                .map(|(id, url)| json!({ "id": id.to_string(), "method": "GET", "url": url.replace(' ', "%20") }))
                .collect();
            let batch = world.call("POST", &format!("{REFERRALS}/$batch")).as_user(who);
            let answer = batch.json(json!({ "requests": requests })).await.expect(200);
            readings.push(("$batch".to_owned(), answer));
        }
        readings
    }

    /// How many referrals of the engagement this is true of, by `$count`.
    async fn counted(&self, who: &str, predicate: &str) -> Option<u64> {
        let filter = escaped(&format!("engagementId eq {} and {predicate}", self.engagement));
        let answer =
            self.world.call("GET", &format!("{REFERRALS}/$count?$filter={filter}")).as_user(who).await;
        String::from_utf8_lossy(&answer.expect(200).bytes).parse().ok()
    }

    async fn check(&self, extended: bool, who: &str, expected: View, context: &str) {
        let referral = self.world.person(who).gets(&self.watched).await;
        let found = match referral.status {
            404 => Nothing,
            _ => match referral.expect(200).body["customerProfile"]["team"].as_array().unwrap().is_empty() {
                true => Redacted,
                false => Contacts,
            },
        };
        assert_eq!(found, expected, "{context}");
        for (way, answer) in self.readings(who, extended).await {
            let text = String::from_utf8_lossy(&answer.bytes);
            let tells = text.contains(CONTACT) || text.contains(NUMBER);
            assert!(
                answer.status == 200 || expected == Nothing && answer.status == 404,
                "{context} {way}: {text}"
            );
            assert_eq!(tells, expected == Contacts, "{context} {way}: {text}");
            if way.contains("/$count%20as") && answer.status == 200 {
                assert_eq!(answer.body["n"], u64::from(expected == Contacts), "{context} {way}: {text}");
            }
        }
        if extended {
            for hidden in [
                format!("customerProfile/team/any(c:c/email eq '{CONTACT}')"),
                format!("customerProfile/ids/any(i:i/id eq '{NUMBER}')"),
                "name eq 'watched' and not (customerProfile/team/$count eq 0)".to_owned(),
            ] {
                let counted = self.counted(who, &hidden).await;
                assert_eq!(counted, Some(u64::from(expected == Contacts)), "{context} {hidden}");
            }
        }
    }
}

/// Histories, and what Fabrikam, Northwind and Microsoft see in the end.
const HISTORIES: &[(&[Step], [View; 3])] = &[
    (&[], [Nothing, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Accept(FABRIKAM)], [Contacts, Nothing, Nothing]),
    // An own deal is accepted from its beginning, and gives nothing.
    (&[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Decline(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Decline(FABRIKAM), OwnDeal(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM), Decline(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Withdraw(CONTOSO, FABRIKAM)], [Redacted, Nothing, Nothing]),
    (
        &[Invite(CONTOSO, FABRIKAM), Withdraw(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM)],
        [Redacted, Nothing, Nothing],
    ),
    (&[Invite(CONTOSO, FABRIKAM), Expire], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Expire, OwnDeal(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM), Expire], [Redacted, Nothing, Nothing]),
    // Closed without having been accepted (T7).
    (&[Invite(CONTOSO, FABRIKAM), Win(FABRIKAM)], [Redacted, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Win(FABRIKAM), OwnDeal(FABRIKAM)], [Redacted, Nothing, Nothing]),
    // Accepting counts for good.
    (&[Invite(CONTOSO, FABRIKAM), Accept(FABRIKAM), Win(FABRIKAM)], [Contacts, Nothing, Nothing]),
    (&[Invite(CONTOSO, FABRIKAM), Accept(FABRIKAM), Decline(FABRIKAM)], [Contacts, Nothing, Nothing]),
    // Of several invitations one accepted is enough.
    (
        &[
            Invite(CONTOSO, FABRIKAM),
            Decline(FABRIKAM),
            Invite(CONTOSO, FABRIKAM),
            Withdraw(CONTOSO, FABRIKAM),
            Invite(CONTOSO, FABRIKAM),
        ],
        [Redacted, Nothing, Nothing],
    ),
    (
        &[
            Invite(CONTOSO, FABRIKAM),
            Decline(FABRIKAM),
            Invite(CONTOSO, FABRIKAM),
            Accept(FABRIKAM),
            Win(FABRIKAM),
            Invite(CONTOSO, FABRIKAM),
            Decline(FABRIKAM),
        ],
        [Contacts, Nothing, Nothing],
    ),
    // Each organization for itself.
    (
        &[Invite(CONTOSO, FABRIKAM), Invite(CONTOSO, NORTHWIND), Accept(NORTHWIND)],
        [Redacted, Contacts, Nothing],
    ),
    (
        &[
            Invite(CONTOSO, FABRIKAM),
            Invite(CONTOSO, NORTHWIND),
            Accept(FABRIKAM),
            OwnDeal(NORTHWIND),
            Invite(CONTOSO, MICROSOFT),
            OwnDeal(MICROSOFT),
        ],
        [Contacts, Redacted, Redacted],
    ),
    (&[Invite(CONTOSO, MICROSOFT), Accept(MICROSOFT)], [Nothing, Nothing, Contacts]),
    // Who is invited by an invited organization that accepted nothing.
    (
        &[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM), Invite(FABRIKAM, NORTHWIND)],
        [Redacted, Redacted, Nothing],
    ),
    // It sends, and what it sent is accepted by another: its own invitation is not.
    (
        &[Invite(CONTOSO, FABRIKAM), Invite(FABRIKAM, NORTHWIND), Accept(NORTHWIND), OwnDeal(FABRIKAM)],
        [Redacted, Contacts, Nothing],
    ),
    // The last one standing did not begin it.
    (
        &[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM), CloseOwn(CONTOSO), CloseOwn(FABRIKAM)],
        [Redacted, Nothing, Nothing],
    ),
];

#[tokio::test]
async fn who_did_not_accept_reads_no_contact_by_any_way() {
    // REF-297
    for extended in [false, true] {
        for (steps, expected) in HISTORIES {
            let history = History::of(extended, true, steps).await;
            for (who, expected) in [FABRIKAM, NORTHWIND, MICROSOFT].into_iter().zip(expected) {
                let context = format!("extended: {extended}, {steps:?}, {who}");
                history.check(extended, who, *expected, &context).await;
            }
            history.check(extended, CONTOSO, Contacts, "the owner").await;
        }
    }
}

#[tokio::test]
async fn without_consent_nobody_reads_the_contacts_of_another() {
    // REF-297
    for (steps, expected) in HISTORIES {
        let history = History::of(true, false, steps).await;
        for (who, expected) in [FABRIKAM, NORTHWIND, MICROSOFT].into_iter().zip(expected) {
            let expected = if *expected == Contacts { Redacted } else { *expected };
            history.check(true, who, expected, &format!("{steps:?}, {who}")).await;
        }
    }
}

#[tokio::test]
async fn who_began_an_engagement_sees_the_contacts_of_what_others_add_to_it() {
    // REF-297
    let customer = |body: Value| with(body, "/customerProfile/team", json!([member(CONTACT)]));
    let sees = async |world: &World, who: &str, deal: &Deal| {
        let answer = world.person(who).gets(&deal.id).await.expect(200);
        !answer.body["customerProfile"]["team"].as_array().unwrap().is_empty()
    };
    // By sending the first referral, without one of its own there: the onward referral of the invited is shown whole.
    let world = World::extended().await;
    let target = invitation(FABRIKAM_LOCATION)["target"].clone();
    let lead = world.contoso().creates(with(plain(), "/target", target)).await;
    world.clock.advance(1);
    let there = |body: Value| with(body, "/engagementId", json!(lead.engagement));
    let own = world.fabrikam().creates(there(customer(plain()))).await;
    assert!(sees(&world, CONTOSO, &own).await);
    // Who was sent it owns the first referral, and did not begin the engagement.
    let target = invitation(NORTHWIND_LOCATION)["target"].clone();
    let onward = world.fabrikam().creates(there(with(customer(plain()), "/target", target))).await;
    let northwinds = world.northwind().creates(there(customer(plain()))).await;
    assert!(sees(&world, CONTOSO, &northwinds).await && sees(&world, CONTOSO, &onward).await);
    assert!(!sees(&world, FABRIKAM, &northwinds).await);
    world.fabrikam().patches(&lead.id, example("patch.request.accept.json")).await.expect(204);
    assert!(sees(&world, FABRIKAM, &northwinds).await);
    assert!(!sees(&world, NORTHWIND, &own).await);

    // By owning the first, where nobody sent it: also one that the operator fed as an incoming lead.
    let world = World::extended().await;
    let own = world.contoso().creates(plain()).await;
    world
        .bends(&own.id, |document| {
            document["direction"] = json!("Incoming");
            document["status"] = json!("New");
            document["substatus"] = json!("Pending");
            document["acceptedDateTime"] = Value::Null;
        })
        .await;
    world.clock.advance(1);
    world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    let fabrikams = with(customer(plain()), "/engagementId", json!(own.engagement));
    let fabrikams = world.fabrikam().creates(fabrikams).await;
    assert!(sees(&world, CONTOSO, &fabrikams).await);
}

/// The clocks of several nodes differ; the order of creation in an engagement does not follow them.
#[tokio::test]
async fn a_clock_that_runs_behind_makes_nobody_the_one_who_began() {
    // REF-297
    let mut history = History::of(true, true, &[Invite(CONTOSO, FABRIKAM)]).await;
    history.world.clock.advance(-3600);
    history.goes_on(OwnDeal(FABRIKAM)).await;
    history.check(true, FABRIKAM, Redacted, "an hour behind").await;
    let own = history.world.fabrikam().gets(&history.own[FABRIKAM][0]).await.expect(200);
    let sent = history.world.fabrikam().gets(&history.sent[FABRIKAM][0]).await.expect(200);
    assert!(own.text("createdDateTime") > sent.text("createdDateTime"));
    assert_eq!(own.body["createdDateTime"], own.body["acceptedDateTime"]);
}

#[tokio::test]
async fn a_damaged_invitation_makes_nobody_the_one_who_began() {
    // REF-297
    let history = History::of(true, true, &[Invite(CONTOSO, FABRIKAM), OwnDeal(FABRIKAM)]).await;
    for damaged in [&history.sent[FABRIKAM][0], &history.watched] {
        history.world.store.damage(damaged.parse().unwrap());
        let seen = history.world.fabrikam().gets(&history.watched).await.expect(200);
        assert_eq!(seen.body["customerProfile"]["team"], json!([]));
    }
}

/// Within a change set the state that its writes leave counts.
#[tokio::test]
async fn a_change_set_gives_no_more_than_its_writes_do() {
    // REF-297
    let history = History::of(true, true, &[Invite(CONTOSO, FABRIKAM)]).await;
    let there = with(plain(), "/engagementId", json!(history.engagement));
    let group = |requests: Value| {
        let batch = history.world.call("POST", &format!("{REFERRALS}/$batch")).as_user(FABRIKAM);
        batch.json(json!({ "requests": requests }))
    };
    let own_deal = json!({
        "id": "1", "atomicityGroup": "g", "method": "POST", "url": REFERRALS,
        "headers": { "content-type": "application/json" }, "body": there,
    });
    let look = json!({ "id": "2", "dependsOn": ["g"], "method": "GET", "url": path(&history.watched) });
    let answer = group(json!([own_deal, look])).await.expect(200);
    assert_eq!(answer.body["responses"][1]["status"], 200, "{}", answer.body);
    assert!(!answer.body["responses"][1].to_string().contains(CONTACT));
    let accept = json!({
        "id": "1", "atomicityGroup": "g", "method": "PATCH", "url": path(&history.sent[FABRIKAM][0]),
        "headers": { "content-type": "application/json" }, "body": example("patch.request.accept.json"),
    });
    let answer = group(json!([accept, look])).await.expect(200);
    assert!(answer.body["responses"][1].to_string().contains(CONTACT), "{}", answer.body);
}

#[tokio::test]
async fn a_known_tag_does_not_hide_what_acceptance_shows() {
    let world = World::extended().await;
    let own = world.contoso().creates(plain()).await;
    world
        .contoso()
        .replaces(&own.id, "/customerProfile/team", json!([{ "email": CONTACT }]))
        .await
        .expect(204);
    let lead = world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    let read = async |who: &'static str, path: &str, tag: &str| {
        world.call("GET", path).as_user(who).header("If-None-Match", tag).await
    };
    let paths = [own.path(), format!("{}?$select=id,customerProfile", own.path())];
    let redacted = world.fabrikam().gets(&own.id).await.expect(200);
    let tag = redacted.header("etag").unwrap().to_owned();
    assert_eq!(redacted.body["customerProfile"]["team"], json!([]));
    world.fabrikam().patches(&lead.id, example("patch.request.accept.json")).await.expect(204);
    for path in &paths {
        let answer = read(FABRIKAM, path, &tag).await.expect(200);
        assert_eq!(answer.header("etag"), Some(&*tag), "the same version");
        assert_eq!(answer.body["customerProfile"]["team"][0]["email"], CONTACT, "{path}");
        // The owner sees one version always alike, and so does who sent one.
        read(CONTOSO, path, &tag).await.expect(304);
    }
    let sent = world.contoso().gets(&lead.id).await.expect(200);
    read(CONTOSO, &lead.path(), sent.header("etag").unwrap()).await.expect(304);
}
