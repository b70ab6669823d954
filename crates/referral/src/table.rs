//! The property table: what every member of the resource is called, what it may hold, and who sets it.
//!
//! The `resource!` macro writes a struct and its table from one list, so that JSON names, columns, checks and
//! documents cannot drift apart. Source of the rows: spec 5.2 and 5.3.

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
    /// The property of this wire name, in any case (spec 5.1).
    pub fn find(&self, name: &str) -> Option<&'static PropertyDefinition> {
        self.find_from(0, name).map(|(_, property)| property)
    }

    /// The same, with its place in the table. The search begins at a place: members mostly come in the table's order.
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
    /// What it may hold.
    pub kind: Kind,
    /// Who sets it, and when it may change.
    pub access: Access,
    /// Whether null is one of its values.
    pub nullable: bool,
    /// Whether a new object must have it.
    pub required: bool,
    /// Whether it is left out where it is null.
    pub omitted: bool,
    /// The store's column that holds it too, where a query needs one.
    pub column: Option<&'static str>,
}

impl PropertyDefinition {
    /// A member that is neither nullable nor required.
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

    /// The same member, with null among its values.
    pub const fn nullable(mut self) -> PropertyDefinition {
        self.nullable = true;
        self
    }

    /// The same member, required in a new object.
    pub const fn required(mut self) -> PropertyDefinition {
        self.required = true;
        self
    }

    /// The same member, left out where it is null; serde is told so in the row, too.
    pub const fn omitted(mut self) -> PropertyDefinition {
        self.omitted = true;
        self
    }

    /// The same member, held in a column of the store too.
    pub const fn column(mut self, name: &'static str) -> PropertyDefinition {
        self.column = Some(name);
        self
    }
}

/// Who sets a member, and when it may change. Source: spec 5.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The server alone. Not applied from POST and PUT; another value in PATCH is refused.
    Server,
    /// Belongs to the server, and whatever is sent is passed over.
    Derived,
    /// Set once by creation; another value is refused in every profile.
    Fixed,
    /// Free under `wire`; refused under `program` after creation.
    AtCreation,
    /// Free under `wire`; refused under `program` once given and shared with Microsoft.
    OnceShared,
    /// The caller's, until the referral is closed.
    Free,
    /// The caller's, even when the referral is closed.
    FreeWhenClosed,
}

/// What a member may hold. Limits count Unicode characters.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text of at most so many characters.
    Text(usize),
    /// A text of one to so many characters.
    NonEmpty(usize),
    /// A GUID.
    Guid,
    /// A GUID or `msft`.
    Organization,
    /// An entity tag with its quotes.
    ETag,
    /// An instant.
    DateTime,
    /// A decimal number of 0 or more, at most 28 digits, 4 of them after the point.
    Amount,
    /// `true` or `false`.
    Boolean,
    /// `true` or `false`, where null means `false` (U8).
    Flag,
    /// A closed list.
    Enumeration(&'static Enumeration),
    /// An e-mail address; the empty text passes.
    Email,
    /// A phone number: free text of at most 64 characters.
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
    /// A list whose element form is unknown; always empty.
    Unknown,
}

impl Kind {
    /// Whether a person may have written some of it: what can be searched for.
    pub(crate) fn may_hold_text(self) -> bool {
        use Kind::{Amount, Boolean, DateTime, ETag, Enumeration, Flag, Guid};
        !matches!(self, Guid | ETag | DateTime | Amount | Boolean | Flag | Enumeration(_))
    }

    /// What the kind accepts, for an error message.
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

/// Writes a struct with the contract's serde names and its [`ObjectType`] from one list.
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
            /// The members in wire order, as the property table has them.
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
