//! Which tables a request may change: of DDL, of statements, and of writes whose keys cannot be read.

use std::sync::Arc;

use crate::model::arn::table_name;
use crate::wire::named::{Named, TABLES_MAX};

/// Which tables something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// None.
    Nothing,
    /// These, by name.
    Tables(Vec<Arc<str>>),
    /// Any.
    Everything,
}

impl Scope {
    /// The table that a name or an ARN names.
    pub(super) fn named(spelling: &str) -> Self {
        Self::Tables(vec![table_name(spelling).into()])
    }

    /// Adds another scope to this one.
    pub(super) fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Everything, _) | (_, Self::Nothing) => {}
            (Self::Tables(tables), Self::Tables(more)) => {
                for table in more {
                    if !tables.contains(&table) {
                        tables.push(table);
                    }
                }
                if tables.len() > TABLES_MAX {
                    *self = Self::Everything;
                }
            }
            (_, other) => *self = other,
        }
    }
}

impl From<Named<'_>> for Scope {
    fn from(named: Named<'_>) -> Self {
        let mut scope = Self::Nothing;
        match named {
            Named::None => {}
            Named::One(name) => scope.widen(Self::named(&name)),
            Named::Several(names) => names.iter().for_each(|name| scope.widen(Self::named(name))),
            Named::Unreadable => scope = Self::Everything,
        }
        scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_only_widen() {
        let mut scope = Scope::Nothing;
        scope.widen(Scope::named("a"));
        scope.widen(Scope::named("arn:aws:dynamodb:us-east-1:0:table/b"));
        scope.widen(Scope::named("a"));
        assert_eq!(scope, Scope::Tables(vec!["a".into(), "b".into()]));
        scope.widen(Scope::Nothing);
        scope.widen(Scope::Everything);
        scope.widen(Scope::named("c"));
        assert_eq!(scope, Scope::Everything);
    }

    #[test]
    fn what_names_more_tables_than_any_request_may_is_everything() {
        let mut scope = Scope::Nothing;
        (0..TABLES_MAX).for_each(|number| scope.widen(Scope::named(&number.to_string())));
        assert!(matches!(&scope, Scope::Tables(tables) if tables.len() == TABLES_MAX));
        scope.widen(Scope::named("0"));
        assert_ne!(scope, Scope::Everything);
        scope.widen(Scope::named("one more"));
        assert_eq!(scope, Scope::Everything);
    }
}
