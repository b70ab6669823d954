//! The schema of a referral in the terms of CSDL, ready for either of its forms. Source: OData CSDL 4.01.

use exchange::{NAMESPACE, RELATED_REFERRALS};
use referral::{Access, Enumeration, Kind, ObjectType, PropertyDefinition, Referral};

use super::{DescriptionInput, capabilities, descriptions};

/// The entity set, as `@odata.context` names it (spec 5.6).
pub(super) const ENTITY_SET: &str = "Referrals";
/// Where the entity set is, from the service's root.
pub(super) const RESOURCE_PATH: &str = "engagements/referrals";
/// The entity container.
pub(super) const CONTAINER: &str = "Container";
/// The vocabularies whose terms are used: namespace and alias.
pub(super) const VOCABULARIES: [(&str, &str); 3] = [
    ("Org.OData.Core.V1", "Core"),
    ("Org.OData.Capabilities.V1", "Capabilities"),
    ("Org.OData.Aggregation.V1", "Aggregation"),
];

/// Everything that a `$metadata` document says.
pub(super) struct Csdl {
    pub definitions: Vec<Definition>,
    pub container: Vec<Annotation>,
    pub entity_set: Vec<Annotation>,
}

/// A type.
pub(super) enum Definition {
    Structured(CsdlType),
    Enumeration(&'static Enumeration),
}

/// An entity type, if it has a key, or a complex type.
pub(super) struct CsdlType {
    pub name: &'static str,
    pub key: Option<&'static str>,
    pub members: Vec<CsdlMember>,
    pub annotations: Vec<Annotation>,
}

/// A property of a structured type.
pub(super) struct CsdlMember {
    pub name: &'static str,
    /// Qualified, such as `Edm.String`; that of the elements, if it is a collection.
    pub type_name: String,
    pub collection: bool,
    pub nullable: bool,
    /// Whether it leads to other entities.
    pub navigation: bool,
    pub facets: Facets,
    pub annotations: Vec<Annotation>,
}

/// Limits of a value.
#[derive(Default)]
pub(super) struct Facets {
    /// In characters.
    pub max_length: Option<usize>,
    /// Digits in all, or digits of a second's fraction.
    pub precision: Option<u8>,
    /// Digits after the point.
    pub scale: Option<u8>,
}

/// What a vocabulary's term says of something.
pub(super) struct Annotation {
    /// With the vocabulary's alias.
    pub term: &'static str,
    pub value: Expression,
}

/// The value of an annotation.
pub(super) enum Expression {
    Bool(bool),
    Text(String),
    /// Members of an enumeration type, by its qualified name.
    Members(&'static str, &'static [&'static str]),
    /// The path of a property.
    Path(String),
    /// The path of a navigation property.
    Navigation(String),
    Record(Vec<(&'static str, Expression)>),
    Collection(Vec<Expression>),
}

impl Annotation {
    pub(super) fn new(term: &'static str, value: impl Into<Expression>) -> Annotation {
        Annotation { term, value: value.into() }
    }
}

impl From<bool> for Expression {
    fn from(value: bool) -> Expression {
        Expression::Bool(value)
    }
}

impl From<&str> for Expression {
    fn from(text: &str) -> Expression {
        Expression::Text(text.to_owned())
    }
}

impl<const N: usize> From<[(&'static str, Expression); N]> for Expression {
    fn from(members: [(&'static str, Expression); N]) -> Expression {
        Expression::Record(members.into())
    }
}

/// Several texts.
pub(super) fn texts(all: &[&str]) -> Expression {
    Expression::Collection(all.iter().map(|text| Expression::from(*text)).collect())
}

/// Several property paths.
pub(super) fn paths(all: Vec<String>) -> Expression {
    Expression::Collection(all.into_iter().map(Expression::Path).collect())
}

/// The whole document for this server.
pub(super) fn document(input: &DescriptionInput<'_>) -> Csdl {
    let mut types = TypeCollector { program: input.program(), definitions: Vec::new(), known: Vec::new() };
    types.structured(&Referral::TYPE);
    Csdl {
        definitions: types.definitions,
        container: capabilities::of_container(input),
        entity_set: capabilities::of_entity_set(input),
    }
}

/// A type of this service by its qualified name.
pub(super) fn qualified(name: &str) -> String {
    format!("{NAMESPACE}.{name}")
}

struct TypeCollector {
    program: bool,
    definitions: Vec<Definition>,
    known: Vec<&'static str>,
}

impl TypeCollector {
    /// Adds a type, and after it those it uses, each once.
    fn structured(&mut self, of: &'static ObjectType) {
        if !self.is_new(of.name) {
            return;
        }
        let is_entity = of.name == Referral::TYPE.name;
        let mut members: Vec<CsdlMember> = of.properties.iter().map(|row| self.member(of, row)).collect();
        if is_entity {
            members.push(related_referrals());
        }
        let words = descriptions::of_type(of.name).map(|words| Annotation::new("Core.Description", words));
        self.definitions.push(Definition::Structured(CsdlType {
            name: of.name,
            key: is_entity.then_some("id"),
            members,
            annotations: words.into_iter().collect(),
        }));
        for row in of.properties {
            match row.kind {
                Kind::Object(inner) | Kind::List(inner) | Kind::ProfileIds(inner) => self.structured(inner),
                Kind::Enumeration(list) if self.is_new(list.name) => {
                    self.definitions.push(Definition::Enumeration(list));
                }
                _ => {}
            }
        }
    }

    fn is_new(&mut self, name: &'static str) -> bool {
        let new = !self.known.contains(&name);
        if new {
            self.known.push(name);
        }
        new
    }

    fn member(&self, of: &ObjectType, row: &'static PropertyDefinition) -> CsdlMember {
        let (type_name, collection) = type_of(&row.kind);
        let words = descriptions::of_member(of.name, row.name)
            .map(|words| Annotation::new("Core.Description", words));
        let mut annotations: Vec<Annotation> = words.into_iter().collect();
        match row.access {
            Access::Server | Access::Derived => annotations.push(Annotation::new("Core.Computed", true)),
            Access::Fixed => annotations.push(Annotation::new("Core.Immutable", true)),
            Access::AtCreation if self.program => annotations.push(Annotation::new("Core.Immutable", true)),
            Access::AtCreation | Access::OnceShared | Access::Free | Access::FreeWhenClosed => {}
        }
        CsdlMember {
            name: row.name,
            type_name,
            collection,
            nullable: row.nullable,
            navigation: false,
            facets: facets(&row.kind),
            annotations,
        }
    }
}

fn related_referrals() -> CsdlMember {
    let words = "Every referral of the engagement that the caller may see, this one included.";
    CsdlMember {
        name: RELATED_REFERRALS,
        type_name: qualified(Referral::TYPE.name),
        collection: true,
        nullable: false,
        navigation: true,
        facets: Facets::default(),
        annotations: vec![Annotation::new("Core.Description", words)],
    }
}

/// The type of a member, and whether it has several values.
fn type_of(kind: &Kind) -> (String, bool) {
    let edm = |name: &str| format!("Edm.{name}");
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
        | Kind::SalesStage => (edm("String"), false),
        Kind::Guid => (edm("Guid"), false),
        Kind::DateTime => (edm("DateTimeOffset"), false),
        Kind::Amount => (edm("Decimal"), false),
        Kind::Boolean | Kind::Flag => (edm("Boolean"), false),
        Kind::Enumeration(list) => (qualified(list.name), false),
        Kind::Object(of) => (qualified(of.name), false),
        Kind::List(of) | Kind::ProfileIds(of) => (qualified(of.name), true),
        Kind::Texts | Kind::Unknown => (edm("String"), true),
    }
}

/// The limits of spec 8.5.
fn facets(kind: &Kind) -> Facets {
    let length = |max| Facets { max_length: Some(max), ..Facets::default() };
    match kind {
        Kind::Text(max) | Kind::NonEmpty(max) => length(*max),
        Kind::Email => length(320),
        Kind::Phone => length(64),
        Kind::Country => length(2),
        Kind::Currency => length(3),
        Kind::Digits => length(1024),
        Kind::DateTime => Facets { precision: Some(7), ..Facets::default() },
        Kind::Amount => Facets { precision: Some(28), scale: Some(4), ..Facets::default() },
        _ => Facets::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries are bound against one schema and described by another: they are the same.
    #[test]
    fn the_described_types_are_those_that_queries_are_bound_against() {
        let options = crate::ServerOptions::new("https://referrals.contoso.example");
        let request_options = referral::RequestOptions::default();
        let input = DescriptionInput {
            options: &options,
            public_url: "",
            request_options: &request_options,
            sandbox: false,
        };
        let schema = exchange::schema();
        let mut structured = 0;
        for definition in document(&input).definitions {
            match definition {
                Definition::Enumeration(list) => {
                    let bound = schema.find_enum(list.name).expect(list.name);
                    let members: Vec<&str> = bound.members.iter().map(|(name, _)| &**name).collect();
                    assert_eq!(members, list.spellings, "{}", list.name);
                    let numbers = bound.members.iter().map(|(_, number)| *number);
                    assert!(numbers.eq(0..list.spellings.len() as i64), "{}", list.name);
                }
                Definition::Structured(of) => {
                    structured += 1;
                    let bound: Vec<&odata::Property> = schema.properties(of.name).collect();
                    assert_eq!(bound.len(), of.members.len(), "{}", of.name);
                    for (bound, member) in bound.into_iter().zip(&of.members) {
                        let at = format!("{}/{}", of.name, member.name);
                        assert_eq!(&*bound.name, member.name, "{at}");
                        assert_eq!(bound.nullable, member.nullable, "{at}");
                        assert_eq!(bound.navigation, member.navigation, "{at}");
                        let (element, collection) = match &bound.ty {
                            odata::Type::Collection(element) => (&**element, true),
                            single => (single, false),
                        };
                        assert_eq!(collection, member.collection, "{at}");
                        assert_eq!(schema.find_type(&member.type_name).as_ref(), Some(element), "{at}");
                    }
                }
            }
        }
        assert!(structured > 15, "{structured}");
    }
}
