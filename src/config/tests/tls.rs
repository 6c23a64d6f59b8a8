//! The keys of `[server.tls]`, and the certificates of principals.

use super::*;

const PAIR: &str = "[server.tls]\ncert = \"a.pem\"\nkey = \"a.key\"\n";

#[test]
fn a_certificate_opens_a_second_listener_which_is_on_loopback_by_default() {
    let config = Config::parse(PAIR).unwrap();
    assert_eq!(config.fixed.tls_listen.as_ref().unwrap().to_string(), "127.0.0.1:8443");
    assert_eq!(config.fixed.listen, Config::default().fixed.listen);
    assert_eq!(config.live.tls.files().count(), 2);
    assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    assert_eq!(Config::default().fixed.tls_listen, None);
    // The files change with a reload, and whether there is such a listener with a restart.
    let other = Config::parse(&PAIR.replace("a.pem", "b.pem")).unwrap();
    assert!(config.needing_restart(&other).is_empty());
    assert_eq!(config.needing_restart(&Config::default()), ["server.tls.listen"]);
}

#[test]
fn half_a_pair_is_an_error() {
    for (text, missing) in [
        ("[server.tls]\n", "cert"),
        ("[server.tls]\ncert = \"a\"\n", "key"),
        ("[server.tls]\nkey = \"a\"\n", "cert"),
        ("[server.tls]\nlisten = \"localhost:1\"\n", "cert"),
    ] {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line 1: server.tls.{missing} is missing")), "{error}");
    }
}

#[test]
fn off_loopback_clients_are_verified_one_way_or_the_other_or_the_operator_consents() {
    let open = format!("{PAIR}listen = \"0.0.0.0:8443\"\n");
    let error = Config::parse(&open).unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:8443 is off loopback and callers are not verified"), "{error}");
    assert!(Config::parse(&format!("{open}client_ca = \"ca.pem\"\n")).is_ok());
    let key = "[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = \"s\"\n";
    assert!(Config::parse(&format!("{open}[auth]\nmode = \"sigv4\"\n{key}")).is_ok());
    // A certificate verifies nobody at the other listener.
    let plain = format!("{open}client_ca = \"ca.pem\"\n[server]\nlisten = \":8000\"\n");
    assert!(Config::parse(&plain).unwrap_err().to_string().contains(":8000 is off loopback"));
}

#[test]
fn no_two_listeners_share_a_port() {
    for (listen, other) in [("127.0.0.1:8000", "server"), ("127.0.0.1:8100", "admin")] {
        let error = Config::parse(&format!("{PAIR}listen = \"{listen}\"\n")).unwrap_err().to_string();
        assert!(error.contains(&format!("{other}.listen = \"{listen}\" and server.tls.listen")), "{error}");
    }
    let itself = format!("{PAIR}[upstream]\nendpoint = \"https://localhost:8443\"\n");
    assert!(Config::parse(&itself).unwrap_err().to_string().contains("is this node itself"));
}

#[test]
fn a_principal_with_a_certificate_needs_no_key_but_an_authority() {
    let principal = "[[auth.principals]]\nname = \"shop\"\ncertificate = \"CN=shop\"\n";
    let mode = "[auth]\nmode = \"sigv4\"\n";
    let authority = "client_ca = \"ca.pem\"\n";
    let config = Config::parse(&format!("{PAIR}{authority}{mode}{principal}")).unwrap();
    let name = config.live.callers.principals[0].certificate.as_ref().unwrap();
    assert_eq!(name.to_string(), "CN=shop");
    assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    let error = |text: &str| Config::parse(text).unwrap_err().to_string();
    let without = error(&format!("{PAIR}{mode}{principal}"));
    assert!(
        without
            .contains("line 6: auth.principals: the certificate of the principal \"shop\" needs client_ca"),
        "{without}"
    );
    let twice =
        error(&format!("{PAIR}{authority}{mode}{principal}{}", principal.replace("\"shop\"", "\"b\"")));
    assert!(
        twice.contains("the certificate of the principal \"b\" is that of another one already, at line 7"),
        "{twice}"
    );
    let wrong = error(&format!("{PAIR}{authority}{mode}{}", principal.replace("CN=", "")));
    assert!(wrong.contains("is not a name of a certificate"), "{wrong}");
}
