//! From a statement as written to what it means, with its parameters in place.
//!
//! A clause is judged in two stages. First it is read in the order of its text: values, paths, names of functions; the first
//! fault ends it. Only when all of it has been read are operators and functions held against their operands, so what does
//! not fit together is kept in [`Binder::unfit`] meanwhile. A `WHERE` has passed both before a `SET` is looked at.

use super::filter::{Asks, AttributeTest, Filter};
use super::literal::{item_of, value_of};
use super::parser::{ONE_SOURCE, Parsed};
use super::paths::{checked, column_name, path_of};
use super::syntax::*;
use super::{
    Column, Columns, Delete, Insert, Order, Returning, Select, Statement, UpdateItem, exists_misplaced,
};
use crate::model::expr::compose::{
    FunctionKind, NewValue, OperatorCount, PathChange, Refusal, Term, refuse_clashing,
};
use crate::model::expr::{Comparator, Condition, Path, Update};
use crate::model::{ApiError, AttributeValue};

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

fn unsupported_operator(symbol: &str) -> ApiError {
    refused(format!("Unsupported operator in Condition Expression. Operator: {symbol}"))
}

fn unrecognized(function: &str, node: &Node) -> ApiError {
    refused(format!("Unrecognized function: {function} at {}", node.span))
}

fn unsupported_token(token: &str, node: &Node) -> ApiError {
    refused(format!("Unsupported token in expression: {token} at {}", node.span))
}

/// What one side of a comparison is.
enum Side {
    Path(Path),
    Value(AttributeValue),
    Other(Term),
}

impl Side {
    fn into_term(self) -> Term {
        match self {
            Self::Path(path) => Term::path(path),
            Self::Value(value) => Term::value(value),
            Self::Other(term) => term,
        }
    }

    /// The attribute that it is as a whole.
    fn attribute(&self) -> Option<&str> {
        match self {
            Self::Path(path) if !path.is_nested() => Some(&path.root),
            _ => None,
        }
    }

    fn value(&self) -> Option<&AttributeValue> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// What stands where a condition should.
enum Part {
    Condition(Filter),
    /// A call that gives a number.
    Number,
    /// A value, or what lies at a path.
    Value,
}

/// Where a condition stands, for the words when it is none.
#[derive(Clone, Copy)]
enum Place {
    Where,
    Joined(&'static str),
    Negated,
}

impl Place {
    fn refusal(self) -> ApiError {
        refused(match self {
            Self::Where => "WHERE clause must contain an expression that resolves to a boolean",
            Self::Joined(_) => "The arguments to AND/OR must be Expressions",
            Self::Negated => "The argument to NOT must be a Type or Expression",
        })
    }
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
    for column in columns {
        let path = path_of(&column.node)?;
        let name = column_name(&path);
        if named.iter().any(|known| known.name == name) {
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
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.starts_with("arn:") || ((3..=255).contains(&name.len()) && name.bytes().all(is_part)) {
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

/// Conditions.
impl Binder<'_> {
    fn condition(&mut self, node: &Node, place: Place) -> Bound<Filter> {
        let part = self.part(node)?;
        self.condition_of(part, place)
    }

    fn part(&mut self, node: &Node) -> Bound<Part> {
        let filter = match &node.kind {
            NodeKind::And(parts) => Filter::All(self.joined(parts, "AND")?),
            NodeKind::Or(parts) => Filter::Any(self.joined(parts, "OR")?),
            NodeKind::Not { times, inner } => self.negation(*times, inner)?,
            NodeKind::Compare { operator, left, right } => self.comparison(*operator, left, right)?,
            NodeKind::Between { value, low, high } => self.between(value, low, high)?,
            NodeKind::In { value, choices } => self.one_of(value, choices)?,
            NodeKind::Is { value, type_name } => self.is_type(value, type_name)?,
            NodeKind::Call { function, arguments } => return self.call(node, function, arguments),
            NodeKind::Infix { symbol, .. } | NodeKind::Sign(symbol) => {
                return Err(unsupported_operator(symbol));
            }
            NodeKind::Case { .. } => return Err(unsupported_token("CASE", node)),
            NodeKind::Select(_) | NodeKind::Change(_) | NodeKind::ChangeOfNothing => {
                return Err(unsupported_token("SELECT", node));
            }
            NodeKind::Missing => return Err(refused(MISSING_COMPARED)),
            NodeKind::Name(_)
            | NodeKind::Path { .. }
            | NodeKind::Parameter(_)
            | NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_)
            | NodeKind::List(_)
            | NodeKind::Bag(_)
            | NodeKind::Struct(_) => {
                self.side(node)?;
                return Ok(Part::Value);
            }
        };
        Ok(Part::Condition(filter))
    }

    fn condition_of(&mut self, part: Part, place: Place) -> Bound<Filter> {
        let operator = match (part, place) {
            (Part::Condition(filter), _) => return Ok(filter),
            (Part::Number, Place::Joined(word)) => word,
            (Part::Number, Place::Negated) => "NOT",
            (Part::Number | Part::Value, _) => return Err(place.refusal()),
        };
        let unfit = Err(format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, operand type: N"
        ));
        Ok(Filter::test(self.fit_condition(unfit), None))
    }

    /// Parts in a row. The service joins two at a time, so the first two are read before either is asked what it is.
    fn joined(&mut self, parts: &[Node], word: &'static str) -> Bound<Vec<Filter>> {
        let mut filters = Vec::with_capacity(parts.len());
        let mut read = Vec::with_capacity(2);
        for (position, node) in parts.iter().enumerate() {
            read.push(self.part(node)?);
            if position == 0 {
                continue;
            }
            for part in read.drain(..) {
                filters.push(self.condition_of(part, Place::Joined(word))?);
            }
            self.count(1);
        }
        Ok(filters)
    }

    fn negation(&mut self, times: usize, inner: &Node) -> Bound<Filter> {
        let inner = self.condition(inner, Place::Negated)?;
        self.count(times);
        let attribute =
            inner.attribute().map(|test| AttributeTest { name: test.name.clone(), asks: Asks::Other });
        let condition = inner.condition();
        Ok(Filter::test(if times % 2 == 1 { condition.negated() } else { condition }, attribute))
    }

    fn side(&mut self, node: &Node) -> Bound<Side> {
        Ok(match &node.kind {
            NodeKind::Name(_) | NodeKind::Path { .. } => Side::Path(path_of(node)?),
            NodeKind::Parameter(index) => Side::Value(self.parameters[*index].clone()),
            NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_)
            | NodeKind::List(_)
            | NodeKind::Bag(_)
            | NodeKind::Struct(_) => Side::Value(value_of(node)?),
            NodeKind::Missing => return Err(refused(MISSING_COMPARED)),
            NodeKind::Call { function, arguments }
                if FunctionKind::of(function) == Some(FunctionKind::Operand) =>
            {
                let operands = self.terms(arguments)?;
                self.count(1);
                Side::Other(self.fit(Term::size(function, operands), Term::value(AttributeValue::Null)))
            }
            _ => Side::Other(Term::truth(self.condition(node, Place::Where)?.condition())),
        })
    }

    fn terms(&mut self, nodes: &[Node]) -> Bound<Vec<Term>> {
        nodes.iter().map(|node| self.side(node).map(Side::into_term)).collect()
    }

    fn comparison(&mut self, operator: Comparator, left: &Node, right: &Node) -> Bound<Filter> {
        let (left, right) = (self.side(left)?, self.side(right)?);
        self.count(1);
        let attribute = match (left.attribute(), right.value(), right.attribute(), left.value()) {
            (Some(name), Some(value), ..) => Some(asked(name, operator, value)),
            (.., Some(name), Some(value)) => Some(asked(name, operator.turned(), value)),
            (Some(name), ..) | (.., Some(name), _) => {
                Some(AttributeTest { name: name.to_owned(), asks: Asks::Other })
            }
            _ => None,
        };
        let condition = Condition::compare(operator, left.into_term(), right.into_term());
        let condition = self.fit_condition(condition);
        Ok(Filter::test(condition, attribute))
    }

    fn between(&mut self, value: &Node, low: &Node, high: &Node) -> Bound<Filter> {
        let (value, low, high) = (self.side(value)?, self.side(low)?, self.side(high)?);
        self.count(1);
        let attribute = value.attribute().map(|name| AttributeTest {
            name: name.to_owned(),
            asks: match (low.value(), high.value()) {
                (Some(low), Some(high)) => Asks::Between(low.clone(), high.clone()),
                _ => Asks::Other,
            },
        });
        let condition = Condition::between(value.into_term(), low.into_term(), high.into_term());
        let condition = self.fit_condition(condition);
        Ok(Filter::test(condition, attribute))
    }

    fn one_of(&mut self, value: &Node, choices: &Node) -> Bound<Filter> {
        let elements = match &choices.kind {
            NodeKind::List(elements) | NodeKind::Bag(elements) if !elements.is_empty() => elements,
            _ => {
                return Err(refused(
                    "IN operator must have a left hand argument of type Variable Reference \
                     and right hand argument of type Seq with at least one member",
                ));
            }
        };
        let value = self.side(value)?;
        let choices = elements.iter().map(|element| self.side(element)).collect::<Bound<Vec<_>>>()?;
        self.count(1);
        let values: Option<Vec<AttributeValue>> =
            choices.iter().map(|choice| choice.value().cloned()).collect();
        let attribute = value.attribute().map(|name| AttributeTest {
            name: name.to_owned(),
            asks: values.map_or(Asks::Other, Asks::OneOf),
        });
        let choices = choices.into_iter().map(Side::into_term).collect();
        let condition = self.fit_condition(Condition::one_of(value.into_term(), choices));
        Ok(Filter::test(condition, attribute))
    }

    fn is_type(&mut self, value: &Node, type_name: &str) -> Bound<Filter> {
        let side = match &value.kind {
            NodeKind::Missing | NodeKind::Parameter(_) => None,
            _ => Some(self.side(value)?),
        };
        let side = side.filter(|side| !matches!(side, Side::Other(_))).ok_or_else(|| {
            refused("The left hand side argument to IS must be a Variable Reference, Literal, or Path")
        })?;
        self.count(1);
        let attribute =
            side.attribute().map(|name| AttributeTest { name: name.to_owned(), asks: Asks::Other });
        let held_type = match type_name {
            "MISSING" => "",
            "NULL" => "NULL",
            "BOOLEAN" => "BOOL",
            "BLOB" => "B",
            "STRING" => "S",
            "NUMERIC" => "N",
            "STRUCT" | "TUPLE" => "M",
            "LIST" => "L",
            other => {
                return Err(refused(format!(
                    "Unsupported data type for IS operator: {}. Supported data types are \
                     [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST] at {}",
                    syntax_type(other),
                    value.span
                )));
            }
        };
        let condition = match (type_name, side) {
            ("MISSING", Side::Path(path)) => Condition::not_exists(path),
            // A value is of no such type as this.
            (_, side) => Condition::has_type(side.into_term(), held_type),
        };
        Ok(Filter::test(condition, attribute))
    }

    fn call(&mut self, node: &Node, function: &str, arguments: &[Node]) -> Bound<Part> {
        let sides = arguments.iter().map(|argument| self.side(argument)).collect::<Bound<Vec<_>>>()?;
        match FunctionKind::of(function) {
            None => return Err(unrecognized(function, node)),
            Some(FunctionKind::Update) => {
                return Err(refused(format!(
                    "The function is not allowed in a condition expression; function: {function}"
                )));
            }
            Some(FunctionKind::Operand) => return Ok(Part::Number),
            Some(FunctionKind::Condition) => {}
        }
        self.count(1);
        let attribute = sides.first().and_then(Side::attribute).map(|name| AttributeTest {
            name: name.to_owned(),
            asks: match (function, sides.get(1).and_then(Side::value)) {
                ("begins_with", Some(prefix)) => Asks::BeginsWith(prefix.clone()),
                _ => Asks::Other,
            },
        });
        let operands = sides.into_iter().map(Side::into_term).collect();
        let condition = self.fit_condition(Condition::call(function, operands));
        Ok(Part::Condition(Filter::test(condition, attribute)))
    }
}

fn asked(name: &str, operator: Comparator, value: &AttributeValue) -> AttributeTest {
    let value = value.clone();
    let asks = match operator {
        Comparator::Equal => Asks::Equal(value),
        Comparator::NotEqual => Asks::Other,
        Comparator::Less => Asks::Less(value),
        Comparator::LessOrEqual => Asks::LessOrEqual(value),
        Comparator::Greater => Asks::Greater(value),
        Comparator::GreaterOrEqual => Asks::GreaterOrEqual(value),
    };
    AttributeTest { name: name.to_owned(), asks }
}

/// What the service's parser calls a type: `CharacterVaryingType` for `CHARACTER_VARYING`.
fn syntax_type(type_name: &str) -> String {
    let words = type_name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_ascii_lowercase())
    });
    format!("{}Type", words.collect::<String>())
}
