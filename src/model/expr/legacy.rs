//! The parameters that expressions replaced: `Expected`, `AttributeUpdates`, `KeyConditions`, `QueryFilter`, `ScanFilter`,
//! `AttributesToGet`. They become the trees of the expressions.
