//! The keys of `[auth]`, `[[auth.keys]]` and `[[auth.principals]]`.

use super::super::callers::{
    self, CallerPrincipal, SecretPlace, ShortRights, WrittenRights, session_token, variable_name,
};
use super::super::fixed::AuthMode;
use super::super::key::Key;
use super::super::live::Audit;
use super::super::role::{external_id, role_arn};
use super::{list, path, put, quoted, word};

const AUTH_MODE: &[(&str, AuthMode)] = &[("none", AuthMode::None), ("sigv4", AuthMode::SigV4)];

const AUDIT: &[(&str, Audit)] = &[("off", Audit::Off), ("denied", Audit::Denied), ("all", Audit::All)];

pub(super) const AUTH: &[Key] = &[
    Key::fixed(
        "mode",
        |draft, given| put(&mut draft.fixed.auth_mode, given.choice(AUTH_MODE)),
        |fixed| word(AUTH_MODE, &fixed.auth_mode),
    ),
    Key::fixed(
        "account",
        |draft, given| {
            put(&mut draft.fixed.auth_account, given.string().and_then(callers::account).map(Some))
        },
        |fixed| fixed.auth_account.as_ref().and_then(quoted),
    ),
    Key::live(
        "audit",
        |live, given| put(&mut live.audit, given.choice(AUDIT)),
        |live| word(AUDIT, &live.audit),
    ),
];

pub(super) const AUTH_KEYS: &[Key] = &[
    Key::of_caller(
        "access_key_id",
        |draft, given| put(&mut draft.access_key_id, given.string().and_then(callers::name).map(Some)),
        |key| quoted(&key.access_key_id),
    ),
    Key::of_caller(
        "secret_file",
        |draft, given| put(&mut draft.secret_file, given.path().map(Some)),
        |key| match &key.secret {
            SecretPlace::File(file) => path(file),
            SecretPlace::Variable(_) => None,
        },
    ),
    Key::of_caller(
        "secret_env",
        |draft, given| put(&mut draft.secret_env, given.string().and_then(variable_name).map(Some)),
        |key| match &key.secret {
            SecretPlace::File(_) => None,
            SecretPlace::Variable(name) => quoted(name),
        },
    ),
    Key::of_caller(
        "session_token",
        |draft, given| put(&mut draft.session_token, given.secret(session_token).map(Some)),
        // Not to be printed: `printing` says that it is there.
        |_| None,
    ),
    Key::of_caller(
        "principal",
        |draft, given| put(&mut draft.principal, given.string().and_then(callers::name).map(Some)),
        |key| quoted(&key.principal),
    ),
    Key::of_caller(
        "not_after",
        |draft, given| put(&mut draft.not_after, given.time().map(Some)),
        |key| key.not_after.and_then(|time| quoted(time.rfc3339())),
    ),
    Key::of_caller(
        "tables",
        |draft, given| put(&mut draft.rights.tables, given.texts("\"Orders\"").map(Some)),
        |key| key.rights.as_ref().and_then(|rights| list(&rights.tables)),
    ),
    Key::of_caller(
        "indexes",
        |draft, given| put(&mut draft.rights.indexes, given.texts("\"byStatus\"").map(Some)),
        |key| key.rights.as_ref().and_then(|rights| list(rights.indexes.as_ref()?)),
    ),
    Key::of_caller(
        "actions",
        |draft, given| put(&mut draft.rights.actions, given.texts("\"GetItem\"").map(Some)),
        |key| key.rights.as_ref().and_then(|rights| list(&rights.actions)),
    ),
    Key::of_caller(
        "leading_keys",
        |draft, given| put(&mut draft.rights.leading_keys, given.texts("\"tenant-1\"").map(Some)),
        |key| key.rights.as_ref().and_then(|rights| list(rights.leading_keys.as_ref()?)),
    ),
    Key::of_caller(
        "attributes",
        |draft, given| put(&mut draft.rights.attributes, given.texts("\"id\"").map(Some)),
        |key| key.rights.as_ref().and_then(|rights| list(rights.attributes.as_ref()?)),
    ),
    Key::of_caller(
        "role_arn",
        |draft, given| put(&mut draft.role.arn, given.string().and_then(role_arn).map(Some)),
        |key| key.role.as_ref().and_then(|role| quoted(&role.arn)),
    ),
    Key::of_caller(
        "external_id",
        |draft, given| put(&mut draft.role.external_id, given.string().and_then(external_id).map(Some)),
        |key| key.role.as_ref().and_then(|role| quoted(role.external_id.as_ref()?)),
    ),
];

pub(super) const AUTH_PRINCIPALS: &[Key] = &[
    Key::of_principal(
        "name",
        |draft, given| put(&mut draft.name, given.string().and_then(callers::name).map(Some)),
        |principal| quoted(&principal.name),
    ),
    Key::of_principal(
        "certificate",
        |draft, given| put(&mut draft.certificate, given.parsed().map(Some)),
        |principal| principal.certificate.as_ref().and_then(quoted),
    ),
    Key::of_principal(
        "policy_file",
        |draft, given| put(&mut draft.policy_file, given.path().map(Some)),
        |principal| match &principal.rights {
            WrittenRights::PolicyFile(file) => path(file),
            WrittenRights::Nothing | WrittenRights::Short(_) => None,
        },
    ),
    Key::of_principal(
        "tables",
        |draft, given| put(&mut draft.rights.tables, given.texts("\"Orders\"").map(Some)),
        |principal| short(principal).and_then(|rights| list(&rights.tables)),
    ),
    Key::of_principal(
        "indexes",
        |draft, given| put(&mut draft.rights.indexes, given.texts("\"byStatus\"").map(Some)),
        |principal| short(principal).and_then(|rights| list(rights.indexes.as_ref()?)),
    ),
    Key::of_principal(
        "actions",
        |draft, given| put(&mut draft.rights.actions, given.texts("\"GetItem\"").map(Some)),
        |principal| short(principal).and_then(|rights| list(&rights.actions)),
    ),
    Key::of_principal(
        "leading_keys",
        |draft, given| put(&mut draft.rights.leading_keys, given.texts("\"tenant-1\"").map(Some)),
        |principal| short(principal).and_then(|rights| list(rights.leading_keys.as_ref()?)),
    ),
    Key::of_principal(
        "attributes",
        |draft, given| put(&mut draft.rights.attributes, given.texts("\"id\"").map(Some)),
        |principal| short(principal).and_then(|rights| list(rights.attributes.as_ref()?)),
    ),
    Key::of_principal(
        "role_arn",
        |draft, given| put(&mut draft.role.arn, given.string().and_then(role_arn).map(Some)),
        |principal| principal.role.as_ref().and_then(|role| quoted(&role.arn)),
    ),
    Key::of_principal(
        "external_id",
        |draft, given| put(&mut draft.role.external_id, given.string().and_then(external_id).map(Some)),
        |principal| principal.role.as_ref().and_then(|role| quoted(role.external_id.as_ref()?)),
    ),
];

/// The lists of a principal's rights, if it has any.
fn short(principal: &CallerPrincipal) -> Option<&ShortRights> {
    match &principal.rights {
        WrittenRights::Short(rights) => Some(rights),
        WrittenRights::Nothing | WrittenRights::PolicyFile(_) => None,
    }
}
