//! Status and substatus as one value, and the transitions between them. Source: spec 7.

use std::fmt;

use crate::values::{ReferralStatus, ReferralSubstatus};

/// The state of a referral: a status with a substatus that belongs to it. `Active` with `Lost` cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// Not yet answered.
    New(NewSubstatus),
    /// Accepted by its owner.
    Active,
    /// Final: no state follows.
    Closed(ClosedSubstatus),
}

/// The substatuses of `New`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NewSubstatus {
    /// Waiting for an answer.
    Pending,
    /// Seen by its owner.
    Received,
}

/// The substatuses of `Closed`. `Error` is "closing as error" in the user documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ClosedSubstatus {
    Won,
    Lost,
    Declined,
    Expired,
    Error,
}

/// Why a state cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// Status and substatus do not belong together: 400 `invalidStatusSubstatus` (T2).
    #[error("substatus {substatus} cannot be combined with status {status}")]
    IllegalPair {
        /// The requested status.
        status: ReferralStatus,
        /// The requested substatus, or the current one.
        substatus: ReferralSubstatus,
    },
    /// `Closed` was requested without a substatus: 400 `invalidStatusSubstatus` (T4).
    #[error("status Closed needs a closing substatus: Won, Lost, Declined, Expired or Error")]
    ClosingSubstatusMissing,
    /// The transition is not allowed: 409 `invalidTransition` (T3).
    #[error("a referral cannot go from {from} to {to}")]
    NotReachable {
        /// The current state.
        from: LifecycleState,
        /// The requested state.
        to: LifecycleState,
    },
    /// The referral is closed, which is final: 409 `terminalState` (T6).
    #[error("a closed referral cannot be changed")]
    Terminal(ClosedSubstatus),
}

impl LifecycleState {
    /// Creates a state from a status and a substatus.
    ///
    /// # Errors
    /// [`TransitionError::IllegalPair`] for a pair that is not in the table of spec 7.1.
    pub fn from_pair(
        status: ReferralStatus,
        substatus: ReferralSubstatus,
    ) -> Result<LifecycleState, TransitionError> {
        use ReferralStatus as S;
        use ReferralSubstatus as Sub;
        Ok(match (status, substatus) {
            (S::New, Sub::Pending) => LifecycleState::New(NewSubstatus::Pending),
            (S::New, Sub::Received) => LifecycleState::New(NewSubstatus::Received),
            (S::Active, Sub::Accepted) => LifecycleState::Active,
            (S::Closed, Sub::Won) => LifecycleState::Closed(ClosedSubstatus::Won),
            (S::Closed, Sub::Lost) => LifecycleState::Closed(ClosedSubstatus::Lost),
            (S::Closed, Sub::Declined) => LifecycleState::Closed(ClosedSubstatus::Declined),
            (S::Closed, Sub::Expired) => LifecycleState::Closed(ClosedSubstatus::Expired),
            (S::Closed, Sub::Error) => LifecycleState::Closed(ClosedSubstatus::Error),
            _ => return Err(TransitionError::IllegalPair { status, substatus }),
        })
    }

    /// Returns the state that a write requests. Status or substatus may be omitted (T4, T5).
    ///
    /// # Errors
    /// A pair that is not in the table, or `Closed` without a substatus.
    pub fn requested_state(
        self,
        status: Option<ReferralStatus>,
        substatus: Option<ReferralSubstatus>,
    ) -> Result<LifecycleState, TransitionError> {
        match (status, substatus) {
            (None, None) => Ok(self),
            (None, Some(substatus)) => LifecycleState::from_pair(self.status(), substatus),
            (Some(status), Some(substatus)) => LifecycleState::from_pair(status, substatus),
            (Some(status), None) if status == self.status() => Ok(self),
            (Some(ReferralStatus::New), None) => Ok(LifecycleState::New(NewSubstatus::Pending)),
            (Some(ReferralStatus::Active), None) => Ok(LifecycleState::Active),
            (Some(ReferralStatus::Closed), None) => Err(TransitionError::ClosingSubstatusMissing),
            (Some(status @ ReferralStatus::None), None) => {
                Err(TransitionError::IllegalPair { status, substatus: self.substatus() })
            }
        }
    }

    /// Returns the next state if the transition is allowed: forward or unchanged while open, unchanged once closed.
    /// Source: spec 7.1; T6 for closed referrals.
    ///
    /// # Errors
    /// [`TransitionError::Terminal`] for any change of a closed state, [`TransitionError::NotReachable`] from Active
    /// back to New.
    pub fn transition_to(self, next: LifecycleState) -> Result<LifecycleState, TransitionError> {
        use LifecycleState::*;
        match (self, next) {
            (New(_), _) | (Active, Active | Closed(_)) => Ok(next),
            (Closed(was), Closed(same)) if was == same => Ok(next),
            (Closed(was), _) => Err(TransitionError::Terminal(was)),
            (from, to) => Err(TransitionError::NotReachable { from, to }),
        }
    }

    /// Returns the status.
    pub fn status(self) -> ReferralStatus {
        match self {
            LifecycleState::New(_) => ReferralStatus::New,
            LifecycleState::Active => ReferralStatus::Active,
            LifecycleState::Closed(_) => ReferralStatus::Closed,
        }
    }

    /// Returns the substatus.
    pub fn substatus(self) -> ReferralSubstatus {
        match self {
            LifecycleState::New(NewSubstatus::Pending) => ReferralSubstatus::Pending,
            LifecycleState::New(NewSubstatus::Received) => ReferralSubstatus::Received,
            LifecycleState::Active => ReferralSubstatus::Accepted,
            LifecycleState::Closed(ClosedSubstatus::Won) => ReferralSubstatus::Won,
            LifecycleState::Closed(ClosedSubstatus::Lost) => ReferralSubstatus::Lost,
            LifecycleState::Closed(ClosedSubstatus::Declined) => ReferralSubstatus::Declined,
            LifecycleState::Closed(ClosedSubstatus::Expired) => ReferralSubstatus::Expired,
            LifecycleState::Closed(ClosedSubstatus::Error) => ReferralSubstatus::Error,
        }
    }

    /// Returns whether the state is final.
    pub fn is_closed(self) -> bool {
        matches!(self, LifecycleState::Closed(_))
    }

    /// Returns whether the referral is not answered yet.
    pub fn is_new(self) -> bool {
        matches!(self, LifecycleState::New(_))
    }
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.status(), self.substatus())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClosedSubstatus::*;
    use LifecycleState::*;
    use NewSubstatus::*;

    #[test]
    fn a_referral_moves_forward_and_never_back() {
        // REF-132 REF-133 REF-134 REF-135 REF-136 REF-137 REF-149
        for (from, to, allowed) in [
            (New(Pending), Active, true),
            (New(Pending), New(Received), true),
            (New(Received), New(Pending), true),
            (New(Pending), Closed(Won), true),
            (New(Pending), Closed(Lost), true),
            (New(Received), Closed(Declined), true),
            (Active, Active, true),
            (Active, Closed(Won), true),
            (Active, Closed(Error), true),
            (Active, New(Pending), false),
            (Closed(Won), Closed(Won), true),
            (Closed(Won), Closed(Lost), false),
            (Closed(Lost), Active, false),
            (Closed(Expired), New(Pending), false),
        ] {
            assert_eq!(from.transition_to(to).is_ok(), allowed, "{from} -> {to}");
        }
    }

    #[test]
    fn every_pair_outside_the_table_is_illegal() {
        // REF-138 REF-139 REF-140 REF-141 REF-143
        let mut legal = 0;
        for &status in ReferralStatus::ALL {
            for &substatus in ReferralSubstatus::ALL {
                if let Ok(state) = LifecycleState::from_pair(status, substatus) {
                    assert_eq!((state.status(), state.substatus()), (status, substatus));
                    legal += 1;
                }
            }
        }
        assert_eq!(legal, 2 + 1 + 5);
    }

    #[test]
    fn half_a_standing_is_completed_only_where_it_is_clear() {
        use ReferralStatus as S;
        use ReferralSubstatus as Sub;
        // REF-145 REF-146
        for (now, status, substatus, asked) in [
            (New(Received), Some(S::Active), None, Some(Active)),
            (New(Received), Some(S::New), None, Some(New(Received))),
            (New(Received), Some(S::Closed), None, None),
            (Active, Some(S::New), None, Some(New(Pending))),
            (Active, None, Some(Sub::Won), None),
            (New(Pending), None, Some(Sub::Received), Some(New(Received))),
            (Closed(Won), Some(S::Closed), None, Some(Closed(Won))),
            (Active, Some(S::None), None, None),
            (Active, Some(S::Closed), Some(Sub::Pending), None),
        ] {
            assert_eq!(
                now.requested_state(status, substatus).ok(),
                asked,
                "{now} + {status:?}/{substatus:?}"
            );
        }
    }
}
