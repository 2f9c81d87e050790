//! The shapes of stored events, each as a JSON Schema.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// One shape that a stored event type has or had.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The stored name of the type.
    pub name: &'static str,
    /// The number of the shape.
    pub number: u32,
    schema: fn() -> Schema,
}

impl Shape {
    /// The shape number `number` of the type `name`, which is read as a `T`.
    #[must_use]
    pub const fn of<T: JsonSchema>(name: &'static str, number: u32) -> Self {
        Self { name, number, schema: schema_of::<T> }
    }

    /// The shape as a JSON Schema (draft 2020-12) with nothing outside of itself.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let mut schema = (self.schema)();
        schema.insert("title".into(), format!("{}, schema {}", self.name, self.number).into());
        schema
    }
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
