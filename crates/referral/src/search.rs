//! The texts that `$search` looks in.

use crate::{Address, Member, Referral};

impl Referral {
    /// Returns the texts that `$search` looks in, one by one: the deal (name, external reference id, campaign, notes,
    /// notes of the invitation), the customer (name, city, state, country, numbers, and its people), the partner's team
    /// (first and last name together, e-mail), the names of the organizations, the ids of targets, and ids and names of
    /// solutions, products, services and industries. The ids of the referral itself are not included: filters find
    /// them.
    pub fn search_texts(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let customer = &self.customer_profile;
        let requirements = &self.details.requirements;
        let Address { city, state, country, .. } = &customer.address;
        let deal = [
            &self.name,
            &self.external_reference_id,
            &self.campaign_id,
            &self.details.notes,
            &self.invite_context.notes,
            &self.invite_context.invited_by.organization_name,
            city,
            state,
            country,
        ];
        let tags = requirements.industries.iter().chain(&requirements.products).chain(&requirements.services);
        deal.into_iter()
            .filter_map(Option::as_deref)
            .chain([customer.name.as_str(), &self.organization_name])
            .chain(customer.ids.iter().map(|number| number.id.as_str()))
            .chain(self.target.iter().map(|target| target.id.as_str()))
            .chain(tags.map(|tag| tag.id.as_str()))
            .chain(
                requirements.solutions.iter().flat_map(|solution| {
                    std::iter::once(solution.id.as_str()).chain(solution.name.as_deref())
                }),
            )
            .map(std::borrow::Cow::Borrowed)
            .chain(self.team.iter().chain(&customer.team).flat_map(person))
    }
}

/// Returns the name and the e-mail address of a person.
fn person(member: &Member) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    let name = match (&member.first_name, &member.last_name) {
        (Some(first), Some(last)) => Some(format!("{first} {last}").into()),
        (Some(one), None) | (None, Some(one)) => Some(one.as_str().into()),
        (None, None) => None,
    };
    name.into_iter().chain(member.email.as_deref().map(Into::into))
}
