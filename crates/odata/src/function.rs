//! The canonical functions: names, and the number of arguments.
//!
//! Source: OData 4.01 URL Conventions 5.1.1.5 to 5.1.1.12, ABNF `methodCallExpr` and `boolMethodCallExpr`. `cast`,
//! `isof` and `case` have a grammar of their own and are not in this table.

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal ..= $most:literal $says:literal;)*) => {
        /// A canonical function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function { $(#[doc = $says] $variant,)* }

        impl Function {
            /// All functions, in the order of this table.
            pub const ALL: &[Function] = &[$(Function::$variant),*];

            /// Returns the name in OData.
            pub fn name(self) -> &'static str {
                match self { $(Function::$variant => $name,)* }
            }

            /// Returns the minimum and maximum number of arguments.
            pub fn arity(self) -> (usize, usize) {
                match self { $(Function::$variant => ($least, $most),)* }
            }
        }
    };
}

functions! {
    Concat "concat" 2..=2 "Concatenates two strings.";
    Contains "contains" 2..=2 "Whether the second string occurs in the first.";
    EndsWith "endswith" 2..=2 "Whether the first string ends with the second.";
    IndexOf "indexof" 2..=2 "Position of the second string in the first, from 0, in characters; -1 if it does not occur.";
    Length "length" 1..=1 "Characters of a string, or members of a collection.";
    StartsWith "startswith" 2..=2 "Whether the first string begins with the second.";
    Substring "substring" 2..=3 "The characters from a position, to the end or up to a number. A negative position counts from the end.";
    MatchesPattern "matchesPattern" 2..=2 "Whether a string matches an ECMAScript pattern.";
    ToLower "tolower" 1..=1 "Lower case by Unicode.";
    ToUpper "toupper" 1..=1 "Upper case by Unicode.";
    Trim "trim" 1..=1 "Without white space at both ends.";
    HasSubset "hassubset" 2..=2 "Whether a collection contains all members of another.";
    HasSubsequence "hassubsequence" 2..=2 "Whether a collection contains another in its order.";
    Year "year" 1..=1 "Year of a date, in its own offset.";
    Month "month" 1..=1 "Month from 1.";
    Day "day" 1..=1 "Day of the month from 1.";
    Hour "hour" 1..=1 "Hour from 0 to 23.";
    Minute "minute" 1..=1 "Minute from 0.";
    Second "second" 1..=1 "Second from 0, without fractions.";
    FractionalSeconds "fractionalseconds" 1..=1 "The fraction of the second, below 1.";
    TotalSeconds "totalseconds" 1..=1 "A duration in seconds, with fractions.";
    TotalOffsetMinutes "totaloffsetminutes" 1..=1 "The offset of a date-time, in minutes.";
    Date "date" 1..=1 "The date of a date-time.";
    Time "time" 1..=1 "The time of day of a date-time.";
    Now "now" 0..=0 "The time of the request.";
    MinDateTime "mindatetime" 0..=0 "The earliest date-time.";
    MaxDateTime "maxdatetime" 0..=0 "The latest date-time.";
    Round "round" 1..=1 "To the nearest integer, halves away from zero.";
    Floor "floor" 1..=1 "The largest integer that is not greater.";
    Ceiling "ceiling" 1..=1 "The smallest integer that is not less.";
    GeoDistance "geo.distance" 2..=2 "The shortest distance between two points.";
    GeoLength "geo.length" 1..=1 "The length of a line.";
    GeoIntersects "geo.intersects" 2..=2 "Whether a point lies in a polygon.";
}

impl Function {
    /// Returns the function with this name, in any case (OData 4.01 Protocol, conformance, "case-insensitive").
    pub fn from_name(name: &str) -> Option<Function> {
        Function::ALL.iter().copied().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// Returns whether it is a geo function.
    pub fn is_geo(self) -> bool {
        matches!(self, Function::GeoDistance | Function::GeoLength | Function::GeoIntersects)
    }
}
