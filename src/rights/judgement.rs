//! The rights of one principal, and how a request is judged by them.

use super::action::{self, Action, Actions};
use super::asked::Asked;
use super::checks::{self, Check, Schemas, Wanted};
use super::condition::{Condition, Effect};
use super::context::{Context, Keys};
use super::denial::Denial;
use super::document::{Policy, ResourceTemplates, StatementTemplate};
use super::resource::{Place, Resource, ResourcePattern, Resources, Subject};
use super::truth::Truth;

/// What a principal may do: its policies, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Rights {
    user_name: Box<str>,
    /// What denies before what allows, and without conditions before with: the first that applies decides.
    statements: Box<[Statement]>,
    /// The condition keys that they ask for.
    keys: Keys,
    may_do_everything: bool,
}

/// A statement, compiled.
#[derive(Clone, Debug, PartialEq)]
struct Statement {
    effect: Effect,
    actions: Actions,
    resources: Resources,
    conditions: Box<[Condition]>,
}

/// What the statements say of one action on one resource.
enum Decision {
    Allowed,
    Denied {
        is_explicit: bool,
        unknown_table: Option<String>,
    },
    /// A statement that matters has conditions, and the request has not been read.
    Depends,
}

impl Rights {
    /// The rights that policies give together to the principal of that name, which is what `${aws:username}` stands for.
    /// Without policies, none.
    pub fn new<'p>(user_name: &str, policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let templates = policies.into_iter().flat_map(|policy| &policy.statements);
        let statements = templates.map(|template| Statement::of(template, user_name));
        let mut statements: Vec<Statement> = statements.filter(|statement| !statement.is_idle()).collect();
        statements
            .sort_by_key(|statement| (statement.effect == Effect::Allow, !statement.conditions.is_empty()));
        let may_do_everything = statements.iter().all(|statement| statement.effect == Effect::Allow)
            && statements.iter().any(Statement::allows_everything);
        let conditions = statements.iter().flat_map(|statement| &statement.conditions);
        let keys = Keys::of(conditions.map(Condition::key));
        Self { user_name: user_name.into(), statements: statements.into(), keys, may_do_everything }
    }

    /// True if nothing is denied, whatever is asked.
    #[inline]
    pub fn may_do_everything(&self) -> bool {
        self.may_do_everything
    }

    /// True if some action on items is allowed somewhere, whatever the conditions.
    pub fn allow_items(&self) -> bool {
        let mut allowing = self.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        allowing.any(|one| Action::of_items().any(|action| one.is_about(Wanted::Action(action))))
    }

    /// Judges a request. It takes no lock and never waits. Of a request to one table, only the names of table and index are read,
    /// unless a statement that matters has conditions.
    ///
    /// # Errors
    /// The [`Denial`], for a request that is not allowed or cannot be judged.
    #[inline]
    pub fn judge(&self, asked: &Asked<'_>, schemas: &dyn Schemas) -> Result<(), Box<Denial>> {
        if self.may_do_everything {
            return Ok(());
        }
        self.judge_by_statements(asked, schemas)
    }

    /// True if some action on items of the table, or of one of these indexes, may be allowed: conditions are left out. Whoever has no
    /// such right need not hear what the table's key is.
    pub fn reach<'t>(
        &self,
        place: &Place<'t>,
        table: &'t str,
        indexes: impl Iterator<Item = &'t str>,
    ) -> bool {
        self.may_do_everything
            || std::iter::once(None).chain(indexes.map(Some)).any(|index| {
                let resource = Resource::table(place, table, index);
                Action::of_items().any(|action| {
                    let decision = self.decide(Wanted::Action(action), resource, place, None);
                    matches!(decision, Decision::Allowed | Decision::Depends)
                })
            })
    }

    fn judge_by_statements(&self, asked: &Asked<'_>, schemas: &dyn Schemas) -> Result<(), Box<Denial>> {
        if let Some((action, names)) = checks::plain(asked) {
            let resource = Resource::table(&asked.place, names.table, names.index);
            let decision = self.decide(Wanted::Action(action), resource, &asked.place, None);
            match decision {
                Decision::Allowed => return Ok(()),
                Decision::Denied { .. } => {
                    let check = Check::unconditional(Wanted::Action(action), resource);
                    return Err(self.denial(asked, &check, decision));
                }
                Decision::Depends => {}
            }
        }
        checks::each(asked, self.keys, schemas, &mut |check| match self.decide(
            check.action,
            check.resource,
            &asked.place,
            Some(&*check.context),
        ) {
            Decision::Allowed => Ok(()),
            decision => Err(self.denial(asked, check, decision)),
        })
    }

    /// What the statements say of an action on a resource, and on its namesake at the node's own place if it has one.
    fn decide<'a>(
        &self,
        action: Wanted<'_>,
        resource: Resource<'a>,
        place: &Place<'a>,
        read_context: Option<&dyn Fn() -> Context>,
    ) -> Decision {
        match (self.decide_one(action, resource, read_context), resource.namesake(place)) {
            (Decision::Allowed, Some(namesake)) => self.decide_one(action, namesake, read_context),
            (decision, _) => decision,
        }
    }

    fn decide_one(
        &self,
        action: Wanted<'_>,
        resource: Resource<'_>,
        read_context: Option<&dyn Fn() -> Context>,
    ) -> Decision {
        let subject = Subject::of(resource);
        let mut context = None;
        for statement in self.statements.iter().filter(|statement| statement.is_about(action)) {
            let mut applies = statement.resources.contain(&subject);
            if applies == Truth::No {
                continue;
            }
            if !statement.conditions.is_empty() {
                let Some(read_context) = read_context else { return Decision::Depends };
                let context = context.get_or_insert_with(read_context);
                let conditions = statement.conditions.iter();
                let hold = conditions.map(|one| one.holds(context, statement.effect, &self.user_name));
                applies = hold.fold(applies, Truth::and);
            }
            match (statement.effect, applies) {
                (_, Truth::No) | (Effect::Allow, Truth::Unknown) => {}
                (Effect::Allow, Truth::Yes) => return Decision::Allowed,
                (Effect::Deny, _) => return denied(true, context),
            }
        }
        denied(false, context)
    }

    fn denial(&self, asked: &Asked<'_>, check: &Check<'_>, decision: Decision) -> Box<Denial> {
        let (is_explicit, unknown_table) = match decision {
            Decision::Denied { is_explicit, unknown_table } => (is_explicit, unknown_table),
            Decision::Allowed | Decision::Depends => (false, None),
        };
        Box::new(Denial {
            user_arn: asked.place.user_arn(&self.user_name),
            action: format!("{}{}", action::PREFIX, check.action.name()),
            resource: check.resource.to_string(),
            is_explicit,
            unknown_table,
        })
    }
}

fn denied(is_explicit: bool, context: Option<Context>) -> Decision {
    Decision::Denied { is_explicit, unknown_table: context.and_then(|context| context.unknown_table) }
}

impl Statement {
    fn of(template: &StatementTemplate, user_name: &str) -> Self {
        let StatementTemplate { effect, actions, resources, conditions } = template;
        let resources = match resources {
            ResourceTemplates::Patterns(patterns) => Resources::of(patterns.clone(), false),
            ResourceTemplates::Written { templates, is_complement } => {
                let patterns = templates.iter().filter_map(|one| ResourcePattern::of(one, user_name));
                Resources::of(patterns.collect(), *is_complement)
            }
        };
        let conditions = conditions.iter().map(|template| Condition::of(template, user_name));
        Self { effect: *effect, actions: actions.clone(), resources, conditions: conditions.collect() }
    }

    #[inline]
    fn is_about(&self, wanted: Wanted<'_>) -> bool {
        match wanted {
            Wanted::Action(action) => self.actions.contains(action),
            Wanted::Named(name) => self.actions.contains_name(name),
        }
    }

    /// True if it is about nothing of DynamoDB.
    fn is_idle(&self) -> bool {
        self.actions.is_empty() || self.resources.is_nothing()
    }

    fn allows_everything(&self) -> bool {
        self.effect == Effect::Allow
            && self.conditions.is_empty()
            && self.actions.is_everything()
            && self.resources.is_everything()
    }
}

impl Wanted<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Action(action) => Action::name(*action),
            Self::Named(name) => name,
        }
    }
}
