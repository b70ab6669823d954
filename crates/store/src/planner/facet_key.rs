//! The facet key of a referral: its five enumerated members in one small number, for indexes and facet counts. The
//! column is named `class`.

use odata::{Comparison, EvalError, Evaluator, Typed, TypedKind, Value};
use referral::{ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, ReferralType};
use serde_json::Value as Json;

use crate::Columns;

/// The members that a facet key contains.
const MEMBERS: [&str; 5] = ["direction", "status", "substatus", "qualification", "type"];

/// The bits of `direction`, `status` and `substatus`. The schema of SQLite says it too.
pub(crate) const LIFECYCLE_BITS: u16 = 1009;

/// `direction` in bit 0, `type` in bit 1, `qualification` in bits 2 and 3, `status` in bits 4 and 5, `substatus` in
/// bits 6 to 9; each as its place in the reference. Numbers on disk: never changed after a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FacetKey(pub(crate) u16);

impl FacetKey {
    /// Returns the facet key of a referral.
    pub(crate) fn of(columns: &Columns) -> FacetKey {
        FacetKey(
            columns.direction as u16
                | (columns.referral_type as u16) << 1
                | (columns.qualification as u16) << 2
                | (columns.status as u16) << 4
                | (columns.substatus as u16) << 6,
        )
    }

    /// Returns only direction, status and substatus: the number that the index `referral_by_standing` is ordered by.
    pub(crate) fn lifecycle(self) -> u16 {
        self.0 & LIFECYCLE_BITS
    }

    /// Returns the shift and the mask of a member in the number.
    pub(crate) fn bits(member: &str) -> Option<(u16, u16)> {
        Some(match member {
            "direction" => (0, 1),
            "type" => (1, 1),
            "qualification" => (2, 3),
            "status" => (4, 3),
            "substatus" => (6, 15),
            _ => return None,
        })
    }

    /// Returns every facet key, including invalid pairs of status and substatus.
    pub(crate) fn all() -> impl Iterator<Item = FacetKey> {
        (0..1 << 10).map(FacetKey).filter(|facet| facet.document().is_some())
    }

    /// Returns a document with only the five members; `None` for an invalid number.
    pub(crate) fn document(self) -> Option<Json> {
        let mut document = serde_json::Map::new();
        for member in MEMBERS {
            document.insert(member.to_owned(), self.name(member)?.into());
        }
        Some(Json::Object(document))
    }

    /// Returns the value of one of the five members; `None` for other members, and for an invalid number.
    pub(crate) fn name(self, member: &str) -> Option<&'static str> {
        fn of<T: Copy>(all: &[T], number: u16, name: fn(T) -> &'static str) -> Option<&'static str> {
            all.get(usize::from(number)).copied().map(name)
        }
        let (shift, mask) = FacetKey::bits(member)?;
        let number = self.0 >> shift & mask;
        match member {
            "direction" => of(ReferralDirection::ALL, number, ReferralDirection::as_str),
            "type" => of(ReferralType::ALL, number, ReferralType::as_str),
            "qualification" => of(ReferralQualification::ALL, number, ReferralQualification::as_str),
            "status" => of(ReferralStatus::ALL, number, ReferralStatus::as_str),
            _ => of(ReferralSubstatus::ALL, number, ReferralSubstatus::as_str),
        }
    }

    /// Whether all of these, each of which [`is told`](FacetKey::decides) by a class, are true for referrals of this one.
    ///
    /// # Errors
    /// Errors of the evaluation.
    pub(crate) fn matches(self, terms: &[&Typed], evaluator: &Evaluator<'_>) -> Result<bool, EvalError> {
        for term in terms {
            let matches = match self.compare_numbers(term) {
                Some(matches) => matches,
                None => self.evaluated(term, evaluator)?,
            };
            if !matches {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether a term is true, if it only compares members with constants, which is the common case.
    fn compare_numbers(self, term: &Typed) -> Option<bool> {
        match &term.kind {
            TypedKind::And(terms) => {
                terms.iter().try_fold(true, |all, term| Some(self.compare_numbers(term)? && all))
            }
            TypedKind::Or(terms) => {
                terms.iter().try_fold(false, |any, term| Some(self.compare_numbers(term)? || any))
            }
            TypedKind::Not(operand) => Some(!self.compare_numbers(operand)?),
            TypedKind::Compare { .. } => {
                let (path, op, value) = term.as_comparison()?;
                let Value::Enum { value, .. } = value else { return None };
                let order = self.number(&path.wire())?.cmp(value);
                Some(match op {
                    Comparison::Eq => order.is_eq(),
                    Comparison::Ne => order.is_ne(),
                    Comparison::Gt => order.is_gt(),
                    Comparison::Ge => order.is_ge(),
                    Comparison::Lt => order.is_lt(),
                    Comparison::Le => order.is_le(),
                })
            }
            TypedKind::In { left, list, .. } => {
                let number = self.number(&left.as_item_path()?.wire())?;
                list.iter().try_fold(false, |any, member| match member.as_value()? {
                    Value::Enum { value, .. } => Some(any || *value == number),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The place of a member's value in its list.
    fn number(self, member: &str) -> Option<i64> {
        let (shift, mask) = FacetKey::bits(member)?;
        Some((self.0 >> shift & mask).into())
    }

    fn evaluated(self, term: &Typed, evaluator: &Evaluator<'_>) -> Result<bool, EvalError> {
        self.document().map_or(Ok(false), |document| evaluator.matches(term, &document))
    }

    /// Returns whether the facet key alone decides an expression.
    pub(crate) fn decides(expression: &Typed) -> bool {
        expression.item_paths().iter().all(|path| MEMBERS.contains(&path.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conformance::samples::{a_referral, organization};

    fn facet(
        direction: ReferralDirection,
        status: ReferralStatus,
        substatus: ReferralSubstatus,
        qualification: ReferralQualification,
        referral_type: ReferralType,
    ) -> FacetKey {
        let columns = a_referral(&organization(1), 1).columns;
        FacetKey::of(&Columns { direction, status, substatus, qualification, referral_type, ..columns })
    }

    #[test]
    fn the_numbers_on_disk_never_change() {
        use {
            ReferralDirection as D, ReferralQualification as Q, ReferralStatus as S, ReferralSubstatus as U,
        };
        let shared = ReferralType::Shared;
        assert_eq!(facet(D::Incoming, S::None, U::None, Q::None, ReferralType::Independent), FacetKey(0));
        assert_eq!(facet(D::Outgoing, S::None, U::None, Q::None, ReferralType::Independent), FacetKey(1));
        assert_eq!(facet(D::Incoming, S::None, U::None, Q::None, shared), FacetKey(2));
        assert_eq!(facet(D::Incoming, S::None, U::None, Q::SalesQualified, shared), FacetKey(14));
        assert_eq!(
            facet(D::Incoming, S::New, U::Pending, Q::Direct, ReferralType::Independent),
            FacetKey(84)
        );
        assert_eq!(facet(D::Outgoing, S::Closed, U::Error, Q::SalesQualified, shared), FacetKey(575));
    }

    #[test]
    fn a_standing_is_direction_status_and_substatus() {
        let bits = |member| FacetKey::bits(member).map(|(shift, mask)| mask << shift);
        let members = ["direction", "status", "substatus"].into_iter().filter_map(bits);
        assert_eq!(members.fold(0, |all, bits| all | bits), LIFECYCLE_BITS);
    }

    #[test]
    fn numbers_alone_say_what_the_evaluator_says() {
        let evaluator = Evaluator {
            schema: crate::schema(),
            now: odata::DateTimeOffset { ticks: 0, offset: 0 },
            work: None,
        };
        let settings = odata::BindSettings::default();
        for (text, told) in [
            ("status eq 'New'", true),
            ("'New' lt status", true),
            ("status ge 'Active' and not (substatus eq 'Won' or direction ne 'Incoming')", true),
            ("substatus in ('Won','Lost') or qualification le 'Direct'", true),
            ("not (status in ())", true),
            ("type eq null", false),
            ("status eq status", false),
            ("tolower(cast(status,Edm.String)) eq 'new'", false),
        ] {
            let tree = odata::Expr::parse(text, &odata::Limits::default()).expect("a filter");
            let mut binder = odata::Binder::new(crate::schema(), "Referral", &settings);
            let term = binder.filter(&tree).expect("a filter of referrals");
            assert!(FacetKey::decides(&term), "{text}");
            for facet in FacetKey::all() {
                assert_eq!(facet.compare_numbers(&term).is_some(), told, "{text}");
                assert_eq!(facet.matches(&[&term], &evaluator), facet.evaluated(&term, &evaluator), "{text}");
            }
        }
    }

    #[test]
    fn a_class_says_its_members() {
        let facet = facet(
            ReferralDirection::Outgoing,
            ReferralStatus::Closed,
            ReferralSubstatus::Lost,
            ReferralQualification::MarketingQualified,
            ReferralType::Shared,
        );
        let members = json!({
            "direction": "Outgoing", "type": "Shared", "qualification": "MarketingQualified",
            "status": "Closed", "substatus": "Lost",
        });
        assert_eq!(facet.document(), Some(members));
        assert_eq!(FacetKey(0x3ff).document(), None);
        assert_eq!(FacetKey::all().count(), 2 * 2 * 4 * 4 * 9);
    }
}
