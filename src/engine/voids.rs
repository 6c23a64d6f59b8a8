//! Voids wider than a key: what DDL, statements and writes that we cannot read take out of the cache.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::CachedTable;
use crate::model::arn::table_name;

use super::Engine;

/// The most tables of one request that are told apart. No request that the service takes writes to more; one that names more
/// has all voided, rather than costing time, memory and a question to the upstream for each.
pub(super) const TABLES_MAX: usize = 100;

/// Which tables something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VoidScope {
    /// None.
    Nothing,
    /// These, by name.
    Tables(Vec<Arc<str>>),
    /// Any.
    Everything,
}

impl VoidScope {
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

/// A change of a whole scope in flight. Settled, it invalidates the scope; dropped without a word, the outcome is unknown: then
/// nothing of the scope is kept until the change can land no longer.
pub(super) struct VoidGuard {
    engine: Arc<Engine>,
    scope: VoidScope,
    /// The tables of the scope that were used before.
    tables: Vec<Arc<CachedTable>>,
}

impl VoidGuard {
    /// The change has happened or may have.
    pub(super) fn settle(mut self) {
        let scope = std::mem::replace(&mut self.scope, VoidScope::Nothing);
        self.engine.void(&scope);
    }

    /// The change has certainly not happened.
    pub(super) fn spare(mut self) {
        self.scope = VoidScope::Nothing;
    }
}

impl Drop for VoidGuard {
    fn drop(&mut self) {
        if self.scope != VoidScope::Nothing {
            self.engine.hold(&self.scope);
        }
        // After everything is invalidated or held: whoever finds the change gone finds that too.
        self.tables.iter().for_each(|table| table.end_wide_change());
    }
}

impl Engine {
    /// Begins a change of a whole scope.
    pub(super) fn begin_void(self: &Arc<Self>, scope: VoidScope) -> VoidGuard {
        let tables = self.tables_of(&scope);
        tables.iter().for_each(|table| table.begin_wide_change());
        if !self.hears_changes {
            // Invalidated now as well: from here on a replica may show the change or not, so reads of the scope must be strong.
            self.void(&scope);
        }
        VoidGuard { engine: Arc::clone(self), scope, tables }
    }

    fn tables_of(&self, scope: &VoidScope) -> Vec<Arc<CachedTable>> {
        match scope {
            VoidScope::Nothing => Vec::new(),
            VoidScope::Tables(names) => {
                names.iter().flat_map(|name| self.cache.tables_named(self.realm, name)).collect()
            }
            VoidScope::Everything => self.cache.tables_of(self.realm),
        }
    }

    /// Keeps nothing of a scope while a change of unknown outcome may still land in it, and invalidates it at the end.
    fn hold(self: &Arc<Self>, scope: &VoidScope) {
        let now = Instant::now();
        match scope {
            VoidScope::Nothing => return,
            VoidScope::Tables(names) => {
                names.iter().for_each(|name| self.cache.hold_tables(self.realm, Some(name), now));
            }
            VoidScope::Everything => self.cache.hold_tables(self.realm, None, now),
        }
        let (engine, scope) = (Arc::clone(self), scope.clone());
        let (window, closing) = (self.cache.unknown_write_window(), self.closing.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(window) => engine.void(&scope),
                () = closing.cancelled() => {}
            }
        });
    }

    /// Voids a scope now.
    pub(super) fn void(&self, scope: &VoidScope) {
        match scope {
            VoidScope::Nothing => {}
            VoidScope::Tables(names) => {
                names.iter().for_each(|name| self.cache.void_named(self.realm, name, Instant::now()))
            }
            VoidScope::Everything => self.cache.void_all(self.realm, Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_only_widen() {
        let mut scope = VoidScope::Nothing;
        scope.widen(VoidScope::named("a"));
        scope.widen(VoidScope::named("arn:aws:dynamodb:us-east-1:0:table/b"));
        scope.widen(VoidScope::named("a"));
        assert_eq!(scope, VoidScope::Tables(vec!["a".into(), "b".into()]));
        scope.widen(VoidScope::Nothing);
        scope.widen(VoidScope::Everything);
        scope.widen(VoidScope::named("c"));
        assert_eq!(scope, VoidScope::Everything);
    }

    #[test]
    fn what_names_more_tables_than_any_request_may_is_everything() {
        let mut scope = VoidScope::Nothing;
        (0..TABLES_MAX).for_each(|number| scope.widen(VoidScope::named(&number.to_string())));
        assert!(matches!(&scope, VoidScope::Tables(tables) if tables.len() == TABLES_MAX));
        scope.widen(VoidScope::named("0"));
        assert_ne!(scope, VoidScope::Everything);
        scope.widen(VoidScope::named("one more"));
        assert_eq!(scope, VoidScope::Everything);
    }
}
