//! Sums and averages of values.

use super::EvalError;
use super::arithmetic::arithmetic;
use crate::ast::Arithmetic;
use crate::primitive::Duration;
use crate::value::Value;

/// The sum of values that are added one after the other, for `sum` and `average`. Null takes no part.
#[derive(Clone, Debug, Default)]
pub(super) struct SumAccumulator {
    /// `None` before the first.
    total: Option<Value>,
    count: i64,
}

impl SumAccumulator {
    /// Adds a value.
    ///
    /// # Errors
    /// [`EvalError::Fault`] where the sum is beyond its type.
    pub(super) fn add(&mut self, value: &Value) -> Result<(), EvalError> {
        if value.is_null() {
            return Ok(());
        }
        let total = self.total.take().unwrap_or(match value {
            Value::Duration(_) => Value::Duration(Duration(0)),
            Value::Decimal(_) => Value::Decimal(rust_decimal::Decimal::ZERO),
            Value::Double(_) => Value::Double(0.0),
            _ => Value::Integer(0),
        });
        self.total = Some(arithmetic(Arithmetic::Add, &total, value)?);
        self.count += 1;
        Ok(())
    }

    /// The sum; null of none.
    pub(super) fn sum(&self) -> Value {
        self.total.clone().unwrap_or(Value::Null)
    }

    /// The sum divided by how many there were; null of none.
    ///
    /// # Errors
    /// [`EvalError::Fault`] where it is beyond its type.
    pub(super) fn average(&self) -> Result<Value, EvalError> {
        arithmetic(Arithmetic::DivBy, &self.sum(), &Value::Integer(self.count))
    }
}
