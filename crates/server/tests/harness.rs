//! The harness itself: the world it makes is the one the tests speak of.

mod support;

use support::*;

#[tokio::test]
async fn a_world_outlives_a_restart_of_its_server() {
    let mut world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    world.restart().await;
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
}

#[tokio::test]
async fn every_standing_can_be_given() {
    let world = World::new().await;
    for (status, substatus) in [
        ("New", "Pending"),
        ("New", "Received"),
        ("Active", "Accepted"),
        ("Closed", "Won"),
        ("Closed", "Lost"),
        ("Closed", "Declined"),
        ("Closed", "Expired"),
        ("Closed", "Error"),
    ] {
        let deal = world.given(status, substatus).await;
        assert_eq!((&deal.body["status"], &deal.body["substatus"]), (&status.into(), &substatus.into()));
        assert_eq!(deal.body["organizationId"], CONTOSO);
    }
}
