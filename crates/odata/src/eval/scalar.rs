//! Single operations of the evaluation, for an SQL engine that has no equivalent of its own.

use super::arithmetic::{arithmetic, negate};
use super::operand::Operand;
use super::{EvalError, Evaluator};
use crate::ast::Arithmetic;
use crate::function::Function;
use crate::primitive::Duration;
use crate::schema::Type;
use crate::value::Value;

impl Evaluator<'_> {
    /// Returns `left op right`; null if an operand is null.
    ///
    /// # Errors
    /// [`EvalError::Fault`] for division by zero and for overflow.
    pub fn arithmetic(&self, op: Arithmetic, left: &Value, right: &Value) -> Result<Value, EvalError> {
        arithmetic(op, left, right)
    }

    /// Returns `-value`.
    ///
    /// # Errors
    /// [`EvalError::Fault`] for overflow.
    pub fn negate(&self, value: &Value) -> Result<Value, EvalError> {
        negate(value)
    }

    /// Applies a function, case-sensitively. If an argument is null, the result is null.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn call(&self, function: Function, arguments: &[Value]) -> Result<Value, EvalError> {
        let held = self.held();
        let arguments: Vec<Operand<'_>> = arguments.iter().map(Operand::of).collect();
        let value = self.apply_function(function, &arguments, false)?.into_value();
        self.release_to(held);
        Ok(value)
    }

    /// Converts a value to another type. Values that cannot be cast become null.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn cast(&self, value: Value, to: &Type) -> Result<Value, EvalError> {
        let held = self.held();
        let value = self.cast_operand(value.into(), to)?.into_value();
        self.release_to(held);
        Ok(value)
    }
}

/// Accumulates values for `sum` and `average`. Null is ignored.
#[derive(Clone, Debug, Default)]
pub struct SumAccumulator {
    /// `None` before the first value.
    total: Option<Value>,
    count: i64,
}

impl SumAccumulator {
    /// Adds a value.
    ///
    /// # Errors
    /// [`EvalError::Fault`] if the sum overflows.
    pub fn add(&mut self, value: &Value) -> Result<(), EvalError> {
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

    /// Returns the sum; null if there were no values.
    pub fn sum(&self) -> Value {
        self.total.clone().unwrap_or(Value::Null)
    }

    /// Returns the average; null if there were no values.
    ///
    /// # Errors
    /// [`EvalError::Fault`] if it overflows.
    pub fn average(&self) -> Result<Value, EvalError> {
        arithmetic(Arithmetic::DivBy, &self.sum(), &Value::Integer(self.count))
    }
}
