//! How an engine says things: every word of SQL that engines differ in stands here.

use odata::{Arithmetic, EnumType, Function, Method, Property, Type};

/// An engine's own SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite with the functions of `sqlite/functions.rs`, which are the evaluator's own.
    Sqlite,
}

impl Dialect {
    /// The parameter of this number, from 1.
    pub(super) fn parameter(self, number: usize) -> String {
        match self {
            Dialect::Sqlite => format!("?{number}"),
        }
    }

    /// The JSON of the referral at hand.
    pub(super) fn document(self) -> String {
        match self {
            Dialect::Sqlite => "document_text(referral.document)".to_owned(),
        }
    }

    /// A member of JSON that is a text, a boolean or a name: as SQL's own value.
    pub(super) fn member(self, json: &str, steps: &[Property]) -> String {
        match self {
            Dialect::Sqlite => format!("({json} ->> {})", json_path(steps)),
        }
    }

    /// A member of JSON that is a number: as the text it is written with.
    pub(super) fn number_text(self, json: &str, steps: &[Property]) -> String {
        match self {
            Dialect::Sqlite => format!("({json} -> {})", json_path(steps)),
        }
    }

    /// NULL where a member is null or absent, else something.
    pub(super) fn presence(self, json: &str, steps: &[Property]) -> String {
        match self {
            Dialect::Sqlite => format!("nullif(json_type({json}, {}), 'null')", json_path(steps)),
        }
    }

    /// A table of the members of an array, one row each.
    pub(super) fn each(self, json: &str, steps: &[Property], alias: &str) -> String {
        match self {
            Dialect::Sqlite => format!("json_each({json}, {}) AS {alias}", json_path(steps)),
        }
    }

    /// A row of such a table: JSON where the member is an object, else SQL's own value.
    pub(super) fn element(self, alias: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{alias}.value"),
        }
    }

    /// How many members an array has; 0 where there is none.
    pub(super) fn array_length(self, json: &str, steps: &[Property]) -> String {
        match self {
            Dialect::Sqlite => format!("coalesce(json_array_length({json}, {}), 0)", json_path(steps)),
        }
    }

    /// The number of a member of an enumeration from its name; NULL for any other text.
    pub(super) fn enumeration(self, name: &str, enumeration: &EnumType) -> String {
        match self {
            Dialect::Sqlite => {
                let cases: String = enumeration
                    .members
                    .iter()
                    .map(|(member, value)| format!(" WHEN {} THEN {value}", quoted(member)))
                    .collect();
                format!("(CASE {name}{cases} END)")
            }
        }
    }

    /// Equality where NULL equals NULL and nothing else; never NULL.
    pub(super) fn same(self, left: &str, right: &str) -> String {
        match self {
            Dialect::Sqlite => format!("({left} IS {right})"),
        }
    }

    /// The contrary of [`same`](Self::same).
    pub(super) fn differs(self, left: &str, right: &str) -> String {
        match self {
            Dialect::Sqlite => format!("({left} IS NOT {right})"),
        }
    }

    /// An exact number as one that comparisons, groups and orders take by its value.
    pub(super) fn by_value(self, decimal: &str) -> String {
        match self {
            Dialect::Sqlite => format!("{decimal} COLLATE decimal"),
        }
    }

    /// A whole number as an exact one.
    pub(super) fn whole_to_decimal(self, whole: &str) -> String {
        match self {
            Dialect::Sqlite => format!("CAST({whole} AS TEXT)"),
        }
    }

    /// A whole number as a floating-point one.
    pub(super) fn whole_to_real(self, whole: &str) -> String {
        match self {
            Dialect::Sqlite => format!("CAST({whole} AS REAL)"),
        }
    }

    /// An exact number as a floating-point one.
    pub(super) fn decimal_to_real(self, decimal: &str) -> String {
        match self {
            Dialect::Sqlite => format!("decimal_real({decimal})"),
        }
    }

    /// Whether words are in JSON, as `odata::tokenizer` finds them.
    pub(super) fn found(self, json: &str, words: &str) -> String {
        match self {
            Dialect::Sqlite => format!("odata_found({json}, {words})"),
        }
    }

    /// A text that is put into a table of `$apply`, counted.
    pub(super) fn carried(self, text: &str) -> String {
        match self {
            Dialect::Sqlite => format!("carried({text})"),
        }
    }

    /// A text without case, as `odata::fold` makes it.
    pub(super) fn fold(self, text: &str) -> String {
        match self {
            Dialect::Sqlite => format!("fold({text})"),
        }
    }

    /// All flags of the second in the first; of NULL, NULL.
    pub(super) fn has(self, value: &str, flags: &str) -> String {
        match self {
            Dialect::Sqlite => format!("(~{value} & {flags} = 0)"),
        }
    }

    /// A function; `of` is the type of its one argument where it takes several.
    pub(super) fn call(self, function: Function, of: Option<&Type>, arguments: &[String]) -> String {
        match self {
            Dialect::Sqlite => {
                let name = function.name().to_lowercase();
                let all: Vec<String> =
                    of.map(type_name).into_iter().chain(arguments.iter().cloned()).collect();
                format!("odata_{name}({})", all.join(", "))
            }
        }
    }

    /// `left op right` of these types.
    pub(super) fn arithmetic(self, op: Arithmetic, types: [&Type; 2], left: &str, right: &str) -> String {
        match self {
            Dialect::Sqlite => {
                let [one, other] = types.map(type_name);
                format!("odata_{}({one}, {other}, {left}, {right})", op.name())
            }
        }
    }

    /// `-value`
    pub(super) fn negate(self, ty: &Type, value: &str) -> String {
        match self {
            Dialect::Sqlite => format!("odata_negate({}, {value})", type_name(ty)),
        }
    }

    /// A value as one of another type; what cannot be cast is NULL.
    pub(super) fn cast(self, from: &Type, to: &Type, value: &str) -> String {
        match self {
            Dialect::Sqlite => format!("odata_cast({}, {}, {value})", type_name(from), type_name(to)),
        }
    }

    /// The sum or the average of values of a type, as an aggregate; `method` is one of the two.
    pub(super) fn total(self, method: &Method, ty: &Type, value: &str) -> String {
        match self {
            Dialect::Sqlite => format!("odata_{}({}, {value})", method.name(), type_name(ty)),
        }
    }

    /// A condition over a value that is computed once: `value` in `condition` is the value.
    pub(super) fn with_value(self, alias: &str, value: &str, condition: &str) -> String {
        match self {
            Dialect::Sqlite => format!(
                "EXISTS (WITH {alias} (value) AS MATERIALIZED (SELECT {value}) SELECT 1 FROM {alias} WHERE {condition})"
            ),
        }
    }
}

/// A type as a text of SQL: `'Edm.Date'`, `'ReferralStatus'`.
fn type_name(ty: &Type) -> String {
    quoted(match ty {
        Type::Primitive(primitive) => primitive.name(),
        Type::Enum(name) | Type::Structured(name) => name,
        Type::Collection(_) => "Collection",
    })
}

/// `'$.customerProfile.name'`; the names are those of the schema.
fn json_path(steps: &[Property]) -> String {
    let mut path = "$".to_owned();
    for step in steps {
        path.push('.');
        path.push_str(&step.name);
    }
    quoted(&path)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
