//! The schema that a query is bound against. Types are identified by their names without namespace.

use std::fmt;
use std::sync::Arc;

use crate::primitive::Primitive;

/// The type of a property or of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A primitive type.
    Primitive(Primitive),
    /// An enumeration, by name.
    Enum(Arc<str>),
    /// An entity or complex type, by name.
    Structured(Arc<str>),
    /// A collection of one type.
    Collection(Box<Type>),
}

impl Type {
    /// Returns the collection of this type.
    pub fn collection(self) -> Type {
        Type::Collection(Box::new(self))
    }

    /// Returns the primitive type, if it is one.
    pub fn primitive(&self) -> Option<Primitive> {
        match self {
            Type::Primitive(primitive) => Some(*primitive),
            _ => None,
        }
    }

    /// Returns the element type of a collection.
    pub fn element(&self) -> Option<&Type> {
        match self {
            Type::Collection(element) => Some(element),
            _ => None,
        }
    }
}

impl From<Primitive> for Type {
    fn from(primitive: Primitive) -> Type {
        Type::Primitive(primitive)
    }
}

impl fmt::Display for Type {
    /// Describes the type in error messages: `a string`, `a collection`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Primitive as P;
        f.write_str(match self {
            Type::Primitive(P::String) => "a string",
            Type::Primitive(P::Boolean) => "a boolean",
            Type::Primitive(P::Guid) => "a GUID",
            Type::Primitive(P::Date) => "a date",
            Type::Primitive(P::DateTimeOffset) => "a date-time",
            Type::Primitive(P::TimeOfDay) => "a time of day",
            Type::Primitive(P::Duration) => "a duration",
            Type::Primitive(P::Binary) => "binary data",
            Type::Primitive(primitive) if primitive.is_numeric() => "a number",
            Type::Primitive(primitive) => primitive.name(),
            Type::Enum(_) => "an enumeration value",
            Type::Structured(_) => "an object",
            Type::Collection(_) => "a collection",
        })
    }
}

/// A property of a structured type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The name in documents.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Whether it may be null or absent.
    pub nullable: bool,
    /// Whether comparisons of its text ignore case.
    pub ignore_case: bool,
    /// Whether it is a navigation property, which is expanded rather than selected.
    pub navigation: bool,
}

impl Property {
    /// Creates a nullable, case-sensitive property that is not a navigation property.
    pub fn new(name: &str, ty: impl Into<Type>) -> Property {
        Property { name: name.into(), ty: ty.into(), nullable: true, ignore_case: false, navigation: false }
    }

    /// Makes the property never null.
    pub fn required(self) -> Property {
        Property { nullable: false, ..self }
    }

    /// Makes comparisons of the property ignore case.
    pub fn ignoring_case(self) -> Property {
        Property { ignore_case: true, ..self }
    }

    /// Makes the property a navigation property.
    pub fn navigation(self) -> Property {
        Property { navigation: true, ..self }
    }
}

/// An entity or complex type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structured {
    /// The name without namespace.
    pub name: Arc<str>,
    /// The base type.
    pub base: Option<Arc<str>>,
    /// Its own properties.
    pub properties: Vec<Property>,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumType {
    /// The name without namespace.
    pub name: Arc<str>,
    /// The members and their numbers, in the order of declaration.
    pub members: Vec<(Arc<str>, i64)>,
    /// Whether members can be combined.
    pub flags: bool,
}

impl EnumType {
    /// Creates an enumeration whose members are numbered from 0.
    pub fn new(name: &str, members: &[&str]) -> EnumType {
        let members = members.iter().zip(0..).map(|(member, value)| ((*member).into(), value)).collect();
        EnumType { name: name.into(), members, flags: false }
    }

    /// Returns the number of a member.
    pub fn value(&self, member: &str, ignore_case: bool) -> Option<i64> {
        let same = |name: &str| name == member || (ignore_case && name.eq_ignore_ascii_case(member));
        self.members.iter().find(|(name, _)| same(name)).map(|(_, value)| *value)
    }

    /// Returns the names for a number: one member, or several of a flags type.
    pub fn names(&self, value: i64) -> Option<String> {
        if let Some((name, _)) = self.members.iter().find(|(_, member)| *member == value) {
            return Some(name.to_string());
        }
        let mut left = value;
        let mut names = Vec::new();
        for (name, member) in self.members.iter().filter(|(_, member)| self.flags && *member != 0) {
            if value & member == *member {
                left &= !member;
                names.push(&**name);
            }
        }
        (left == 0 && !names.is_empty()).then(|| names.join(","))
    }
}

/// Types by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The namespace of qualified names; an alias of it is allowed too.
    pub namespaces: Vec<String>,
    structured: Vec<Structured>,
    enums: Vec<EnumType>,
}

impl Schema {
    /// Creates a schema without types.
    pub fn new(namespace: &str) -> Schema {
        Schema { namespaces: vec![namespace.to_owned()], ..Schema::default() }
    }

    /// Adds a structured type.
    pub fn structured(mut self, name: &str, properties: Vec<Property>) -> Schema {
        self.structured.push(Structured { name: name.into(), base: None, properties });
        self
    }

    /// Adds a structured type that extends another.
    pub fn derived(mut self, name: &str, base: &str, properties: Vec<Property>) -> Schema {
        self.structured.push(Structured { name: name.into(), base: Some(base.into()), properties });
        self
    }

    /// Adds an enumeration.
    pub fn enumeration(mut self, enumeration: EnumType) -> Schema {
        self.enums.push(enumeration);
        self
    }

    pub(crate) fn push(&mut self, structured: Structured) {
        self.structured.push(structured);
    }

    /// Returns the number of structured types.
    pub(crate) fn len(&self) -> usize {
        self.structured.len()
    }

    /// Returns the structured type with this name.
    pub fn find_structured(&self, name: &str) -> Option<&Structured> {
        self.structured.iter().find(|structured| &*structured.name == name)
    }

    /// Returns the enumeration with this name.
    pub fn find_enum(&self, name: &str) -> Option<&EnumType> {
        self.enums.iter().find(|enumeration| &*enumeration.name == name)
    }

    /// Returns the properties of a type: its own, then those of its base types.
    pub fn properties<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Property> {
        let mut next = self.find_structured(name);
        // The loop is bounded by the number of types, in case a type extends itself.
        let lineage = std::iter::from_fn(move || {
            let this = next?;
            next = this.base.as_deref().and_then(|base| self.find_structured(base));
            Some(this)
        });
        lineage.take(self.structured.len()).flat_map(|structured| structured.properties.iter())
    }

    /// Returns a property of a type: by its exact name, then, if wanted, ignoring case.
    pub fn property(&self, of: &str, name: &str, ignore_case: bool) -> Option<&Property> {
        self.properties(of).find(|property| &*property.name == name).or_else(|| {
            ignore_case
                .then(|| self.properties(of).find(|property| property.name.eq_ignore_ascii_case(name)))?
        })
    }

    /// Returns the type for a name in a query: `Edm.String`, `Model.Customer`, `Customer`.
    pub fn find_type(&self, name: &str) -> Option<Type> {
        if name.starts_with("Edm.") {
            return Primitive::from_name(name).map(Type::Primitive);
        }
        let short = match name.rsplit_once('.') {
            Some((namespace, short)) if self.namespaces.iter().any(|known| known == namespace) => short,
            Some(_) => return None,
            None => name,
        };
        if let Some(structured) = self.find_structured(short) {
            return Some(Type::Structured(structured.name.clone()));
        }
        self.find_enum(short).map(|enumeration| Type::Enum(enumeration.name.clone()))
    }

    /// Returns the first property with an undeclared type, as `Type/property`.
    pub fn undeclared(&self) -> Option<String> {
        for structured in &self.structured {
            for property in &structured.properties {
                let mut ty = &property.ty;
                while let Type::Collection(element) = ty {
                    ty = element;
                }
                let known = match ty {
                    Type::Enum(name) => self.find_enum(name).is_some(),
                    Type::Structured(name) => self.find_structured(name).is_some(),
                    _ => true,
                };
                if !known {
                    return Some(format!("{}/{}", structured.name, property.name));
                }
            }
        }
        None
    }
}
