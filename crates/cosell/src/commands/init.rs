//! `cosell init`: the first organization and its administrator.

use exchange::{Clock, Ids};
use referral::OrganizationId;
use store::{Assignment, Organization, Role, Store};

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::options::InitOptions;
use crate::random::RandomIds;
use crate::{serving, terminal};

/// Makes the organization.
///
/// # Errors
/// `Usage` for values that cannot be; `Failed` when the store has an organization already (unless one is to be
/// added), when this one is there, or when the directory cannot be had.
pub fn run(options: InitOptions) -> Result<(), Failure> {
    let organization = organization(&options)?;
    serving::run(async {
        let store = super::open(super::location(&options.place)?).await?;
        let outcome = make(&options, &organization, store.as_ref()).await;
        store.close().await;
        outcome
    })?;
    let location = &options.place;
    let file = location.config.as_ref().map_or("FILE".to_owned(), |path| path.display().to_string());
    let data = location.data.as_ref().map(|directory| format!("--data {}", directory.display()));
    let database = location.database.as_ref().map(|_| "--database URL".to_owned());
    let arguments: Vec<String> =
        data.into_iter().chain(database).chain([format!("--config {file}")]).collect();
    terminal::print_line(&format!(
        "organization {} ({}) made; Referral Admin: {}\n\
         next: cosell serve {}, with the [[issuer]] {} in {file}",
        organization.name,
        organization.id,
        options.admin.join(", "),
        arguments.join(" "),
        organization.issuer
    ));
    Ok(())
}

fn organization(options: &InitOptions) -> Result<Organization, Failure> {
    let name = options.organization.trim();
    if name.is_empty() {
        return Err(Failure::usage("the organization needs a name"));
    }
    if options.issuer.trim().is_empty() {
        return Err(Failure::usage("the organization needs an issuer"));
    }
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !options.partner_id.as_ref().is_none_or(is_number) {
        return Err(Failure::usage("a partner id consists of digits"));
    }
    if let Some(admin) = options.admin.iter().find(|admin| admin.trim().is_empty()) {
        return Err(Failure::usage(format!("\"{admin}\" is no user name")));
    }
    let of_tenant = || options.tenant.as_ref().and_then(|tenant| tenant.parse::<OrganizationId>().ok());
    let id = match options.id.clone().or_else(of_tenant) {
        Some(id) => id,
        None => fresh(),
    };
    Ok(Organization {
        id,
        name: name.to_owned(),
        issuer: options.issuer.trim().to_owned(),
        tenant: options.tenant.clone(),
        partner_id: options.partner_id.clone(),
        locations: options.location.clone(),
    })
}

fn fresh() -> OrganizationId {
    let id = RandomIds.next(SystemClock.now());
    OrganizationId::from_bytes(id.as_bytes()).expect("sixteen bytes are an organization")
}

async fn make(options: &InitOptions, organization: &Organization, store: &dyn Store) -> Result<(), Failure> {
    let there = store.organizations().await?;
    if let Some(same) = there.iter().find(|other| other.id == organization.id) {
        return Err(Failure::failed(format!("organization {} ({}) is there already", same.name, same.id)));
    }
    let tenant =
        |organization: &Organization| organization.tenant.as_ref().map(|tenant| tenant.to_lowercase());
    let shares_people =
        |other: &&Organization| other.issuer == organization.issuer && tenant(other) == tenant(organization);
    if let Some(other) = there.iter().find(shares_people) {
        return Err(Failure::failed(format!(
            "the people of this issuer and tenant belong to {} ({}) already",
            other.name, other.id
        )));
    }
    if let (Some(first), false) = (there.first(), options.add) {
        return Err(Failure::failed(format!(
            "the store has an organization already: {} ({}). To add another: cosell init --add",
            first.name, first.id
        )));
    }
    // The administrators first: an organization that is there can be administered.
    for admin in &options.admin {
        let assignment = Assignment {
            organization: organization.id.clone(),
            identity: admin.trim().to_lowercase(),
            role: Role::ReferralAdmin,
        };
        store.save_assignment(&assignment).await?;
    }
    store.save_organization(organization).await?;
    Ok(())
}
