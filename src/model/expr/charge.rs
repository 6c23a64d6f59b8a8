//! What a standalone UpdateItem is charged for its expression against the limit of an item's size.
//!
//! The service does not only measure the item that an update makes. It measures the statement too: what it writes, and a
//! fixed number of bytes for each clause, function and step of a path. The key and whatever the statement leaves alone are no
//! part of it, and neither is what it copies inside the item. The figures are the service's, measured to the byte.

use super::update::{Action, Change, Operand, SetValue};
use super::{Path, Step, Update};

/// For any update.
const BASE_BYTES: usize = 3;
/// For a `SET` or an `ADD`.
const WRITE_BYTES: usize = 19;
/// For a `REMOVE` or a `DELETE`.
const REMOVAL_BYTES: usize = 1;
/// For a path that is read, and for each of its elements.
const OPERAND_BYTES: usize = 1;
const OPERAND_ELEMENT_BYTES: usize = 14;
/// For each element of a path that is written, but its first.
const TARGET_ELEMENT_BYTES: usize = 4;
const SUM_BYTES: usize = 34;
const DIFFERENCE_BYTES: usize = 37;
const LIST_APPEND_BYTES: usize = 37;
const IF_NOT_EXISTS_BYTES: usize = 39;

impl Update {
    /// The size of the statement in bytes, by which the service limits an UpdateItem beside the size of the item it makes.
    pub fn statement_bytes(&self) -> usize {
        BASE_BYTES + self.actions().iter().map(action_bytes).sum::<usize>()
    }
}

fn action_bytes(action: &Action) -> usize {
    let target = target_bytes(&action.path);
    match &action.change {
        Change::Set(value) => WRITE_BYTES + target + value_bytes(value),
        Change::Add(value) => WRITE_BYTES + target + value.size_bytes(),
        Change::Remove | Change::Delete(_) => REMOVAL_BYTES + target,
    }
}

fn value_bytes(value: &SetValue) -> usize {
    match value {
        SetValue::Plain(operand) => operand_bytes(operand),
        SetValue::Sum(left, right) => SUM_BYTES + operand_bytes(left) + operand_bytes(right),
        SetValue::Difference(left, right) => DIFFERENCE_BYTES + operand_bytes(left) + operand_bytes(right),
    }
}

fn operand_bytes(operand: &Operand) -> usize {
    match operand {
        Operand::Path(path) => read_bytes(path),
        Operand::Value(value) => value.size_bytes(),
        Operand::IfNotExists(path, value) => IF_NOT_EXISTS_BYTES + read_bytes(path) + operand_bytes(value),
        Operand::ListAppend(left, right) => LIST_APPEND_BYTES + operand_bytes(left) + operand_bytes(right),
        Operand::Sum(left, right) => SUM_BYTES + operand_bytes(left) + operand_bytes(right),
        Operand::Difference(left, right) => DIFFERENCE_BYTES + operand_bytes(left) + operand_bytes(right),
    }
}

fn target_bytes(path: &Path) -> usize {
    path.root.len() + path.steps.iter().map(|step| TARGET_ELEMENT_BYTES + step_bytes(step)).sum::<usize>()
}

fn read_bytes(path: &Path) -> usize {
    let steps = path.steps.iter().map(|step| OPERAND_ELEMENT_BYTES + step_bytes(step));
    OPERAND_BYTES + OPERAND_ELEMENT_BYTES + path.root.len() + steps.sum::<usize>()
}

/// A name's bytes, or an index's digits.
fn step_bytes(step: &Step) -> usize {
    match step {
        Step::Member(name) => name.len(),
        Step::Element(index) => index.checked_ilog10().unwrap_or(0) as usize + 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::expr::Update;
    use crate::model::expr::tests::values::with_bindings;

    #[test]
    fn a_statement_is_charged_by_its_clauses_and_what_they_write() {
        let cases = [
            ("SET b = :s", 3 + 19 + 1 + 1),
            ("SET b = :s, cc = :ss", 3 + (19 + 1 + 1) + (19 + 2 + 1)),
            ("SET b = :s REMOVE r", 3 + (19 + 1 + 1) + 2),
            ("SET d.leaf = :s", 3 + 19 + (1 + 4 + 4) + 1),
            ("SET d[10] = :s", 3 + 19 + (1 + 4 + 2) + 1),
            ("SET c = m.z", 3 + 19 + 1 + (1 + 15 + 15)),
            ("SET c = x[0]", 3 + 19 + 1 + (1 + 15 + 15)),
            ("SET c = x[10]", 3 + 19 + 1 + (1 + 15 + 16)),
            ("SET x = list_append(x, :l)", 3 + 19 + 1 + 37 + (1 + 15) + (3 + 1 + 1)),
            ("SET x = x + :1", 3 + 19 + 1 + 34 + (1 + 15) + 2),
            ("SET x = x - :1", 3 + 19 + 1 + 37 + (1 + 15) + 2),
            ("SET c = if_not_exists(c, :m)", 3 + 19 + 1 + 39 + (1 + 15) + (3 + 1 + 1 + 1)),
            ("ADD name_of_it :ss", 3 + 19 + 10 + 1),
            ("DELETE name_of_it :ss", 3 + 1 + 10),
            ("REMOVE m.yy, x[1]", 3 + (1 + 1 + 4 + 2) + (1 + 1 + 4 + 1)),
        ];
        for (text, bytes) in cases {
            let update = with_bindings(|bindings| Update::parse(text, bindings)).unwrap();
            assert_eq!(update.statement_bytes(), bytes, "{text}");
        }
    }
}
