//! Organizations, roles and settings.

use referral::OrganizationId;

use super::Engine;
use super::samples::organization;
use crate::{Assignment, Organization, Role};

fn contoso() -> Organization {
    Organization {
        id: organization(1),
        name: "Contoso".to_owned(),
        issuer: "https://login.example/contoso".to_owned(),
        tenant: Some("7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d".to_owned()),
        partner_id: Some("1234567".to_owned()),
        locations: vec!["z".to_owned(), "a".to_owned(), "m".to_owned()],
    }
}

fn microsoft() -> Organization {
    Organization {
        id: OrganizationId::MICROSOFT,
        name: "Microsoft".to_owned(),
        issuer: String::new(),
        tenant: None,
        partner_id: None,
        locations: Vec::new(),
    }
}

/// [`crate::Store::organizations`]: by the bytes of the id.
pub async fn organizations_come_by_id_with_their_locations_in_order(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.organizations().await.unwrap(), []);
    let fabrikam = Organization { id: organization(2), ..contoso() };
    for organization in [&fabrikam, &microsoft(), &contoso()] {
        store.save_organization(organization).await.unwrap();
    }
    let mut expected = [fabrikam, microsoft(), contoso()];
    expected.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
    assert_eq!(store.organizations().await.unwrap(), expected);
}

/// [`crate::Store::save_organization`] replaces, and does not merge.
pub async fn a_saved_organization_replaces_all_that_was_known_of_it(engine: &dyn Engine) {
    let store = engine.open().await;
    store.save_organization(&contoso()).await.unwrap();
    let changed = Organization {
        name: "Contoso 2".to_owned(),
        tenant: None,
        locations: vec!["b".to_owned()],
        ..contoso()
    };
    store.save_organization(&changed).await.unwrap();
    assert_eq!(store.organizations().await.unwrap(), [changed]);
}

/// [`crate::Store::save_assignment`] replaces the role an identity has; the list is by organization and identity.
pub async fn one_identity_has_one_role_per_organization(engine: &dyn Engine) {
    let store = engine.open().await;
    let given = |number, identity: &str, role| Assignment {
        organization: organization(number),
        identity: identity.to_owned(),
        role,
    };
    for assignment in [
        given(2, "a@x.example", Role::ReferralAdmin),
        given(1, "b@x.example", Role::ReferralAdmin),
        given(1, "a@x.example", Role::ReferralAdmin),
        given(1, "a@x.example", Role::ReferralUser),
    ] {
        store.save_assignment(&assignment).await.unwrap();
    }
    let expected = [
        given(1, "a@x.example", Role::ReferralUser),
        given(1, "b@x.example", Role::ReferralAdmin),
        given(2, "a@x.example", Role::ReferralAdmin),
    ];
    assert_eq!(store.assignments().await.unwrap(), expected);
}

/// [`crate::Store::save_setting`] keeps any bytes, the newest under each name.
pub async fn a_setting_keeps_its_newest_bytes(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.setting("key").await.unwrap(), None);
    for value in [&b"one"[..], b"\0\xff", b""] {
        store.save_setting("key", value).await.unwrap();
        assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(value));
    }
    store.save_setting("other", b"two").await.unwrap();
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(&b""[..]));
}
