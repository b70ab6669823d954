//! What operators see: health, readiness, figures, a store that stopped.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::json;
use store::StoreError;
use support::*;

const UNKNOWN: &str = "ffffffff-ffff-4fff-8fff-ffffffffffff";

#[tokio::test]
async fn a_store_that_stopped_writing_still_reads() {
    // REF-259
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    world.store.trouble_commits(Some(Trouble::Error(StoreError::WritesStopped("no space".to_owned()))));
    for answer in [
        world.contoso().posts(support::deal()).await,
        world.contoso().replaces(&deal.id, "/name", json!("x")).await,
    ] {
        assert_eq!(answer.body, example("error.503.unavailable.json"));
        answer.expect(503);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    world.contoso().lists("").await.expect(200);
    let ready = world.call("GET", "/readyz").await.expect(503);
    assert!(!String::from_utf8_lossy(&ready.bytes).contains("no space"));
    assert!(metrics(&world).await.contains("cosell_store_accepts_writes 0"));
}

#[tokio::test]
async fn health_needs_no_token_and_tells_the_truth() {
    let world = World::new().await;
    for (path, body) in [("/livez", json!({ "status": "alive" })), ("/readyz", json!({ "status": "ready" }))]
    {
        assert_eq!(world.call("GET", path).await.expect(200).body, body);
        world.call("HEAD", path).await.expect(200);
    }
    world.app.set_draining();
    world.call("GET", "/livez").await.expect(200);
    assert_eq!(world.call("GET", "/readyz").await.expect(503).body, json!({ "status": "draining" }));
    // What still comes is still served.
    world.contoso().lists("").await.expect(200);
}

async fn metrics(world: &World) -> String {
    let answer = world.call("GET", "/metrics").await.expect(200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn metrics_count_by_route_method_and_status_and_name_nobody() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    world.contoso().gets(&deal.id).await.expect(200);
    world.contoso().gets(&deal.id).await.expect(200);
    world.contoso().gets(UNKNOWN).await.expect(404);
    world.call("BREW", "/secret-path").await.expect(404);
    let text = metrics(&world).await;
    for line in [
        r#"cosell_http_requests_total{route="referral",method="GET",status="200"} 2"#,
        r#"cosell_http_requests_total{route="referral",method="GET",status="404"} 1"#,
        r#"cosell_http_requests_total{route="referrals",method="POST",status="201"} 1"#,
        r#"cosell_http_requests_total{route="none",method="other",status="404"} 1"#,
        r#"cosell_http_request_seconds_count{route="referral",method="GET"} 3"#,
        "cosell_store_accepts_writes 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    for secret in [&*deal.id, "secret-path", "BREW", CONTOSO_ADMIN] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// The value of a figure.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn figures_of_the_store_move_with_what_it_does() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let before = metrics(&world).await;
    world.contoso().gets(&deal.id).await.expect(200);
    world.contoso().own_deal().await;
    let after = metrics(&world).await;
    for (name, more) in [
        ("cosell_store_group_changes_sum", 1.0),
        ("cosell_store_group_changes_count", 1.0),
        (r#"cosell_store_group_changes_bucket{le="1.0"}"#, 1.0),
        ("cosell_store_commit_seconds_count", 1.0),
        (r#"cosell_store_commit_seconds_bucket{le="+Inf"}"#, 1.0),
        ("cosell_store_cache_hits_total", 1.0),
        ("cosell_store_cache_misses_total", 0.0),
    ] {
        assert_eq!(figure(&after, name) - figure(&before, name), more, "{name}");
    }
    assert!(
        figure(&after, "cosell_store_commit_seconds_sum")
            > figure(&before, "cosell_store_commit_seconds_sum")
    );
    assert!(figure(&after, "cosell_store_cache_bytes") > figure(&before, "cosell_store_cache_bytes"));
    assert!(figure(&after, "cosell_store_cache_limit_bytes") > 0.0);
    assert_eq!(figure(&after, "cosell_store_lists_waiting"), 0.0);
    assert!(figure(&after, "cosell_store_log_bytes") > 0.0);
    let build = format!(r#"cosell_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION"));
    assert!(after.lines().any(|line| line == build), "{after}");
    assert!(!after.contains("cosell_database_"), "there is no database to connect to");
}

#[tokio::test]
async fn a_query_refused_for_its_cost_is_counted() {
    let world = World::extended().await;
    world.plants(120, |_, one| one["engagementId"] = "00000000-0000-4000-a000-00000000ffff".into()).await;
    let query = "?$expand=relatedReferrals($expand=relatedReferrals)&$top=2";
    world.contoso().asks(query).await.refused(400, "invalidRequest", "$expand", "unsupportedQuery");
    world.contoso().asks("?$filter=nothing").await.expect(400);
    assert_eq!(figure(&metrics(&world).await, "cosell_queries_too_costly_total"), 1.0);
}

#[tokio::test]
async fn an_overdue_expiry_shows_until_it_is_done() {
    let world = World::new().await;
    let sent = world.given("New", "Pending").await;
    assert_eq!(figure(&metrics(&world).await, "cosell_expiry_overdue_seconds"), 0.0);
    world.clock.advance(60 * 24 * 3600);
    let late = metrics(&world).await;
    assert!(figure(&late, "cosell_expiry_overdue_seconds") > 3600.0, "{late}");
    assert_eq!(figure(&late, "cosell_expiry_referrals_total"), 0.0);
    // A list settles what is due.
    world.contoso().lists("").await.expect(200);
    let done = metrics(&world).await;
    assert_eq!(figure(&done, "cosell_expiry_overdue_seconds"), 0.0);
    assert!(figure(&done, "cosell_expiry_looks_total") >= 1.0);
    // Both sides of the engagement have their own.
    assert_eq!(world.contoso().sees(&sent.id).await.body["substatus"], "Expired");
    assert!(figure(&done, "cosell_expiry_referrals_total") >= 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_longer_running() {
    let world = World::new().await;
    world.token(CONTOSO_ADMIN).await;
    world.store.hold_commits();
    let mut post = Box::pin(world.contoso().posts(deal()));
    tokio::select! {
        answer = &mut post => panic!("answered: {answer:?}"),
        () = world.store.commit_waits() => {}
    }
    assert!(metrics(&world).await.contains("cosell_http_requests_running 2"), "the POST and this");
    drop(post);
    assert!(metrics(&world).await.contains("cosell_http_requests_running 1"), "this alone");
    world.store.release_commits();
}
