//! Pages, counts, engagements and expiry.

use referral::ReferralStatus;

use super::Engine;
use super::samples::*;
use crate::StoredReferral;

/// A page: by `createdDateTime` downwards, then by id upwards.
pub async fn newest_first_with_ties_by_id(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    for (number, seconds) in [(5, 10), (3, 20), (9, 10), (1, 10), (7, -5)] {
        let mut referral = a_referral(&owner, number);
        referral.columns.created = at(seconds);
        created(&*store, referral).await;
    }
    created(&*store, a_referral(&organization(2), 2)).await;
    assert_eq!(ids(&*store, &all_of(&owner)).await, [3, 1, 5, 9, 7].map(id));
}

/// The last of a page begins the next one, wherever the cut falls among ties.
pub async fn pages_join_without_gap_or_repetition(engine: &dyn Engine) {
    let store = engine.open().await;
    for referral in mixed() {
        created(&*store, referral).await;
    }
    for query in queries() {
        let whole = ids(&*store, &ListQuery { limit: 1000, ..query.clone() }).await;
        for limit in [1, 2, 3, 7] {
            let (mut joined, mut after) = (Vec::new(), None);
            loop {
                let page = store.list(&ListQuery { after, limit, ..query.clone() }).await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some((last.columns.created, last.id));
                joined.extend(page.iter().map(|referral| referral.id));
            }
            assert_eq!(joined, whole, "{query:?} by {limit}");
        }
        assert_eq!(ids(&*store, &ListQuery { limit: 0, ..query }).await, []);
    }
}

/// Offer leads (spec 8.1) are shown only when asked for.
pub async fn offer_leads_are_left_out_unless_asked_for(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    for number in 1..=4 {
        let mut referral = a_referral(&owner, number);
        referral.columns.offer_lead = number % 2 == 0;
        created(&*store, referral).await;
    }
    assert_eq!(ids(&*store, &all_of(&owner)).await, [3, 1].map(id));
    let with_leads = ListQuery { offer_leads: true, ..all_of(&owner) };
    assert_eq!(ids(&*store, &with_leads).await, [4, 3, 2, 1].map(id));
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 2);
    assert_eq!(store.count(&with_leads).await.unwrap(), 4);
    // A referral may become one.
    let mut lead = next(&a_referral(&owner, 1));
    lead.columns.offer_lead = true;
    must(&*store, edit(lead)).await;
    assert_eq!(ids(&*store, &all_of(&owner)).await, [3].map(id));
    assert_eq!(ids(&*store, &with_leads).await, [4, 3, 2, 1].map(id));
}

/// One of the e-mails is enough; one referral is shown once.
pub async fn a_team_sees_what_any_of_its_emails_is_on(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let (a, b, c) = ("a@contoso.example", "b@contoso.example", "c@contoso.example");
    for (number, team) in [(1, vec![a]), (2, vec![a, b]), (3, vec![b]), (4, vec![])] {
        created(&*store, on_team(a_referral(&owner, number), &team)).await;
    }
    created(&*store, on_team(a_referral(&organization(2), 5), &[a])).await;
    for (emails, shown) in [
        (vec![a], vec![2, 1]),
        (vec![b], vec![3, 2]),
        (vec![a, b], vec![3, 2, 1]),
        (vec![b, a, b], vec![3, 2, 1]),
        (vec![c], vec![]),
        (vec![], vec![]),
    ] {
        let query = team_of(&owner, &emails);
        let shown: Vec<_> = shown.into_iter().map(id).collect();
        assert_eq!(ids(&*store, &query).await, shown, "{emails:?}");
        assert_eq!(store.count(&query).await.unwrap(), shown.len() as u64, "{emails:?}");
    }
}

/// Who leaves a team loses sight, who joins gains it.
pub async fn a_changed_team_changes_its_lists(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = created(&*store, on_team(a_referral(&owner, 1), &["a@x.example", "b@x.example"])).await;
    let second = on_team(next(&first), &["b@x.example", "c@x.example"]);
    must(&*store, edit(second.clone())).await;
    for (email, shown) in [("a@x.example", 0), ("b@x.example", 1), ("c@x.example", 1)] {
        assert_eq!(store.count(&team_of(&owner, &[email])).await.unwrap(), shown, "{email}");
    }
    assert_eq!(
        stored(&*store, first.id).await.map(|referral| referral.columns.team),
        Some(second.columns.team.clone())
    );
    must(&*store, edit(on_team(next(&second), &[]))).await;
    assert_eq!(
        store.count(&team_of(&owner, &["a@x.example", "b@x.example", "c@x.example"])).await.unwrap(),
        0
    );
}

/// The count is the length of the whole list, whatever `after` and `limit` say.
pub async fn counts_equal_lists(engine: &dyn Engine) {
    let store = engine.open().await;
    for referral in mixed() {
        created(&*store, referral).await;
    }
    let mut shown = 0;
    for query in queries() {
        let whole = ids(&*store, &query).await;
        shown += whole.len();
        let cut = ListQuery { after: Some((at(3), id(3))), limit: 1, ..query.clone() };
        assert_eq!(store.count(&cut).await.unwrap(), whole.len() as u64, "{query:?}");
    }
    assert!(shown > 40, "the samples are too thin: {shown}");
}

/// [`crate::Store::engagement`]: what a party owns or sent there, by `createdDateTime` upwards, then by id, offer leads
/// too; and [`crate::Store::has_open_referral`].
pub async fn an_engagement_is_told_oldest_first_to_each_of_its_parties(engine: &dyn Engine) {
    let store = engine.open().await;
    for (number, owner, sender, seconds, of) in [
        (4, 1, None, 30, 1),
        (3, 2, Some(1), 10, 1),
        (2, 1, None, 30, 1),
        (1, 3, Some(1), 20, 2),
        (5, 1, Some(2), 20, 1),
        (6, 3, Some(2), 40, 1),
    ] {
        let mut referral = a_referral(&organization(owner), number);
        referral.engagement_id = engagement(of);
        referral.columns.created = at(seconds);
        referral.columns.offer_lead = number == 5;
        referral.columns.sender = sender.map(organization);
        created(&*store, if number == 3 { closed(referral) } else { referral }).await;
    }
    for (of, party, told, open) in [
        (1, 1, vec![3, 5, 2, 4], true),
        (1, 2, vec![3, 5, 6], false),
        (1, 3, vec![6], true),
        (1, 4, vec![], false),
        (2, 1, vec![1], false),
        (2, 3, vec![1], true),
        (3, 1, vec![], false),
    ] {
        let found = store.engagement(engagement(of), &organization(party)).await.unwrap();
        let found: Vec<_> = found.iter().map(|referral| referral.id).collect();
        assert_eq!(found, told.into_iter().map(id).collect::<Vec<_>>(), "engagement {of}, party {party}");
        let found = store.has_open_referral(engagement(of), &organization(party)).await.unwrap();
        assert_eq!(found, open, "engagement {of}, party {party}");
    }
}

/// [`crate::Store::engagement_role`]: who began an engagement, and who accepted what another organization sent. Own
/// referrals and their acceptance give nothing.
pub async fn a_role_in_an_engagement_is_its_beginning_or_an_accepted_invitation(engine: &dyn Engine) {
    let store = engine.open().await;
    // number, owner, sender, created, accepted, engagement
    for (number, owner, sender, seconds, accepted, of) in [
        (1, 1, None, 10, true, 1),
        (2, 2, Some(1), 20, false, 1),
        (3, 2, None, 30, true, 1),
        (4, 3, Some(2), 40, true, 1),
        (5, 3, Some(2), 50, false, 1),
        // Sent without an own one: the sender began it. Of two of one instant the lesser id is the first.
        (6, 2, Some(1), 10, false, 2),
        (7, 3, None, 10, true, 2),
        // Nobody sent it.
        (8, 3, None, 10, false, 3),
    ] {
        let mut referral = a_referral(&organization(owner), number);
        referral.engagement_id = engagement(of);
        referral.columns.created = at(seconds);
        referral.columns.accepted = accepted.then(|| at(seconds));
        referral.columns.sender = sender.map(organization);
        created(&*store, referral).await;
    }
    for (of, party, began, accepted) in [
        (1, 1, true, false),
        (1, 2, false, false),
        (1, 3, false, true),
        (1, 4, false, false),
        (2, 1, true, false),
        (2, 2, false, false),
        (2, 3, false, false),
        (3, 3, true, false),
        (3, 1, false, false),
        (4, 1, false, false),
    ] {
        let role = store.engagement_role(engagement(of), &organization(party)).await.unwrap();
        let found = (role.began(&organization(party)), role.accepted_invitation);
        assert_eq!(found, (began, accepted), "engagement {of}, party {party}");
    }
}

/// [`crate::Store::due`]: `New`, `expires <= now`, soonest first, ties by id, at most `limit`, all owners together.
pub async fn due_referrals_come_soonest_first_and_only_while_new(engine: &dyn Engine) {
    let store = engine.open().await;
    for (number, expires) in
        [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(100)), (5, Some(200)), (6, Some(50))]
    {
        let mut referral = a_referral(&organization(number as u8 % 2), number);
        referral.columns.expires = expires.map(at);
        created(&*store, referral).await;
    }
    let mut active = next(&stored(&*store, id(6)).await.expect("created above"));
    active.columns.status = ReferralStatus::Active;
    must(&*store, edit(active)).await;
    let mut later = next(&stored(&*store, id(5)).await.expect("created above"));
    later.columns.expires = Some(at(900));
    must(&*store, edit(later)).await;
    for (now, limit, due) in [
        (99, 10, vec![]),
        (100, 10, vec![2, 4]),
        (299, 10, vec![2, 4]),
        (300, 10, vec![2, 4, 1]),
        (2000, 10, vec![2, 4, 1, 5]),
        (2000, 2, vec![2, 4]),
        (2000, 0, vec![]),
    ] {
        let found = store.due(at(now), limit).await.unwrap();
        assert!(found.iter().all(|referral| referral.is_due(at(now))));
        let found: Vec<_> = found.iter().map(|referral| referral.id).collect();
        assert_eq!(found, due.into_iter().map(id).collect::<Vec<_>>(), "at {now}, at most {limit}");
    }
}

/// [`crate::Store::next_expiry`], as referrals come, go on and close.
pub async fn the_next_expiry_is_the_soonest_of_the_new(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.next_expiry().await.unwrap(), None);
    created(&*store, a_referral(&organization(1), 1)).await;
    assert_eq!(store.next_expiry().await.unwrap(), None);
    for (number, expires) in [(2, 200), (3, 100)] {
        let mut referral = a_referral(&organization(1), number);
        referral.columns.expires = Some(at(expires));
        created(&*store, referral).await;
    }
    assert_eq!(store.next_expiry().await.unwrap(), Some(at(100)));
    let soonest = stored(&*store, id(3)).await.expect("created above");
    must(&*store, edit(closed(next(&soonest)))).await;
    assert_eq!(store.next_expiry().await.unwrap(), Some(at(200)));
}

fn on_team(mut referral: StoredReferral, emails: &[&str]) -> StoredReferral {
    referral.columns.team = emails.iter().map(|email| (*email).to_owned()).collect();
    referral
}

fn team_of(owner: &referral::OrganizationId, emails: &[&str]) -> ListQuery {
    ListQuery { team: Some(emails.iter().map(|email| (*email).to_owned()).collect()), ..all_of(owner) }
}

/// Ties, leads and teams of every mixture.
fn mixed() -> Vec<StoredReferral> {
    let emails = ["a@x.example", "b@x.example"];
    let mixture = |number: u64| {
        let team: Vec<_> = emails.into_iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1).collect();
        let team: Vec<_> = team.into_iter().map(|(_, email)| email).collect();
        let mut referral = on_team(a_referral(&organization((number / 20) as u8), number), &team);
        referral.columns.created = at((number / 5 % 3) as i64);
        referral.columns.offer_lead = number.is_multiple_of(3);
        referral
    };
    (0..40).map(mixture).collect()
}

fn queries() -> Vec<ListQuery> {
    let mut queries = Vec::new();
    for owner in [organization(0), organization(1)] {
        for offer_leads in [false, true] {
            queries.push(ListQuery { offer_leads, ..all_of(&owner) });
            for emails in [&["a@x.example"][..], &["b@x.example", "a@x.example"], &["nobody@x.example"]] {
                queries.push(ListQuery { offer_leads, ..team_of(&owner, emails) });
            }
        }
    }
    queries
}
