//! The schema that queries over referrals are bound against, written from the property table of `referral`.

use std::sync::LazyLock;

use odata::{EnumType, Primitive, Property, Schema, Type};
use referral::{Enumeration, Kind, ObjectType, Referral};

/// The namespace of every type of the schema, here and in `$metadata`.
pub const NAMESPACE: &str = "Cosell.Referrals";

/// The navigation from a referral to every referral of its engagement: what `links.relatedReferrals` leads to.
pub const RELATED_REFERRALS: &str = "relatedReferrals";

/// The types of a referral. Property names, nullability, e-mails that ignore case, and the members of enumerations
/// (numbered by their place in the reference) are those of the property table.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let mut types = Types { schema: Schema::new(NAMESPACE) };
        types.object(&Referral::TYPE);
        types.schema
    });
    &SCHEMA
}

struct Types {
    schema: Schema,
}

impl Types {
    fn object(&mut self, of: &'static ObjectType) {
        if self.schema.find_structured(of.name).is_some() {
            return;
        }
        let mut properties: Vec<Property> = of
            .properties
            .iter()
            .map(|row| {
                let property = Property::new(row.name, type_of(&row.kind));
                let property = if row.nullable { property } else { property.required() };
                if matches!(row.kind, Kind::Email) { property.ignoring_case() } else { property }
            })
            .collect();
        if of.name == Referral::TYPE.name {
            let related = Type::Structured(of.name.into()).collection();
            properties.push(Property::new(RELATED_REFERRALS, related).required().navigation());
        }
        self.schema = std::mem::take(&mut self.schema).structured(of.name, properties);
        for row in of.properties {
            match &row.kind {
                Kind::Object(inner) | Kind::List(inner) | Kind::ProfileIds(inner) => self.object(inner),
                Kind::Enumeration(list) => self.enumeration(list),
                _ => {}
            }
        }
    }

    fn enumeration(&mut self, list: &Enumeration) {
        if self.schema.find_enum(list.name).is_none() {
            let enumeration = EnumType::new(list.name, list.spellings);
            self.schema = std::mem::take(&mut self.schema).enumeration(enumeration);
        }
    }
}

/// The type of a member in the terms of OData.
fn type_of(kind: &Kind) -> Type {
    match kind {
        Kind::Text(_)
        | Kind::NonEmpty(_)
        | Kind::Organization
        | Kind::ETag
        | Kind::Email
        | Kind::Phone
        | Kind::Country
        | Kind::Currency
        | Kind::Digits
        | Kind::SalesStage => Primitive::String.into(),
        Kind::Guid => Primitive::Guid.into(),
        Kind::DateTime => Primitive::DateTimeOffset.into(),
        Kind::Amount => Primitive::Decimal.into(),
        Kind::Boolean | Kind::Flag => Primitive::Boolean.into(),
        Kind::Enumeration(list) => Type::Enum(list.name.into()),
        Kind::Object(of) => Type::Structured(of.name.into()),
        Kind::List(of) | Kind::ProfileIds(of) => Type::Structured(of.name.into()).collection(),
        Kind::Texts | Kind::Unknown => Type::from(Primitive::String).collection(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_a_referral_uses_is_declared() {
        assert_eq!(schema().undeclared(), None);
        let address = schema().property("Address", "country", false).map(|property| property.ty.clone());
        assert_eq!(address, Some(Primitive::String.into()));
    }

    #[test]
    fn a_closed_list_is_numbered_as_the_store_numbers_it() {
        let status = schema().find_enum("ReferralStatus");
        let number = status.and_then(|status| status.value("Closed", false));
        assert_eq!(number, Some(referral::ReferralStatus::Closed as i64));
    }
}
