//! Which part of an item a read gives: parsed from its request, checked against its table, and cut out of the stored item.

use crate::model::ApiError;
use crate::model::expr::Paths;
use crate::model::partiql::Columns;
use crate::wire::attribute::{Reader, write_item};
use crate::wire::expressions::Placeholders;
use crate::wire::{Json, keys, legacy};

use super::catalog::Table;
use super::rows::Row;
use super::store::StoreError;

/// Which part of an item a read gives.
#[derive(Debug)]
pub(super) enum Selection {
    /// All of it, as it is stored.
    Whole,
    /// What lies at these paths.
    Paths(Paths),
    /// The columns of a PartiQL statement.
    Columns(Columns),
}

impl Selection {
    /// What the projection parameters of `body` ask for, be they legacy or not.
    pub(super) fn parse(body: &Json<'_>) -> Result<Self, ApiError> {
        if let Some(paths) = legacy::attributes_to_get(body)? {
            return Ok(Self::Paths(paths));
        }
        Self::of_expression(body)
    }

    /// What the `ProjectionExpression` of `body` asks for, without a look at legacy parameters.
    pub(super) fn of_expression(body: &Json<'_>) -> Result<Self, ApiError> {
        let placeholders = Placeholders::parse(body, Reader::Older)?;
        let mut bindings = placeholders.bindings();
        let expression = body.get("ProjectionExpression").and_then(Json::text);
        let paths = expression.map(|text| Paths::parse_projection(text, &mut bindings)).transpose()?;
        bindings.finish()?;
        Ok(paths.map_or(Self::Whole, Self::Paths))
    }

    /// Refuses paths into key attributes.
    pub(super) fn check_against(&self, table: &Table) -> Result<(), ApiError> {
        match self {
            Self::Whole => Ok(()),
            Self::Paths(paths) => keys::check_nested_roots(&table.schema, paths.nested_roots()),
            Self::Columns(columns) => keys::check_nested_roots(&table.schema, columns.nested_roots()),
        }
    }

    /// Appends the selected part of an item as JSON. A whole item is not even parsed.
    pub(super) fn write(&self, row: &Row, out: &mut Vec<u8>) -> Result<(), StoreError> {
        match self {
            Self::Whole => out.extend_from_slice(row.json_text()),
            Self::Paths(paths) => write_item(&paths.project(&row.item()?), out),
            Self::Columns(columns) => write_item(&columns.of(row.item()?), out),
        }
        Ok(())
    }
}
