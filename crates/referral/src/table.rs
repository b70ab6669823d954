//! The property table: the name of every member of the resource, its values, and who sets it.
//!
//! The `resource!` macro generates a struct and its table from one list, so that JSON names, columns, checks and
//! documents cannot diverge. Source of the rows: spec 5.2 and 5.3.

use crate::values::Enumeration;

/// A structured type of the contract, such as `CustomerProfile`.
#[derive(Debug)]
pub struct ObjectType {
    /// The name in the reference tables.
    pub name: &'static str,
    /// Its members in wire order.
    pub properties: &'static [PropertyDefinition],
}

impl ObjectType {
    /// Returns the property with this name, in any case (spec 5.1).
    pub fn find(&self, name: &str) -> Option<&'static PropertyDefinition> {
        self.find_from(0, name).map(|(_, property)| property)
    }

    /// Returns the property and its index. The search starts at `place`, because members mostly come in the order of
    /// the table.
    pub(crate) fn find_from(&self, place: usize, name: &str) -> Option<(usize, &'static PropertyDefinition)> {
        let (before, after) = self.properties.split_at_checked(place).unwrap_or((self.properties, &[]));
        let after = after.iter().enumerate().map(|(at, property)| (place + at, property));
        let mut rows = after.chain(before.iter().enumerate());
        rows.find(|(_, property)| property.name.eq_ignore_ascii_case(name))
    }
}

/// One member of a structured type.
#[derive(Debug)]
pub struct PropertyDefinition {
    /// The wire name.
    pub name: &'static str,
    /// The kind of values that it holds.
    pub kind: Kind,
    /// Who sets it, and when it may change.
    pub access: Access,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether a new object must have it.
    pub required: bool,
    /// Whether it is omitted when it is null.
    pub omitted: bool,
    /// The column of the store that holds it too, for queries.
    pub column: Option<&'static str>,
}

impl PropertyDefinition {
    /// Creates a member that is neither nullable nor required.
    pub const fn new(name: &'static str, kind: Kind, access: Access) -> PropertyDefinition {
        PropertyDefinition {
            name,
            kind,
            access,
            nullable: false,
            required: false,
            omitted: false,
            column: None,
        }
    }

    /// Makes the member nullable.
    pub const fn nullable(mut self) -> PropertyDefinition {
        self.nullable = true;
        self
    }

    /// Makes the member required in a new object.
    pub const fn required(mut self) -> PropertyDefinition {
        self.required = true;
        self
    }

    /// Omits the member when it is null. The row needs the serde attribute too.
    pub const fn omitted(mut self) -> PropertyDefinition {
        self.omitted = true;
        self
    }

    /// Adds the column of the store that holds the member too.
    pub const fn column(mut self, name: &'static str) -> PropertyDefinition {
        self.column = Some(name);
        self
    }
}

/// Who sets a member, and when it may change. Source: spec 5.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The server only. Ignored in POST and PUT; a different value in PATCH is refused.
    Server,
    /// The server only. Ignored in every request.
    Derived,
    /// Set once on creation. A different value is refused in every profile.
    Fixed,
    /// Free under `wire`; cannot be changed after creation under `program`.
    AtCreation,
    /// Free under `wire`; under `program`, cannot be changed once it is set and shared with Microsoft.
    OnceShared,
    /// The caller, until the referral is closed.
    Free,
    /// The caller, even after the referral is closed.
    FreeWhenClosed,
}

/// The kind of values of a member. Limits count Unicode characters.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text of up to the given number of characters.
    Text(usize),
    /// Text of one to the given number of characters.
    NonEmpty(usize),
    /// A GUID.
    Guid,
    /// A GUID or `msft`.
    Organization,
    /// An entity tag with its quotes.
    ETag,
    /// An instant.
    DateTime,
    /// A decimal number of 0 or more, with at most 28 digits, 4 of them after the decimal point.
    Amount,
    /// `true` or `false`.
    Boolean,
    /// `true` or `false`, where null means `false` (U8).
    Flag,
    /// A closed list.
    Enumeration(&'static Enumeration),
    /// An e-mail address, or an empty text.
    Email,
    /// A phone number: any text of up to 64 characters.
    Phone,
    /// A two-letter country; known three-letter codes are converted.
    Country,
    /// A three-letter currency.
    Currency,
    /// ASCII digits.
    Digits,
    /// A percentage as text, or one of four names (spec 6.9).
    SalesStage,
    /// `customerProfile.ids`: a list that may also be sent as an object (spec 5.3).
    ProfileIds(&'static ObjectType),
    /// A structured type.
    Object(&'static ObjectType),
    /// A list of texts.
    Texts,
    /// A list of structured values.
    List(&'static ObjectType),
    /// A list whose elements are not documented; always empty.
    Unknown,
}

impl Kind {
    /// Returns whether the value can contain text written by a person, which `$search` looks in.
    pub(crate) fn may_hold_text(self) -> bool {
        use Kind::{Amount, Boolean, DateTime, ETag, Enumeration, Flag, Guid};
        !matches!(self, Guid | ETag | DateTime | Amount | Boolean | Flag | Enumeration(_))
    }

    /// Returns a description of valid values, for an error message.
    pub fn expected(&self) -> String {
        match self {
            Kind::Text(max) => format!("a string of at most {max} characters"),
            Kind::NonEmpty(max) => format!("a string of 1 to {max} characters"),
            Kind::Guid => "a GUID".into(),
            Kind::Organization => "a GUID or msft".into(),
            Kind::ETag => "an ETag with its quotes".into(),
            Kind::DateTime => "an RFC 3339 date-time or a date".into(),
            Kind::Amount => "a decimal number of 0 or more with at most 28 digits, 4 of them decimals".into(),
            Kind::Boolean | Kind::Flag => "true or false".into(),
            Kind::Enumeration(list) => format!("one of {}", list.spellings.join(", ")),
            Kind::Email => "an e-mail address of at most 320 characters".into(),
            Kind::Phone => "a string of at most 64 characters".into(),
            Kind::Country => "a two-letter ISO 3166-1 code".into(),
            Kind::Currency => "a three-letter ISO 4217 code".into(),
            Kind::Digits => "a string of digits".into(),
            Kind::SalesStage => "a percentage from 0 to 100, or Qualify, Develop, Propose, Close".into(),
            Kind::Object(of) => format!("a {} object", of.name),
            Kind::Texts | Kind::Unknown => "an array".into(),
            Kind::List(of) | Kind::ProfileIds(of) => format!("an array of {} objects", of.name),
        }
    }
}

/// Generates a struct with the contract's serde names and its [`ObjectType`] from one list.
///
/// A row: `field: Type = "wireName" => kind, Access[, nullable()][, required()][, column("name")];`
macro_rules! resource {
    ($(#[$outer:meta])* $name:ident {
        $($(#[$inner:meta])* $field:ident: $ty:ty = $wire:literal => $kind:expr, $access:ident
            $(, $extra:ident($($argument:expr)?))*;)*
    }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs)]
        pub struct $name {
            $($(#[$inner])* #[serde(rename = $wire)] pub $field: $ty,)*
        }

        impl $name {
            /// The members in wire order.
            pub const TYPE: $crate::table::ObjectType = $crate::table::ObjectType {
                name: stringify!($name),
                properties: &[$(
                    $crate::table::PropertyDefinition::new($wire, $kind, $crate::table::Access::$access)
                        $(.$extra($($argument)?))*,
                )*],
            };
        }

        impl $crate::diff::FieldValue for $name {
            fn merge_from(&mut self, sent: &$crate::json::Json<'_>) -> Result<(), serde_json::Error> {
                if !sent.is_object() {
                    *self = serde::Deserialize::deserialize(sent)?;
                }
                for (name, value) in sent.members() {
                    match name.as_ref() {
                        $($wire => $crate::diff::FieldValue::merge_from(&mut self.$field, value)?,)*
                        _ => {}
                    }
                }
                Ok(())
            }

            fn set_within(
                &mut self,
                stored: &Self,
                path: &str,
                sent: &$crate::json::Json<'_>,
            ) -> Result<(), serde_json::Error> {
                let (name, rest) = path.split_once('/').unwrap_or((path, ""));
                let mut rows = Self::TYPE.properties.iter();
                $(
                    let row = rows.next();
                    if name == $wire {
                        return $crate::diff::set(&mut self.$field, &stored.$field, row, rest, sent);
                    }
                )*
                Err(serde::de::Error::custom(format_args!("no member {path}")))
            }

            fn keep_protected(&mut self, stored: &Self, sent: Option<&$crate::json::Json<'_>>) {
                let mut rows = Self::TYPE.properties.iter();
                $(
                    let row = rows.next();
                    let value = sent.and_then(|sent| sent.get($wire));
                    $crate::diff::keep(&mut self.$field, &stored.$field, row, value);
                )*
            }

            fn write(&self, out: &mut Vec<u8>) {
                let start = out.len();
                let mut rows = Self::TYPE.properties.iter();
                $(
                    let row = rows.next();
                    if !(row.is_some_and(|row| row.omitted) && $crate::diff::FieldValue::is_null(&self.$field)) {
                        out.extend_from_slice(concat!(",\"", $wire, "\":").as_bytes());
                        $crate::diff::FieldValue::write(&self.$field, out);
                    }
                )*
                match out.get_mut(start) {
                    Some(first_comma) => *first_comma = b'{',
                    None => out.push(b'{'),
                }
                out.push(b'}');
            }

            fn compare(
                &self,
                after: &Self,
                path: String,
                _: Option<&'static $crate::table::PropertyDefinition>,
                found: &mut Vec<$crate::diff::ChangedMember>,
            ) {
                let mut rows = Self::TYPE.properties.iter();
                $(
                    let row = rows.next();
                    if self.$field != after.$field {
                        let slash = if path.is_empty() { "" } else { "/" };
                        self.$field.compare(&after.$field, format!("{path}{slash}{}", $wire), row, found);
                    }
                )*
            }
        }
    };
}
pub(crate) use resource;
