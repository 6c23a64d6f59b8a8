//! The grammar of whole statements.

use super::{LOOSEST, Parse, Parser, PathKind, WITHIN_SELECT, malformed};
use crate::model::ApiError;
use crate::model::partiql::lexer::{Span, TokenKind};
use crate::model::partiql::syntax::*;

impl Parser {
    /// What a keyword begins that is no literal and no function: most often a statement.
    pub(super) fn statement_term(&mut self, word: &str, span: Span) -> Parse<Node> {
        let unexpected = || malformed("Unexpected keyword");
        match word {
            "select" => {
                self.advance(1);
                let select = Box::new(self.select()?);
                Ok(Node { span, kind: NodeKind::Select(select) })
            }
            "insert" if self.keyword_at(1) == Some("into") => self.insert(span),
            "update" => self.update(span),
            "delete" => self.delete(span),
            "from" => self.update_from(span),
            "set" => {
                self.assignments()?;
                Ok(Node { span, kind: NodeKind::ChangeOfNothing })
            }
            "remove" => {
                self.removal()?;
                Ok(Node { span, kind: NodeKind::ChangeOfNothing })
            }
            "case" => {
                self.advance(1);
                self.case(span)
            }
            "create" | "drop" => self.definition(word),
            "pivot" => Err(ApiError::validation("Select projection doesn't support value or pivot keywords")),
            "cast" | "substring" | "trim" | "extract" | "values" => Err(ApiError::validation(format!(
                "Unsupported token in expression: {} at {span}",
                word.to_uppercase()
            ))),
            _ => Err(unexpected()),
        }
    }

    /// What follows `CASE`.
    fn case(&mut self, span: Span) -> Parse<Node> {
        let is_searched = self.keyword_at(0) == Some("when");
        if !is_searched {
            self.expression(LOOSEST)?;
        }
        let mut branches = 0;
        while self.take_keyword("when") {
            self.expression(LOOSEST)?;
            if !self.take_keyword("then") {
                return Err(malformed("Expected THEN keyword"));
            }
            self.expression(LOOSEST)?;
            branches += 1;
        }
        if branches == 0 {
            return Err(malformed("Expected a WHEN clause in CASE"));
        }
        if self.take_keyword("else") {
            self.expression(LOOSEST)?;
        }
        match self.take_keyword("end") {
            true => Ok(Node { span, kind: NodeKind::Case { is_searched } }),
            false => Err(malformed("Expected END keyword")),
        }
    }

    /// `CREATE` and `DROP`, which the grammar has and the service has not.
    fn definition(&self, word: &str) -> Parse<Node> {
        let verb = if word == "create" { "Create" } else { "Drop" };
        let noun = match self.keyword_at(1) {
            Some("table") => "Table",
            Some("index") => "Index",
            _ => return Err(malformed(&format!("Unexpected token following {}", word.to_uppercase()))),
        };
        Err(ApiError::validation(format!("Unsupported operation: {verb}{noun}")))
    }

    fn select(&mut self) -> Parse<RawSelect> {
        let is_distinct = self.take_keyword("distinct");
        if !is_distinct {
            self.take_keyword("all");
        }
        let list = self.select_list()?;
        if !self.take_keyword("from") {
            return Err(malformed("Expected FROM after SELECT list"));
        }
        let source = self.sources()?;
        let condition = self.condition(WITHIN_SELECT)?;
        let order = self.order()?;
        let unsupported = self.unsupported_clause()?;
        Ok(RawSelect { is_distinct, list, source, condition, order, unsupported })
    }

    fn select_list(&mut self) -> Parse<RawList> {
        if self.take_keyword("value") {
            self.expression(LOOSEST)?;
            return Ok(RawList::Value);
        }
        if self.keyword_at(0) == Some("from") {
            return Err(malformed(
                "Expected identifier or an expression but found unexpected keyword 'from' in a select list.",
            ));
        }
        let mut columns = Vec::new();
        let mut stars = 0;
        loop {
            if self.take_symbol("*") {
                stars += 1;
            } else {
                let node = self.expression(LOOSEST)?;
                let is_aliased = self.alias("as")?;
                columns.push(RawColumn { node, is_aliased });
            }
            if !self.take_symbol(",") {
                break;
            }
        }
        match (stars, columns.is_empty()) {
            (0, _) => Ok(RawList::Columns(columns)),
            (1, true) => Ok(RawList::Everything),
            _ => Err(malformed(
                "Other expressions may not be present in the select list when '*' is used without dot notation.",
            )),
        }
    }

    /// What stands behind `FROM` in a `SELECT` or before an update.
    fn sources(&mut self) -> Parse<RawSource> {
        let mut source = self.source()?;
        loop {
            let join = matches!(
                self.keyword_at(0),
                Some("join" | "inner" | "left" | "right" | "full" | "outer" | "cross" | "natural")
            );
            if join {
                return Err(ApiError::validation(ONE_SOURCE));
            }
            if !self.take_symbol(",") {
                return Ok(source);
            }
            self.source()?;
            source.is_joined = true;
        }
    }

    fn source(&mut self) -> Parse<RawSource> {
        let is_unpivoted = self.take_keyword("unpivot");
        let node = self.expression(WITHIN_SELECT)?;
        if is_unpivoted {
            return Err(ApiError::validation("Unexpected from source"));
        }
        let is_aliased = self.aliases()?;
        Ok(RawSource { node, is_aliased, is_joined: false })
    }

    /// `AS a`, `AT b`, `BY c`, each optional; true when there is any.
    fn aliases(&mut self) -> Parse<bool> {
        Ok(self.alias("as")? | self.alias("at")? | self.alias("by")?)
    }

    /// An alias, which `AS` need not introduce.
    fn alias(&mut self, word: &str) -> Parse<bool> {
        let is_introduced = self.take_keyword(word);
        let is_name = matches!(self.kind(), TokenKind::Name(_));
        match (is_introduced, is_name) {
            (true, false) => {
                Err(malformed(&format!("Expected identifier for {}-alias", word.to_uppercase())))
            }
            (true, true) => {
                self.advance(1);
                Ok(true)
            }
            (false, true) if word == "as" => {
                self.advance(1);
                Ok(true)
            }
            (false, _) => Ok(false),
        }
    }

    fn condition(&mut self, precedence: u8) -> Parse<Option<Node>> {
        match self.take_keyword("where") {
            true => self.expression(precedence).map(Some),
            false => Ok(None),
        }
    }

    fn order(&mut self) -> Parse<Vec<RawOrder>> {
        let mut order = Vec::new();
        if !self.take_keyword("order") {
            return Ok(order);
        }
        if !self.take_keyword("by") {
            return Err(malformed("Expected BY keyword"));
        }
        loop {
            let node = self.expression(LOOSEST)?;
            let is_descending = self.take_keyword("desc");
            if !is_descending {
                self.take_keyword("asc");
            }
            self.nulls()?;
            order.push(RawOrder { node, is_descending });
            if !self.take_symbol(",") {
                return Ok(order);
            }
        }
    }

    /// `NULLS FIRST` or `NULLS LAST`. No key attribute is ever null, so it says nothing.
    fn nulls(&mut self) -> Parse<()> {
        if !matches!(self.kind(), TokenKind::Name(name) if name.eq_ignore_ascii_case("nulls")) {
            return Ok(());
        }
        self.advance(1);
        match self.take_keyword("first") || self.take_keyword("last") {
            true => Ok(()),
            false => Err(malformed("Expected FIRST or LAST after NULLS")),
        }
    }

    /// `GROUP BY`, `HAVING` and `LIMIT`: read, and said not to be supported.
    fn unsupported_clause(&mut self) -> Parse<Option<String>> {
        let mut unsupported = None;
        let mut refuse = |words: String| {
            unsupported.get_or_insert(format!("Unsupported clause: {words}"));
        };
        if self.take_keyword("group") {
            self.take_keyword("partial");
            if !self.take_keyword("by") {
                return Err(malformed("Expected BY keyword"));
            }
            self.comma_list()?;
            refuse("GROUP BY".to_owned());
        }
        if self.take_keyword("having") {
            self.expression(WITHIN_SELECT)?;
            refuse("HAVING".to_owned());
        }
        if self.take_keyword("limit") {
            let limit = self.expression(WITHIN_SELECT)?;
            refuse(format!("LIMIT at {}", limit.span));
        }
        Ok(unsupported)
    }

    /// A table as the target of a write.
    fn target(&mut self) -> Parse<RawSource> {
        let node = self.path_term(PathKind::Simple)?;
        let is_aliased = self.aliases()?;
        Ok(RawSource { node, is_aliased, is_joined: false })
    }

    fn insert(&mut self, span: Span) -> Parse<Node> {
        self.advance(2);
        let node = self.path_term(PathKind::Simple)?;
        let target = RawSource { node, is_aliased: false, is_joined: false };
        let operation = match self.take_keyword("value") {
            true => {
                let value = self.expression(LOOSEST)?;
                let has_position = self.take_keyword("at");
                if has_position {
                    self.expression(LOOSEST)?;
                }
                RawOperation::Insert { value, has_position }
            }
            false => {
                // Rows between parentheses are as good as any other list of items.
                self.take_keyword("values");
                self.comma_list()?;
                RawOperation::InsertMany
            }
        };
        let returning = self.returning()?;
        let change = RawChange { target, operation, condition: None, returning };
        Ok(Node { span, kind: NodeKind::Change(Box::new(change)) })
    }

    fn update(&mut self, span: Span) -> Parse<Node> {
        self.advance(1);
        let target = self.target()?;
        let operation = self.actions()?;
        let condition = self.condition(LOOSEST)?;
        let returning = self.returning()?;
        let change = RawChange { target, operation, condition, returning };
        Ok(Node { span, kind: NodeKind::Change(Box::new(change)) })
    }

    /// `FROM … WHERE … SET …`: an update with its clauses in another order.
    fn update_from(&mut self, span: Span) -> Parse<Node> {
        self.advance(1);
        let target = self.sources()?;
        let condition = self.condition(LOOSEST)?;
        let operation = self.actions()?;
        let returning = self.returning()?;
        let change = RawChange { target, operation, condition, returning };
        Ok(Node { span, kind: NodeKind::Change(Box::new(change)) })
    }

    fn delete(&mut self, span: Span) -> Parse<Node> {
        self.advance(1);
        if !self.take_keyword("from") {
            return Err(malformed("Expected FROM after DELETE"));
        }
        let target = self.target()?;
        let condition = self.condition(LOOSEST)?;
        let returning = self.returning()?;
        let change = RawChange { target, operation: RawOperation::Delete, condition, returning };
        Ok(Node { span, kind: NodeKind::Change(Box::new(change)) })
    }

    fn actions(&mut self) -> Parse<RawOperation> {
        let mut actions = Vec::new();
        loop {
            if self.keyword_at(0) == Some("set") {
                actions.extend(self.assignments()?);
            } else if self.keyword_at(0) == Some("remove") {
                actions.push(self.removal()?);
            } else if self.keyword_at(0) == Some("insert") && self.keyword_at(1) == Some("into") {
                let span = self.span();
                self.insert(span)?;
                return Ok(RawOperation::InsertInto);
            } else if actions.is_empty() {
                return Err(malformed("Expected data manipulation"));
            } else {
                return Ok(RawOperation::Update(actions));
            }
        }
    }

    /// `REMOVE`, which is the next token, and its one path.
    fn removal(&mut self) -> Parse<RawAction> {
        self.advance(1);
        Ok(RawAction::Remove { target: self.path_term(PathKind::Simple)? })
    }

    /// `SET`, which is the next token, and its assignments.
    fn assignments(&mut self) -> Parse<Vec<RawAction>> {
        self.advance(1);
        let mut actions = Vec::new();
        loop {
            let target = self.path_term(PathKind::Simple)?;
            if !self.take_symbol("=") {
                return Err(malformed("Expected '='"));
            }
            let value = self.expression(LOOSEST)?;
            actions.push(RawAction::Set { target, value });
            if !self.take_symbol(",") {
                return Ok(actions);
            }
        }
    }

    fn returning(&mut self) -> Parse<Vec<RawReturning>> {
        let mut elements = Vec::new();
        if !self.take_keyword("returning") {
            return Ok(elements);
        }
        loop {
            let which = match (self.keyword_at(0), self.keyword_at(1)) {
                (Some("all"), Some("old")) => Returning::AllOld,
                (Some("all"), Some("new")) => Returning::AllNew,
                (Some("modified"), Some("old")) => Returning::ModifiedOld,
                (Some("modified"), Some("new")) => Returning::ModifiedNew,
                _ => return Err(malformed("Expected ( MODIFIED | ALL ) ( NEW | OLD )")),
            };
            self.advance(2);
            let is_everything = self.take_symbol("*");
            if !is_everything {
                self.expression(LOOSEST)?;
            }
            elements.push(RawReturning { which, is_everything });
            if !self.take_symbol(",") {
                return Ok(elements);
            }
        }
    }
}

/// The words for more than one table.
pub(in crate::model::partiql) const ONE_SOURCE: &str =
    "Only select from a single table or index is supported.";
