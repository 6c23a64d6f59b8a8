//! From a statement as written to what it means, with its parameters in place.
//!
//! A clause is judged in two stages. First it is read in the order of its text: values, paths, names of functions; the first
//! fault ends it. Only when all of it has been read are operators and functions held against their operands, so what does
//! not fit together is kept in [`Binder::unfit`] meanwhile. A `WHERE` has passed both before a `SET` is looked at.

mod condition;

use std::collections::HashSet;

use super::filter::Filter;
use super::literal::{item_of, value_of};
use super::parser::{ONE_SOURCE, Parsed};
use super::paths::{checked, column_name, path_of};
use super::syntax::*;
use super::{
    Column, Columns, Delete, Insert, Order, Returning, Select, Statement, UpdateItem, exists_misplaced,
};
use crate::model::expr::compose::{
    FunctionKind, NewValue, OperatorCount, PathChange, Refusal, refuse_clashing,
};
use crate::model::expr::{Condition, Path, Update};
use crate::model::schema::is_name;
use crate::model::{ApiError, AttributeValue};

use condition::Place;

const MISSING_COMPARED: &str = "MISSING must be compared using IS operator";

type Bound<T> = Result<T, ApiError>;

/// Gives a statement its meaning.
///
/// # Errors
/// The service's own.
pub(super) fn statement(parsed: Parsed, parameters: &[AttributeValue]) -> Bound<Statement> {
    let node = parsed.node;
    let mut binder = Binder { parameters, operators: OperatorCount::default(), unfit: None };
    // Those that are left over do no harm.
    let check_parameters = || match parsed.parameters <= parameters.len() {
        true => Ok(()),
        false => Err(refused("Number of parameters in request and statement don't match.")),
    };
    match node.kind {
        NodeKind::Select(select) => {
            check_parameters()?;
            binder.select(*select).map(Statement::Select)
        }
        NodeKind::Change(change) => {
            check_parameters()?;
            binder.change(*change, node.span.to_string())
        }
        NodeKind::ChangeOfNothing => Err(refused(ONE_SOURCE)),
        // The service takes every operation for `EXISTS` until it looks closer.
        _ if node.is_operation() => match node.into_existence() {
            Some(select) => {
                check_parameters()?;
                binder.select(select).map(Statement::Exists)
            }
            None => Err(exists_misplaced()),
        },
        _ => Err(refused(format!("Unsupported operation: {}", node.kind_name()))),
    }
}

/// The table that a source names, if it names one and nothing else.
pub(super) fn table_name(node: &Node) -> Option<String> {
    match &node.kind {
        NodeKind::Name(name) => Some(name.clone()),
        _ => None,
    }
}

fn refused(words: impl Into<String>) -> ApiError {
    ApiError::validation(words.into())
}

fn unrecognized(function: &str, node: &Node) -> ApiError {
    refused(format!("Unrecognized function: {function} at {}", node.span))
}

fn unsupported_token(token: &str, node: &Node) -> ApiError {
    refused(format!("Unsupported token in expression: {token} at {}", node.span))
}

struct Binder<'p> {
    parameters: &'p [AttributeValue],
    /// Those of the clause so far.
    operators: OperatorCount,
    /// The first fault in how parts of the clause fit together.
    unfit: Option<Refusal>,
}

/// The second stage of a clause.
impl Binder<'_> {
    /// What was made of parts that have been read; if they do not fit together, that is noted and this stands in for them.
    fn fit<T>(&mut self, made: Result<T, Refusal>, stand_in: T) -> T {
        made.unwrap_or_else(|words| {
            self.unfit.get_or_insert(words);
            stand_in
        })
    }

    fn fit_condition(&mut self, made: Result<Condition, Refusal>) -> Condition {
        self.fit(made, Condition::all(Vec::new()))
    }

    fn count(&mut self, operators: usize) {
        let counted = self.operators.add(operators);
        self.fit(counted, ());
    }

    /// Ends a clause that was read: tells what did not fit. Clauses are counted apart.
    fn settle(&mut self) -> Bound<()> {
        self.operators = OperatorCount::default();
        self.unfit.take().map_or(Ok(()), |words| Err(refused(words)))
    }
}

/// Reads.
impl Binder<'_> {
    fn select(&mut self, select: RawSelect) -> Bound<Select> {
        if let Some(words) = select.unsupported {
            return Err(refused(words));
        }
        if select.is_distinct {
            return Err(refused("Unsupported token in expression: DISTINCT"));
        }
        if select.source.is_joined {
            return Err(refused(ONE_SOURCE));
        }
        let (table, index) = source(&select.source)?;
        let columns = match select.list {
            RawList::Everything => Columns::All,
            RawList::Value => {
                return Err(refused("Select projection doesn't support value or pivot keywords"));
            }
            RawList::Columns(columns) => columns_of(&columns)?,
        };
        let filter = select.condition.map(|node| self.filter(&node)).transpose()?;
        let order = select.order.iter().map(order_of).collect();
        Ok(Select { table, index, columns, filter, order })
    }

    fn filter(&mut self, node: &Node) -> Bound<Filter> {
        let filter = self.condition(node, Place::Where)?;
        self.settle()?;
        Ok(filter)
    }
}

fn columns_of(columns: &[RawColumn]) -> Bound<Columns> {
    if columns.iter().any(|column| column.is_aliased) {
        return Err(refused("Aliasing is not supported"));
    }
    let mut named: Vec<Column> = Vec::with_capacity(columns.len());
    let mut names = HashSet::with_capacity(columns.len());
    for column in columns {
        let path = path_of(&column.node)?;
        let name = column_name(&path);
        if !names.insert(name.clone()) {
            return Err(refused(format!("Duplicate identifiers in select clause: {name}")));
        }
        named.push(Column { name, path });
    }
    refuse_clashing(&named.iter().map(|column| &column.path).collect::<Vec<_>>()).map_err(refused)?;
    Ok(Columns::Named(named))
}

fn order_of(order: &RawOrder) -> Order {
    let attribute = match &order.node.kind {
        NodeKind::Name(name) => Ok(name.clone()),
        _ => Err(refused(format!(
            "Argument to ORDER BY must be of type VariableReference. Type: {} at {}",
            order.node.words(),
            order.node.span
        ))),
    };
    Order { attribute, is_descending: order.is_descending }
}

/// The table and index that a source names.
pub(super) fn source(source: &RawSource) -> Bound<(String, Option<String>)> {
    if source.is_aliased {
        return Err(refused("Aliasing is not supported"));
    }
    let (root, steps) = match &source.node.kind {
        NodeKind::Name(name) => (name, [].as_slice()),
        NodeKind::Path { root, steps } => match &root.kind {
            NodeKind::Name(name) => (name, steps.as_slice()),
            _ => return Err(refused("Unexpected from source")),
        },
        _ => return Err(refused("Unexpected from source")),
    };
    if steps.len() > 1 {
        return Err(refused("A path may contain at most 2 components in the FROM clause"));
    }
    let index = match steps.first() {
        None => None,
        Some(PathStep::Member(name)) => Some(checked(name)?),
        Some(PathStep::Unpivot) => {
            return Err(refused(
                "Invalid path dot component in this operation, expecting either an IDENTIFIER or STAR.",
            ));
        }
        Some(PathStep::Bracket(_)) => return Err(refused("Invalid list expression in source.")),
    };
    let table = checked(root)?;
    check_name(&table)?;
    if let Some(index) = &index {
        check_name(index)?;
    }
    Ok((table, index))
}

fn check_name(name: &str) -> Bound<()> {
    if name.starts_with("arn:") || is_name(name) {
        return Ok(());
    }
    Err(refused(
        "Table name should be within the length [3, 255] and only contain 'a-z', 'A-Z', '0-9', '-', '_', '.'.",
    ))
}

/// Writes.
impl Binder<'_> {
    fn change(&mut self, change: RawChange, span: String) -> Bound<Statement> {
        match change.operation {
            RawOperation::Insert { value, has_position } => {
                let table = target(&change.target, INVALID_TARGET)?;
                if has_position {
                    return Err(refused(format!("AT is not supported in insert statements. at {span}")));
                }
                let insert = self.insert(table, &value)?;
                match returning(&change.returning)? {
                    None => Ok(insert),
                    Some(_) => Err(refused("RETURNING is not supported in INSERT")),
                }
            }
            RawOperation::InsertMany => Err(refused(
                "Unsupported operation: Inserting multiple items in a single statement is not supported, \
                 use \"INSERT INTO tableName VALUE item\" instead",
            )),
            RawOperation::InsertInto => {
                Err(refused(format!("Unsupported FROM ... WHERE ... clause in INSERT statement. at {span}")))
            }
            RawOperation::Update(actions) => {
                let table = target(&change.target, NO_INDEX)?;
                // The service reads the `WHERE` first, and misses it when it knows the table.
                let filter = change.condition.map(|node| self.filter(&node)).transpose()?;
                let update = self.update(&actions)?;
                let returning = returning(&change.returning)?;
                Ok(Statement::Update(UpdateItem { table, update, filter, returning }))
            }
            RawOperation::Delete => {
                let table = target(&change.target, NO_INDEX)?;
                let filter = change.condition.map(|node| self.filter(&node)).transpose()?;
                let returns_old = match returning(&change.returning)? {
                    None => false,
                    Some(Returning::AllOld) => true,
                    Some(other) => {
                        return Err(refused(format!(
                            "Invalid returning clause: RETURNING {} *. \
                             Only RETURNING ALL OLD * is allowed in DELETE statements.",
                            other.words()
                        )));
                    }
                };
                Ok(Statement::Delete(Delete { table, filter, returns_old }))
            }
        }
    }

    fn insert(&mut self, table: String, value: &Node) -> Bound<Statement> {
        let NodeKind::Struct(members) = &value.kind else {
            return Err(refused(format!(
                "Unsupported format in item expression. \
                 Please use struct format {{...}} to express item values for insert statement. at {}",
                value.span
            )));
        };
        let item = item_of(value, members, |node| match &node.kind {
            NodeKind::Parameter(index) => Ok(self.parameters[*index].clone()),
            _ => value_of(node),
        })?;
        Ok(Statement::Insert(Insert { table, item }))
    }

    fn update(&mut self, actions: &[RawAction]) -> Bound<Update> {
        let changes = actions.iter().map(|action| match action {
            RawAction::Remove { target } => Ok((path_of(target)?, PathChange::Remove)),
            RawAction::Set { target, value } => {
                let path = path_of(target)?;
                let change = self.path_change(&path, value)?;
                Ok((path, change))
            }
        });
        let changes = changes.collect::<Bound<Vec<_>>>()?;
        self.settle()?;
        Update::of_changes(changes).map_err(refused)
    }

    fn path_change(&mut self, target: &Path, value: &Node) -> Bound<PathChange> {
        match &value.kind {
            NodeKind::Call { function, arguments } if function == "set_add" => {
                self.members(target, value, "SET_ADD", arguments).map(PathChange::AddMembers)
            }
            NodeKind::Call { function, arguments } if function == "set_delete" => {
                self.members(target, value, "SET_DELETE", arguments).map(PathChange::RemoveMembers)
            }
            _ => self.new_value(value).map(PathChange::Set),
        }
    }

    /// The set that is added to the target's or taken out of it.
    fn members(
        &mut self,
        target: &Path,
        call: &Node,
        name: &str,
        arguments: &[Node],
    ) -> Bound<AttributeValue> {
        let [first, second] = arguments else {
            return Err(refused(format!("{name} must have exactly two arguments at {}", call.span)));
        };
        if path_of(first).ok().as_ref() != Some(target) {
            return Err(refused(format!(
                "The first argument to {name} must equal the assignment value at {}",
                call.span
            )));
        }
        let value = match &second.kind {
            NodeKind::Parameter(index) => Some(self.parameters[*index].clone()),
            NodeKind::Bag(_) => Some(value_of(second)?),
            _ => None,
        };
        let is_set = |value: &AttributeValue| {
            matches!(value, AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_))
        };
        value.filter(is_set).ok_or_else(|| {
            refused(format!("The second argument to {name} must be a value with type SET at {}", first.span))
        })
    }

    fn new_value(&mut self, node: &Node) -> Bound<NewValue> {
        let unsupported =
            |symbol: &str| refused(format!("Unsupported operator in Update Expression. Operator: {symbol}"));
        match &node.kind {
            NodeKind::Name(_) | NodeKind::Path { .. } => path_of(node).map(NewValue::path),
            NodeKind::Parameter(index) => Ok(NewValue::value(self.parameters[*index].clone())),
            NodeKind::Infix { symbol, left, right } if matches!(*symbol, "+" | "-") => {
                let (left, right) = (self.new_value(left)?, self.new_value(right)?);
                self.count(1);
                let join = if *symbol == "+" { NewValue::sum } else { NewValue::difference };
                Ok(self.fit_value(join(left, right)))
            }
            NodeKind::Infix { symbol, .. } => Err(unsupported(symbol)),
            NodeKind::Compare { operator, .. } => Err(unsupported(operator.symbol())),
            NodeKind::And(_) => Err(unsupported("and")),
            NodeKind::Or(_) => Err(unsupported("or")),
            NodeKind::Not { .. } => Err(unsupported("not")),
            NodeKind::Between { .. } => Err(unsupported("between")),
            NodeKind::In { .. } => Err(unsupported("in")),
            NodeKind::Is { .. } => Err(refused("IS operator is not supported in update expressions")),
            NodeKind::Sign(symbol) => Err(refused(format!(
                "Incorrect number of operands for operator or function; operator or function: {symbol}, \
                 number of operands: 1"
            ))),
            NodeKind::Missing => Err(refused(MISSING_COMPARED)),
            NodeKind::Case { .. } => Err(unsupported_token("CASE", node)),
            NodeKind::Select(_) | NodeKind::Change(_) | NodeKind::ChangeOfNothing => {
                Err(unsupported_token("SELECT", node))
            }
            NodeKind::Call { function, arguments } => self.update_call(node, function, arguments),
            NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_)
            | NodeKind::List(_)
            | NodeKind::Bag(_)
            | NodeKind::Struct(_) => value_of(node).map(NewValue::value),
        }
    }

    fn fit_value(&mut self, made: Result<NewValue, Refusal>) -> NewValue {
        self.fit(made, NewValue::value(AttributeValue::Null))
    }

    fn update_call(&mut self, node: &Node, function: &str, arguments: &[Node]) -> Bound<NewValue> {
        let operands = arguments.iter().map(|argument| self.new_value(argument));
        let operands = operands.collect::<Bound<Vec<_>>>()?;
        match FunctionKind::of(function) {
            None => Err(unrecognized(function, node)),
            Some(FunctionKind::Condition | FunctionKind::Operand) => Err(refused(format!(
                "The function is not allowed in an update expression; function: {function}"
            ))),
            Some(FunctionKind::Update) => {
                self.count(1);
                Ok(self.fit_value(NewValue::call(function, operands)))
            }
        }
    }
}

const INVALID_TARGET: &str =
    "FROM clause may only contain a single table name in data manipulation statements";
const NO_INDEX: &str = "This operation is not supported on an index";

/// The table that a write names; `on_index` are the words when it names an index.
fn target(raw: &RawSource, on_index: &'static str) -> Bound<String> {
    if raw.is_joined {
        return Err(refused(INVALID_TARGET));
    }
    match source(raw)? {
        (table, None) => Ok(table),
        (_, Some(_)) => Err(refused(on_index)),
    }
}

fn returning(elements: &[RawReturning]) -> Bound<Option<Returning>> {
    match elements {
        [] => Ok(None),
        [element] if element.is_everything => Ok(Some(element.which)),
        [_] => Err(refused("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")),
        _ => Err(refused("Invalid syntax with multiple returning elements in RETURNING clause")),
    }
}
