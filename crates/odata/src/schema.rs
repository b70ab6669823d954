//! The schema a query is bound against: a value the caller builds. Types are known by their name without namespace.

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
    /// Several of one type.
    Collection(Box<Type>),
}

impl Type {
    /// Several of this type.
    pub fn collection(self) -> Type {
        Type::Collection(Box::new(self))
    }

    /// The primitive type, when it is one.
    pub fn primitive(&self) -> Option<Primitive> {
        match self {
            Type::Primitive(primitive) => Some(*primitive),
            _ => None,
        }
    }

    /// The type of the members of a collection.
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
    /// In words of an error: `a string`, `a collection`.
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
    /// As documents write it.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Whether it may be null or absent.
    pub nullable: bool,
    /// Whether comparisons of its text ignore case.
    pub ignore_case: bool,
    /// Whether it leads to other entities, and is expanded rather than selected.
    pub navigation: bool,
}

impl Property {
    /// A nullable property that minds case and leads nowhere.
    pub fn new(name: &str, ty: impl Into<Type>) -> Property {
        Property { name: name.into(), ty: ty.into(), nullable: true, ignore_case: false, navigation: false }
    }

    /// The same, never null.
    pub fn required(self) -> Property {
        Property { nullable: false, ..self }
    }

    /// The same, comparing without case.
    pub fn ignoring_case(self) -> Property {
        Property { ignore_case: true, ..self }
    }

    /// The same, leading to other entities.
    pub fn navigation(self) -> Property {
        Property { navigation: true, ..self }
    }
}

/// An entity or complex type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structured {
    /// Without namespace.
    pub name: Arc<str>,
    /// The type it extends.
    pub base: Option<Arc<str>>,
    /// Its own properties.
    pub properties: Vec<Property>,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumType {
    /// Without namespace.
    pub name: Arc<str>,
    /// Members and their numbers, in the order declared.
    pub members: Vec<(Arc<str>, i64)>,
    /// Whether members combine.
    pub flags: bool,
}

impl EnumType {
    /// An enumeration whose members are numbered from 0.
    pub fn new(name: &str, members: &[&str]) -> EnumType {
        let members = members.iter().zip(0..).map(|(member, value)| ((*member).into(), value)).collect();
        EnumType { name: name.into(), members, flags: false }
    }

    /// The number of a member.
    pub fn value(&self, member: &str, ignore_case: bool) -> Option<i64> {
        let same = |name: &str| name == member || (ignore_case && name.eq_ignore_ascii_case(member));
        self.members.iter().find(|(name, _)| same(name)).map(|(_, value)| *value)
    }

    /// The names of a number: one member, or several of a flags type.
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
    /// What qualified names begin with; an alias of it may be a further one.
    pub namespaces: Vec<String>,
    structured: Vec<Structured>,
    enums: Vec<EnumType>,
}

impl Schema {
    /// A schema without types.
    pub fn new(namespace: &str) -> Schema {
        Schema { namespaces: vec![namespace.to_owned()], ..Schema::default() }
    }

    /// With a further structured type.
    pub fn structured(mut self, name: &str, properties: Vec<Property>) -> Schema {
        self.structured.push(Structured { name: name.into(), base: None, properties });
        self
    }

    /// With a further structured type that extends another.
    pub fn derived(mut self, name: &str, base: &str, properties: Vec<Property>) -> Schema {
        self.structured.push(Structured { name: name.into(), base: Some(base.into()), properties });
        self
    }

    /// With a further enumeration.
    pub fn enumeration(mut self, enumeration: EnumType) -> Schema {
        self.enums.push(enumeration);
        self
    }

    pub(crate) fn push(&mut self, structured: Structured) {
        self.structured.push(structured);
    }

    /// How many structured types there are.
    pub(crate) fn len(&self) -> usize {
        self.structured.len()
    }

    /// The structured type of this name.
    pub fn find_structured(&self, name: &str) -> Option<&Structured> {
        self.structured.iter().find(|structured| &*structured.name == name)
    }

    /// The enumeration of this name.
    pub fn find_enum(&self, name: &str) -> Option<&EnumType> {
        self.enums.iter().find(|enumeration| &*enumeration.name == name)
    }

    /// Properties of a type: its own, then those of the types it extends.
    pub fn properties<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Property> {
        let mut next = self.find_structured(name);
        // A type that extends itself ends with the number of types.
        let lineage = std::iter::from_fn(move || {
            let this = next?;
            next = this.base.as_deref().and_then(|base| self.find_structured(base));
            Some(this)
        });
        lineage.take(self.structured.len()).flat_map(|structured| structured.properties.iter())
    }

    /// A property of a type, first by its very name, then ignoring case where that is wanted.
    pub fn property(&self, of: &str, name: &str, ignore_case: bool) -> Option<&Property> {
        self.properties(of).find(|property| &*property.name == name).or_else(|| {
            ignore_case
                .then(|| self.properties(of).find(|property| property.name.eq_ignore_ascii_case(name)))?
        })
    }

    /// The type of a name as a query writes it: `Edm.String`, `Model.Customer`, `Customer`.
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

    /// The first property whose type nobody has declared, as `Type/property`.
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
