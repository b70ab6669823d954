//! Unanswered referrals expire by the clock, and who reads them at or after that instant never sees them New.
//! Spec 7.2, T9 to T13 and T17.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};
use store::Action;

use resource::{full, replace, text_at, with};
use support::{
    CONTOSO, CONTOSO_LOCATION, Deal, FABRIKAM, FABRIKAM_LOCATION, World, example, instant, invitation,
};

/// A lead with customer contacts, sent to Contoso by Fabrikam.
async fn lead(world: &World) -> Deal {
    world.fabrikam().creates(with(full(), "/target", invitation(CONTOSO_LOCATION)["target"].clone())).await
}

fn assert_expired(seen: &Value, expiry: &str) {
    assert_eq!((text_at(seen, "/status"), text_at(seen, "/substatus")), ("Closed", "Expired"));
    for time in ["/updatedDateTime", "/closedDateTime", "/expirationDateTime"] {
        assert_eq!(text_at(seen, time), expiry, "{time}");
    }
    assert_eq!(seen["acceptedDateTime"], Value::Null);
    assert_eq!(seen["customerProfile"]["team"], json!([]), "the customer's contacts are gone");
    assert_eq!(i64::from_str_radix(&text_at(seen, "/eTag")[25..33], 16), Ok(instant(expiry).unix_seconds()));
}

#[tokio::test]
async fn an_incoming_referral_expires_at_midnight_fourteen_days_after_its_day() {
    // REF-106 REF-153
    let world = World::new().await;
    for (created, expiry) in [
        ("2027-10-30T21:03:42.5Z", "2027-11-13T00:00:00Z"),
        ("2027-12-31T23:59:59.9999999Z", "2028-01-14T00:00:00Z"),
        ("2028-02-20T00:00:00Z", "2028-03-05T00:00:00Z"),
    ] {
        world.clock.set(created);
        let sent = lead(&world).await;
        assert_eq!(text_at(&sent.body, "/expirationDateTime"), expiry, "{created}");
        assert_eq!(world.contoso().own_deal().await.body["expirationDateTime"], Value::Null);
    }
}

#[tokio::test]
async fn at_its_expiry_and_not_before_every_reader_finds_it_closed() {
    // REF-152 REF-154
    for reader in ["owner", "sender", "list", "job"] {
        for late in [0, 1, 40_000_000] {
            let world = World::new().await;
            let sent = lead(&world).await;
            let expiry = text_at(&sent.body, "/expirationDateTime").to_owned();
            world.clock.set(&referral::Timestamp::from_ticks(instant(&expiry).ticks() - 1).to_string());
            assert_eq!(world.contoso().sees(&sent.id).await.body["status"], "New");
            assert_eq!(world.exchange.expire_due().await.unwrap(), 0);

            world.clock.set(&expiry);
            world.clock.advance(late);
            match reader {
                "owner" => assert_expired(&world.contoso().sees(&sent.id).await.body, &expiry),
                "sender" => assert_expired(&world.fabrikam().sees(&sent.id).await.body, &expiry),
                "list" => {
                    assert_expired(&world.contoso().lists("").await.expect(200).body["value"][0], &expiry)
                }
                _ => assert_eq!(world.exchange.expire_due().await.unwrap(), 1),
            }
            // Told once, as the server's own doing, at the instant of the expiry.
            assert_expired(&world.contoso().sees(&sent.id).await.body, &expiry);
            let log = world.log(CONTOSO).await;
            assert_eq!(log.len(), 2);
            assert_eq!((log[1].entry.action, log[1].entry.at), (Action::Expired, instant(&expiry)));
            assert_eq!(log[1].entry.actor, None);
            assert_eq!(world.log(FABRIKAM).await.len(), 0);
        }
    }
}

#[tokio::test]
async fn the_expired_contacts_are_gone_from_the_disk_and_from_the_news_of_it() {
    // REF-154
    let world = World::new().await;
    let by_time = lead(&world).await;
    let by_hand = lead(&world).await;
    let closing = replace(&[("/status", json!("Closed")), ("/substatus", json!("Expired"))]);
    world.contoso().patches(&by_hand.id, closing).await.expect(204);
    world.clock.set(text_at(&by_time.body, "/expirationDateTime"));
    for deal in [&by_time, &by_hand] {
        let seen = world.contoso().sees(&deal.id).await.body;
        assert_eq!(seen["customerProfile"]["team"], json!([]));
        let kept = world.stored_bytes(&deal.id).await.document;
        assert!(!kept.contains("Sue@contoso.example"), "{kept}");
    }
    for entry in world.log(CONTOSO).await {
        let news = String::from_utf8(entry.entry.changes.to_vec()).unwrap();
        assert!(!news.contains("Sue@contoso.example"), "{:?}: {news}", entry.entry.action);
    }
}

#[tokio::test]
async fn a_write_that_comes_too_late_meets_the_closed_referral() {
    // REF-149 REF-152 REF-159
    let world = World::new().await;
    for (method, if_match, status, inner) in [
        ("PUT", "*", 409, "terminalState"),
        ("PUT", "", 412, "99918"),
        ("PATCH", "", 412, "99918"),
        ("PATCH", "none", 409, "terminalState"),
    ] {
        let sent = lead(&world).await;
        let expiry = text_at(&sent.body, "/expirationDateTime").to_owned();
        world.clock.set(&expiry);
        let body = match method {
            "PUT" => json!({ "status": "Active", "substatus": "Accepted" }),
            _ => example("patch.request.accept.json"),
        };
        let call = world.call(method, &sent.path()).as_user(support::CONTOSO_ADMIN).json(body);
        let answer = match if_match {
            "none" => call.await,
            "" => call.header("If-Match", &sent.etag).await,
            tag => call.header("If-Match", tag).await,
        };
        assert_eq!(answer.status, status, "{method} {if_match}");
        assert_eq!(answer.body["error"]["innerError"]["code"], inner);
        assert_expired(&world.contoso().sees(&sent.id).await.body, &expiry);
    }
}

#[tokio::test]
async fn a_withdrawal_that_comes_too_late_is_not_one() {
    let world = World::new().await;
    let sent = lead(&world).await;
    world.clock.set(text_at(&sent.body, "/expirationDateTime"));
    let answer = world.fabrikam().patches(&sent.id, example("patch.request.decline.json")).await;
    answer.refused(403, "accessDenied", "referral", "notOwner");
}

#[tokio::test]
async fn what_was_answered_or_is_outgoing_does_not_expire() {
    // REF-106 REF-152
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let accepted = lead(&world).await;
    world.contoso().patches(&accepted.id, example("patch.request.accept.json")).await.expect(204);
    let declined = lead(&world).await;
    world.contoso().patches(&declined.id, example("patch.request.decline.json")).await.expect(204);
    let mut before = Vec::new();
    for id in [&own.id, &accepted.id, &declined.id] {
        before.push(world.contoso().sees(id).await.body);
    }
    world.clock.advance(366 * 24 * 3600);
    assert_eq!(world.exchange.expire_due().await.unwrap(), 0);
    for (id, before) in [&own.id, &accepted.id, &declined.id].into_iter().zip(before) {
        assert_eq!(world.contoso().sees(id).await.body, before);
    }
    // Seen is not answered.
    let received = lead(&world).await;
    world.contoso().replaces(&received.id, "/substatus", json!("Received")).await.expect(204);
    world.clock.set(text_at(&received.body, "/expirationDateTime"));
    assert_eq!(world.contoso().sees(&received.id).await.body["substatus"], "Expired");
}

#[tokio::test]
async fn a_referral_written_after_its_expiry_by_a_clock_gone_back_still_moves_forward() {
    let world = World::new().await;
    let sent = lead(&world).await;
    let expiry = text_at(&sent.body, "/expirationDateTime").to_owned();
    // Written under a clock that was ahead, a moment before its expiry was looked at.
    world.clock.set(&referral::Timestamp::from_ticks(instant(&expiry).ticks() - 1).to_string());
    world.contoso().replaces(&sent.id, "/name", json!("one")).await.expect(204);
    world.contoso().replaces(&sent.id, "/name", json!("two")).await.expect(204);
    world.contoso().replaces(&sent.id, "/name", json!("three")).await.expect(204);
    let before = instant(text_at(&world.contoso().sees(&sent.id).await.body, "/updatedDateTime"));
    assert!(before > instant(&expiry));
    world.clock.set(&expiry);
    let seen = world.contoso().sees(&sent.id).await.body;
    assert_eq!(seen["substatus"], "Expired");
    assert!(instant(text_at(&seen, "/updatedDateTime")) > before);
}

#[tokio::test]
async fn a_restart_forgets_no_expiry() {
    // REF-152
    let mut world = World::new().await;
    let sent = lead(&world).await;
    let expiry = text_at(&sent.body, "/expirationDateTime").to_owned();
    world.restart().await;
    world.clock.set(&expiry);
    assert_expired(&world.contoso().lists("").await.expect(200).body["value"][0], &expiry);
}

#[tokio::test]
async fn one_partys_expiry_leaves_the_others_alone() {
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let sent = world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    world.clock.set(text_at(&sent.body, "/expirationDateTime"));
    assert_eq!(world.contoso().sees(&sent.id).await.body["substatus"], "Expired");
    assert_eq!(world.contoso().sees(&own.id).await.body, own.body);
}

#[tokio::test]
async fn many_that_are_due_at_once_are_all_closed_and_each_told_once() {
    // REF-152
    let world = World::new().await;
    let mut expiry = String::new();
    for _ in 0..300 {
        expiry = text_at(&lead(&world).await.body, "/expirationDateTime").to_owned();
    }
    world.clock.set(&expiry);
    assert_eq!(world.exchange.expire_due().await.unwrap(), 300);
    let log = world.log(CONTOSO).await;
    assert_eq!(log.iter().filter(|entry| entry.entry.action == Action::Expired).count(), 300);
    assert_eq!(log.len(), 600);
}

#[tokio::test]
async fn those_that_are_due_at_once_are_written_at_once() {
    // They expire at midnight, all together: one commit each, one after the other, would hold every list up.
    let world = World::new().await;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(lead(&world).await);
    }
    world.clock.set(text_at(&sent[0].body, "/expirationDateTime"));
    world.store.hold_commits();
    let watch = async {
        while world.store.held() < 20 {
            tokio::task::yield_now().await;
        }
        world.store.release_commits();
    };
    let both = async { tokio::join!(world.exchange.expire_due(), watch) };
    let (closed, ()) =
        tokio::time::timeout(support::DEADLINE, both).await.expect("all wait at the gate together");
    assert_eq!(closed.unwrap(), 20);
}

#[tokio::test]
async fn one_that_is_written_while_the_next_expiry_is_looked_up_is_not_forgotten() {
    let world = World::new().await;
    let first = lead(&world).await;
    let accepted = replace(&[("/status", json!("Active"))]);
    world.contoso().patches(&first.id, accepted).await.expect(204);
    // Nothing is due at the first one's time, but that is looked up then.
    world.clock.set(text_at(&first.body, "/expirationDateTime"));
    world.token(support::FABRIKAM_ADMIN).await;
    world.store.hold_commits();
    let looked = async {
        world.store.commit_waits().await;
        assert_eq!(world.exchange.expire_due().await.unwrap(), 0);
        world.store.release_commits();
    };
    let (second, ()) = tokio::join!(lead(&world), looked);
    let expiry = text_at(&second.body, "/expirationDateTime");
    world.clock.set(expiry);
    let list = world.contoso().lists("").await.expect(200);
    let seen = list.body["value"].as_array().unwrap().iter().find(|one| one["id"] == second.id.as_str());
    assert_expired(seen.unwrap(), expiry);
}

#[tokio::test]
async fn the_last_instant_of_all_has_nothing_due_for_ever() {
    let world = World::new().await;
    let sent = lead(&world).await;
    world.clock.set(&referral::Timestamp::MAX.to_string());
    let settled = tokio::time::timeout(support::DEADLINE, world.exchange.expire_due()).await.expect("an end");
    assert_eq!(settled.unwrap(), 1);
    assert_eq!(text_at(&world.contoso().sees(&sent.id).await.body, "/substatus"), "Expired");
}

#[tokio::test]
async fn a_due_referral_that_cannot_be_read_stops_no_list_of_others() {
    let world = World::new().await;
    let broken = lead(&world).await;
    let other = lead(&world).await;
    let northwinds = world.northwind().creates(full()).await;
    world.plant(&broken.id, |stored| stored.document = "{".into()).await;
    world.clock.set(text_at(&broken.body, "/expirationDateTime"));
    for _ in 0..2 {
        let list = world.northwind().lists("").await.expect(200);
        assert_eq!(text_at(&list.body, "/value/0/id"), northwinds.id);
    }
    let closed = world.contoso().sees(&other.id).await.body;
    assert_eq!(closed["status"], "Closed", "what can be closed is");
}

#[tokio::test]
async fn what_is_due_and_cannot_be_closed_holds_up_no_list_and_no_job() {
    let world = World::new().await;
    let sent = lead(&world).await;
    let other = world.contoso().own_deal().await;
    world.store.hide_due();
    world.clock.set(text_at(&sent.body, "/expirationDateTime"));
    let settled = tokio::time::timeout(std::time::Duration::from_secs(20), world.exchange.expire_due()).await;
    assert_eq!(settled.expect("it ends").unwrap(), 0);
    let list = world.contoso().asks("").await.expect(200);
    assert!(list.body["value"].as_array().unwrap().iter().any(|item| item["id"] == other.id.as_str()));
    // It is looked for again a second later.
    let looks = world.store.looks_for_due();
    world.exchange.expire_due().await.unwrap();
    assert_eq!(world.store.looks_for_due(), looks);
    world.clock.advance(1);
    world.exchange.expire_due().await.unwrap();
    assert!(world.store.looks_for_due() > looks);
    // And the figure that an alert looks at tells of it.
    world.clock.advance(100);
    assert!(world.exchange.expiry_metrics().overdue_seconds > 100.0);
}
