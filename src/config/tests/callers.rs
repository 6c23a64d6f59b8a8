//! The keys and principals of `[auth]`.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::config::{Rights, SecretPlace, ShortRights, WrittenRights};

const TWO_KEYS: &str = "[auth]\nmode = \"sigv4\"\n[[auth.keys]]\naccess_key_id = \"AKIA1\"\nsecret_file = \"/s1\"\nprincipal = \"shop\"\n\
    not_after = 2026-12-31T23:59:59+01:00\n[[auth.keys]]\naccess_key_id = \"AKIA2\"\nsecret_env = \"SHOP_SECRET\"\nprincipal = \"shop\"\n\
    session_token = \"t0ken\"\n[[auth.principals]]\nname = \"shop\"\ntables = [\"Orders\", \"Carts\"]\n\
    actions = [\"dynamodb:GetItem\"]\nleading_keys = [\"tenant-1\"]\n";

#[test]
fn a_principal_has_several_keys_and_one_set_of_rights() {
    let config = Config::parse(TWO_KEYS).unwrap();
    let callers = &config.live.callers;
    let [first, second] = &callers.keys[..] else { panic!("{callers:?}") };
    assert_eq!((first.access_key_id.as_str(), first.principal.as_str()), ("AKIA1", "shop"));
    assert_eq!(first.secret, SecretPlace::File("/s1".into()));
    assert_eq!(first.not_after.unwrap().rfc3339(), "2026-12-31T22:59:59Z");
    assert_eq!(second.secret, SecretPlace::Variable("SHOP_SECRET".to_owned()));
    assert_eq!(second.session_token.as_ref().unwrap().expose(), b"t0ken");
    let WrittenRights::Short(rights) = &callers.principals[0].rights else { panic!("{callers:?}") };
    assert_eq!(rights.tables, ["Orders", "Carts"]);
    assert_eq!(
        (rights.leading_keys.as_deref(), &rights.attributes),
        (Some(&["tenant-1".to_owned()][..]), &None)
    );
    assert_eq!(callers.files().collect::<Vec<_>>(), [std::path::Path::new("/s1")]);
    let named_by_its_key = "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = \"s\"";
    assert_eq!(Config::parse(named_by_its_key).unwrap().live.callers.keys[0].principal, "a");
    // A time in quotes is one, too.
    let quoted = format!("{named_by_its_key}\nnot_after = \"2026-12-31T23:59:59Z\"");
    assert_eq!(
        Config::parse(&quoted).unwrap().live.callers.keys[0].not_after.unwrap().rfc3339(),
        "2026-12-31T23:59:59Z"
    );
}

#[test]
fn what_is_printed_of_callers_reads_back_the_same_and_shows_no_token() {
    let config = Config::parse(TWO_KEYS).unwrap();
    let printed = config.to_string();
    assert!(
        !printed.contains("t0ken") && printed.contains("# session_token is set, and not shown"),
        "{printed}"
    );
    let mut back = Config::parse(&printed).unwrap();
    back.live.callers.keys[1].session_token = config.live.callers.keys[1].session_token.clone();
    assert_eq!(back, config);
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn a_key_or_principal_with_a_fault_is_one_line_with_its_place() {
    let key = "[[auth.keys]]\naccess_key_id = \"a\"\n";
    let full = format!("{key}secret_file = \"s\"\n");
    for (text, words) in [
        (
            "[auth]\nmode = \"sigv4\"".to_owned(),
            "line 2: auth.mode = \"sigv4\" needs a key; write [[auth.keys]]",
        ),
        (
            "[auth]\nmode = \"sig4\"".to_owned(),
            "line 2: auth.mode: \"sig4\" is not a choice; write one of \"none\", \"sigv4\"",
        ),
        (key.to_owned(), "line 1: auth.keys: the key \"a\" has no secret; write secret_file"),
        (
            format!("{full}secret_env = \"S\""),
            "line 1: auth.keys: the key \"a\" has secret_file and secret_env; leave one",
        ),
        (format!("{full}[[auth.keys]]\nsecret_file = \"s\""), "line 4: auth.keys.access_key_id is missing"),
        (format!("{full}{full}"), "line 4: auth.keys: the access key id \"a\" stands already at line 1"),
        (
            format!("{full}secret_fil = \"s\""),
            "line 4: unknown key \"secret_fil\"; the nearest known one is \"secret_file\"",
        ),
        (format!("{full}principal = \"a b\""), "line 4: auth.keys.principal: \"a b\" is not a name"),
        (format!("{full}not_after = 2026-12-31"), "line 4: auth.keys.not_after: 2026-12-31 is not a time"),
        (
            format!("{full}not_after = \"soon\""),
            "line 4: auth.keys.not_after: \"soon\" is not a time; write one such as",
        ),
        (
            format!("{full}not_after = 2026-12-31T00:00:00"),
            "line 4: auth.keys.not_after: 2026-12-31T00:00:00 is not a time",
        ),
        (
            format!("{full}secret_env = \"$S\""),
            "line 4: auth.keys.secret_env: \"$S\" is not the name of a variable",
        ),
        (
            format!("{full}session_token = \"a b\""),
            "line 4: auth.keys.session_token: a session token is one word",
        ),
        (format!("{full}session_token = 1"), "line 4: auth.keys.session_token: must be a text in quotes"),
        (format!("{full}tables = [\"T\"]"), "line 1: auth.keys: tables stands without actions"),
        (format!("{full}leading_keys = [\"T\"]"), "line 1: auth.keys: leading_keys stands without tables"),
        (format!("{full}tables = []\nactions = [\"*\"]"), "line 1: auth.keys: tables = [] allows nothing"),
        (format!("{full}tables = [\"\"]\nactions = [\"*\"]"), "line 4: auth.keys.tables: \"\" is empty"),
        (
            format!("{full}tables = [\"T\"]\nactions = [\"*\"]\n[[auth.principals]]\nname = \"a\""),
            "line 1: auth.keys: the rights of the principal \"a\" stand already at line 6; write them once",
        ),
        (
            "[[auth.principals]]\nname = \"p\"\n[[auth.principals]]\nname = \"p\"".to_owned(),
            "line 3: auth.principals: the principal \"p\" has a section already, at line 1",
        ),
        (
            "[[auth.principals]]\nname = \"p\"\npolicy_file = \"f\"\ntables = [\"T\"]\nactions = [\"*\"]"
                .to_owned(),
            "line 1: auth.principals: the principal \"p\" has policy_file and lists of rights",
        ),
        (
            "[auth.keys]\naccess_key_id = \"a\"".to_owned(),
            "auth.keys is a list; write [[auth.keys]] and its keys below",
        ),
    ] {
        let error = error(&text);
        assert!(error.contains(words) && error.lines().count() == 1, "{text}\n{error}");
    }
}

/// A key with a role, before a remote upstream.
#[cfg(feature = "aws-credentials")]
fn with_role(more: &str) -> String {
    format!(
        "[upstream]\nkind = \"aws\"\nregion = \"eu-west-1\"\n[[auth.keys]]\naccess_key_id = \"a\"\nsecret_env = \"SHOP_SECRET\"\n\
         role_arn = \"arn:aws:iam::123456789012:role/x/shop\"\n{more}"
    )
}

#[cfg(feature = "aws-credentials")]
#[test]
fn a_role_stands_with_a_key_or_with_the_principal() {
    let text = with_role(
        "external_id = \"id-1\"\n[[auth.principals]]\nname = \"p\"\nrole_arn = \"arn:aws:iam::123456789012:role/p\"",
    );
    let config = Config::parse(&text).unwrap();
    let role = config.live.callers.keys[0].role.clone().unwrap();
    assert_eq!((role.account(), role.external_id.as_deref()), ("123456789012", Some("id-1")));
    assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    let text = format!(
        "{text}\n[[auth.keys]]\naccess_key_id = \"b\"\nsecret_env = \"SHOP_SECRET\"\nprincipal = \"p\""
    );
    let keys = load(&text.replace("[upstream]", "account = \"123456789012\"\n[upstream]")).unwrap().keys;
    let roles: Vec<_> = keys.iter().map(|key| key.principal.role.as_deref().unwrap()).collect();
    assert_eq!((&*roles[0].principal, roles[0].external_id.as_deref()), ("a", Some("id-1")));
    assert_eq!((&*roles[1].principal, &*roles[1].arn), ("p", "arn:aws:iam::123456789012:role/p"));
}

#[cfg(feature = "aws-credentials")]
#[test]
fn a_role_that_cannot_be_meant_is_one_line_with_its_place() {
    let other = |account: &str, name: &str| {
        format!("[[auth.principals]]\nname = \"{name}\"\nrole_arn = \"arn:aws:iam::{account}:role/p\"")
    };
    for (text, words) in [
        (
            with_role("").replace("kind = \"aws\"", "kind = \"local\""),
            "line 4: role_arn needs a remote upstream, and the local backend knows no roles",
        ),
        (
            with_role("").replace("role/x", "user/x"),
            "line 7: auth.keys.role_arn: \"arn:aws:iam::123456789012:user/x/shop\" is not",
        ),
        (with_role("").replace("iam::123456789012", "sts::1"), "line 7: auth.keys.role_arn: "),
        (with_role("").replace(":role/x/shop", ":role/"), "line 7: auth.keys.role_arn: "),
        (with_role("external_id = \"a b\""), "line 8: auth.keys.external_id: \"a b\" is not an external id"),
        (
            with_role("[[auth.principals]]\nname = \"p\"\nexternal_id = \"abc\""),
            "line 8: auth.principals: external_id stands without role_arn",
        ),
        (
            with_role(&other("123456789012", "a")),
            "line 4: the role of the principal \"a\" stands already at line 8; write it once",
        ),
        (
            with_role(&other("210987654321", "p")),
            "line 4: role_arn: the account \"123456789012\" is not that of the role at line 8, \"210987654321\"",
        ),
        (
            format!("[auth]\naccount = \"210987654321\"\n{}", with_role("")),
            "line 6: role_arn: the account \"123456789012\" is not auth.account = \"210987654321\"",
        ),
    ] {
        let error = error(&text);
        assert!(error.contains(words) && error.lines().count() == 1, "{text}\n{error}");
    }
}

#[cfg(not(feature = "aws-credentials"))]
#[test]
fn a_build_that_can_assume_no_role_says_so() {
    let text = "[[auth.principals]]\nname = \"p\"\nrole_arn = \"arn:aws:iam::123456789012:role/p\"";
    assert!(error(text).contains("line 3: auth.principals.role_arn: this build assumes no roles"));
}

#[test]
fn verified_callers_may_come_from_beyond_this_machine() {
    let listening = |mode: &str| {
        let key = "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = \"s\"";
        Config::parse(&format!("[server]\nlisten = \"0.0.0.0:8000\"\n[auth]\nmode = \"{mode}\"\n{key}"))
    };
    assert!(listening("sigv4").is_ok());
    assert!(listening("none").unwrap_err().to_string().contains("--i-accept-unauthenticated"));
    // Monitors are not verified.
    let admin = format!("{TWO_KEYS}[admin]\nlisten = \"0.0.0.0:8100\"");
    assert!(error(&admin).contains("--i-accept-unauthenticated"));
}

#[test]
fn lists_have_no_variables_and_those_that_hold_secrets_are_known() {
    let variables =
        [("NEARSIDE_AUTH_KEYS_SECRET_FILE", "a"), ("NEARSIDE_SHOP", "s"), ("NEARSIDE_AUTH_MODE", "sigv4")];
    let text = "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_env = \"NEARSIDE_SHOP\"";
    let resolved = resolve(text, &variables, &[]).unwrap();
    let unknown: Vec<_> = resolved.unknown_variables.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(unknown, ["NEARSIDE_AUTH_KEYS_SECRET_FILE"]);
    let without_effect = resolve(text, &[], &[]).unwrap().warnings();
    assert_eq!(
        without_effect,
        ["line 1: [[auth.keys]] has no effect with auth.mode = \"none\"; write mode = \"sigv4\""]
    );
}

/// A directory with files that only we may read.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn load(text: &str) -> Result<crate::config::LoadedCallers, String> {
    let text = format!("[auth]\nmode = \"sigv4\"\n{text}");
    let variable = |name: &str| (name == "SHOP_SECRET").then(|| "0123456789abcdef".to_owned());
    resolve(&text, &[], &[]).unwrap().load_callers(variable).map_err(|error| error.to_string())
}

#[test]
fn secrets_and_policies_are_read_from_where_they_are() {
    let files = Files::new();
    let secret = files.with("secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n", 0o600);
    let policy = files.with("policy.json", "{\"Statement\":[]}", 0o644);
    let loaded = load(&format!(
        "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = {secret:?}\nprincipal = \"p\"\n[[auth.keys]]\naccess_key_id = \"b\"\n\
         secret_env = \"SHOP_SECRET\"\nprincipal = \"p\"\n[[auth.keys]]\naccess_key_id = \"c\"\nsecret_env = \"SHOP_SECRET\"\n\
         tables = [\"*\"]\nactions = [\"*\"]\n[[auth.principals]]\nname = \"p\"\npolicy_file = {policy:?}"
    ))
    .unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let [a, b, c] = &loaded.keys[..] else { panic!("{loaded:?}") };
    assert_eq!(a.secret.expose(), b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_eq!(b.secret.expose(), b"0123456789abcdef");
    assert_eq!(a.principal, b.principal);
    assert_eq!(a.principal.rights, Rights::Policy { file: policy, text: "{\"Statement\":[]}".to_owned() });
    let Rights::Short { lists: ShortRights { tables, .. }, places } = &c.principal.rights else {
        panic!("{c:?}")
    };
    assert_eq!(tables, &["*"]);
    assert_eq!(places.fault("actions", "no").to_string(), "line 15: auth.keys.actions: no");
    assert_eq!(places.fault("indexes", "no").to_string(), "line 11: auth.keys.indexes: no");
    assert!(!format!("{loaded:?}").contains("wJalr"));
}

#[test]
fn a_secret_that_is_missing_or_empty_is_named_with_the_place_of_its_key() {
    let files = Files::new();
    let (empty, words) = (files.with("empty", "\n", 0o600), files.with("words", "two words\n", 0o600));
    let none = files.0.path().join("none");
    let fault = |source: String| {
        let error = load(&format!("[[auth.keys]]\naccess_key_id = \"a\"\n{source}")).unwrap_err();
        assert!(error.starts_with("line 3: auth.") && error.lines().count() == 1, "{error}");
        error
    };
    assert!(fault(format!("secret_file = {none:?}")).contains("/none: No such file"));
    assert!(
        fault(format!("secret_file = {empty:?}"))
            .contains("/empty is empty; write the secret access key of \"a\"")
    );
    assert!(fault(format!("secret_file = {words:?}")).contains("/words is not one word in ASCII"));
    assert!(fault(format!("secret_file = {:?}", files.0.path())).contains("is not a regular file"));
    assert!(fault("secret_env = \"NONE\"".to_owned()).contains("secret_env: the variable NONE is not set"));
    let policy = format!("[[auth.principals]]\nname = \"a\"\npolicy_file = {none:?}\n");
    let key = "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_env = \"SHOP_SECRET\"";
    let error = load(&format!("{policy}{key}")).unwrap_err();
    assert!(
        error.starts_with("line 3: auth.principals.policy_file: cannot read")
            && error.contains("No such file")
    );
    let both = load(&format!("{policy}{key}\n[[auth.keys]]\naccess_key_id = \"b\"\nsecret_env = \"NONE\""))
        .unwrap_err();
    assert_eq!(both.lines().count(), 2, "{both}");
    // Nobody is asked for secrets that are not needed.
    let unused = resolve("[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = \"/none\"", &[], &[]).unwrap();
    assert!(unused.load_callers(|_| None).is_ok());
}

#[test]
fn open_files_short_secrets_and_principals_without_rights_or_keys_are_warnings() {
    let files = Files::new();
    let secret = files.with("secret", "short", 0o644);
    let loaded = load(&format!(
        "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = {secret:?}\n[[auth.principals]]\nname = \"nobody\""
    ));
    let warnings = loaded.unwrap().warnings;
    let about =
        |words: &str| assert!(warnings.iter().any(|warning| warning.contains(words)), "{warnings:#?}");
    about("secret is open to other users (mode 0644); run: chmod 600 ");
    about("the secret of \"a\" has fewer than 16 characters");
    about("the principal \"nobody\" of [auth.principals] has no key");
    about("the principal \"a\" has no rights, so all that it asks is denied");
    assert_eq!(warnings.len(), 4);
    assert!(!warnings.concat().contains("short\""));
}
