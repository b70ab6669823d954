//! The steps of evaluation one by one: what an SQL engine calls for what it has no exact word for.

use super::arithmetic::{arithmetic, negate};
use super::operand::Operand;
use super::{EvalError, Evaluator};
use crate::ast::Arithmetic;
use crate::function::Function;
use crate::primitive::Duration;
use crate::schema::Type;
use crate::value::Value;

impl Evaluator<'_> {
    /// `left op right`; null where an operand is null.
    ///
    /// # Errors
    /// [`EvalError::Fault`] for a division by zero, and for what the type does not hold.
    pub fn arithmetic(&self, op: Arithmetic, left: &Value, right: &Value) -> Result<Value, EvalError> {
        arithmetic(op, left, right)
    }

    /// `-value`
    ///
    /// # Errors
    /// [`EvalError::Fault`] for what the type does not hold.
    pub fn negate(&self, value: &Value) -> Result<Value, EvalError> {
        negate(value)
    }

    /// A function of values that mind case; of null, null.
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

    /// A value as one of another type; what cannot be cast is null.
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

/// What values come to, one added after the other: `sum` and `average`. Null takes no part.
#[derive(Clone, Debug, Default)]
pub struct SumAccumulator {
    /// `None` before the first.
    total: Option<Value>,
    count: i64,
}

impl SumAccumulator {
    /// Adds a value.
    ///
    /// # Errors
    /// [`EvalError::Fault`] where the sum is beyond its type.
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

    /// The sum; null of none.
    pub fn sum(&self) -> Value {
        self.total.clone().unwrap_or(Value::Null)
    }

    /// The sum divided by how many there were; null of none.
    ///
    /// # Errors
    /// [`EvalError::Fault`] where it is beyond its type.
    pub fn average(&self) -> Result<Value, EvalError> {
        arithmetic(Arithmetic::DivBy, &self.sum(), &Value::Integer(self.count))
    }
}
