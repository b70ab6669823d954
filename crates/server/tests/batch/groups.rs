//! Atomicity groups and change sets: done whole, or without a trace.

use super::*;

#[tokio::test]
async fn a_group_is_done_whole_and_its_members_see_one_another() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let requests = json!([
        in_group(post("1", small_deal()), "g"),
        in_group(rename("2", "$1", "First"), "g"),
        in_group(
            with(rename("3", "$1", "Second"), "headers", json!({ "prefer": "return=representation" })),
            "g"
        ),
        in_group(rename("4", &old.path(), "Old"), "g"),
        with(get("5", "$1"), "dependsOn", json!(["g"])),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [201, 204, 200, 204, 200]);
    assert_eq!(of(&answer, "3")["atomicityGroup"], "g");
    assert_eq!(of(&answer, "3")["body"]["name"], "Second");
    assert_eq!(of(&answer, "5")["body"]["name"], "Second");
    let made = world.stored_bytes(of(&answer, "1")["body"]["id"].as_str().unwrap()).await;
    assert_eq!(made.version, 3);
    assert_eq!(world.contoso().sees(&old.id).await.body["name"], "Old");
    let told: Vec<u64> = world.log(CONTOSO).await.iter().map(|entry| entry.version).collect();
    assert_eq!(told, [1, 1, 2, 3, 2], "one entry for each write, in their order");
}

#[tokio::test]
async fn a_group_with_a_refused_member_leaves_no_trace() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let stale = json!({ "if-match": "\"00000000-0000-0000-0000-000000000000\"" });
    let keyed = json!({ "request-id": "00000000-0000-4000-8000-00000000b001" });
    let requests = json!([
        in_group(with(post("1", small_deal()), "headers", keyed.clone()), "g"),
        in_group(rename("2", &old.path(), "Never"), "g"),
        in_group(with(rename("3", &old.path(), "Stale"), "headers", stale), "g"),
        in_group(post("4", small_deal()), "g"),
        with(post("5", small_deal()), "dependsOn", json!(["g"])),
        get("6", "$1"),
        get("7", "engagements/referrals"),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [424, 424, 412, 424, 424, 424, 200]);
    assert_eq!(of(&answer, "7")["body"]["@odata.count"], 1);
    assert_eq!(world.contoso().sees(&old.id).await.body, old.body);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
    // Nor is any answer remembered.
    let mut other = small_deal();
    other["name"] = "Another body under the same id".into();
    let again = batch(&world, json!([with(post("1", other), "headers", keyed)])).await.expect(200);
    assert_eq!(statuses(&again), [201]);
}

#[tokio::test]
async fn a_group_may_invite_two_organizations_and_not_one_twice() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let invites = |id: &str, location: &str| {
        let mut body = invitation(location);
        body["engagementId"] = deal.engagement.as_str().into();
        in_group(post(id, body), "g")
    };
    let twice = json!([invites("1", FABRIKAM_LOCATION), invites("2", FABRIKAM_LOCATION)]);
    let answer = batch(&world, twice).await.expect(200);
    assert_eq!(statuses(&answer), [424, 409], "the second finds what the first has staged");
    assert_eq!(world.count(FABRIKAM).await, 0);
    let both = json!([invites("1", FABRIKAM_LOCATION), invites("2", NORTHWIND_LOCATION)]);
    assert_eq!(statuses(&batch(&world, both).await.expect(200)), [201, 201]);
    assert_eq!((world.count(FABRIKAM).await, world.count(NORTHWIND).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_overtaken_is_decided_again() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    for (tagged, status, name) in [(false, 204, "Mine"), (true, 412, "Theirs")] {
        let etag = world.contoso().sees(&deal.id).await.etag;
        let mut request = rename("2", &deal.path(), if tagged { "Mine again" } else { "Mine" });
        if tagged {
            request["headers"] = json!({ "If-Match": etag });
        }
        world.store.hold_commits();
        let requests = json!([in_group(post("1", small_deal()), "g"), in_group(request, "g")]);
        let group = batch(&world, requests);
        let other = async {
            world.store.commit_waits().await;
            let inner = world.store.inner();
            let stored = store::Store::find_referral(inner, deal.id.parse().unwrap()).await.unwrap().unwrap();
            let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
            document["name"] = "Theirs".into();
            let change = |next: &mut store::StoredReferral| {
                next.document = document.to_string().into();
                next.etag = "\"00000000-0000-4000-8000-00000000e001\"".parse().unwrap();
            };
            world.plant(&deal.id, change).await;
            world.store.release_commits();
        };
        let (answer, ()) = tokio::join!(group, other);
        assert_eq!(of(&answer.expect(200), "2")["status"], status);
        assert_eq!(world.contoso().sees(&deal.id).await.body["name"], name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_that_write_the_same_referrals_are_each_whole() {
    let world = World::extended().await;
    let (a, b) = (world.contoso().own_deal().await, world.contoso().own_deal().await);
    let writer = |name: String| {
        let (a, b, world) = (&a, &b, &world);
        async move {
            let requests = json!([
                in_group(rename("1", &a.path(), &name), "g"),
                in_group(rename("2", &b.path(), &name), "g"),
            ]);
            statuses(&batch(world, requests).await.expect(200))
        }
    };
    for round in 0..10 {
        let name = |who: &str| format!("{who} {round}");
        let (x, y, z) = tokio::join!(writer(name("x")), writer(name("y")), writer(name("z")));
        for statuses in [x, y, z] {
            assert_eq!(statuses, [204, 204]);
        }
        let (a, b) = (world.contoso().sees(&a.id).await, world.contoso().sees(&b.id).await);
        assert_eq!(a.body["name"], b.body["name"], "the last group wrote both");
    }
}

#[tokio::test]
async fn a_failing_store_fails_a_group_whole() {
    let world = World::extended().await;
    world.store.trouble_commits(Some(Trouble::Error(StoreError::WritesStopped("full".to_owned()))));
    let requests = json!([in_group(post("1", small_deal()), "g"), in_group(post("2", small_deal()), "g")]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [503, 424]);
    world.store.trouble_commits(None);
    assert_eq!(world.count(CONTOSO).await, 0);
}

#[tokio::test]
async fn a_group_finds_a_referral_expired_that_is_due() {
    let world = World::extended().await;
    let sent = world.given("New", "Pending").await;
    world.clock.advance(60 * 24 * 3600);
    let requests =
        json!([in_group(post("1", small_deal()), "g"), in_group(rename("2", &sent.path(), "Late"), "g")]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [424, 409]);
    assert_eq!(world.contoso().sees(&sent.id).await.body["substatus"], "Expired");
}
