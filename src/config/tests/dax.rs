//! The keys of `[dax]`.

use super::*;

const ON: &str = "[dax]\nlisten = \"127.0.0.1:8111\"\n";
const PAIR: &str = "[server.tls]\ncert = \"a.pem\"\nkey = \"a.key\"\n";

fn faults(text: &str) -> String {
    Config::parse(text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn there_is_no_dax_listener_unless_somebody_wants_one() {
    assert!(!Config::default().fixed.dax.is_on());
    let config = Config::parse(ON).unwrap();
    assert!(config.fixed.dax.is_on());
    assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    assert_eq!(Config::default().needing_restart(&config), ["dax.listen"]);
    let flags = [("dax-listen", "localhost:8111"), ("dax-advertise", "10.0.0.7:18111,[2001:db8::7]:18111")];
    let flagged = resolve("", &[("NEARSIDE_DAX_STATE", "/var/lib/lists")], &flags).unwrap().config.fixed.dax;
    assert_eq!(flagged.listen.unwrap().to_string(), "localhost:8111");
    let advertised: Vec<_> = flagged.advertise.iter().map(ToString::to_string).collect();
    assert_eq!(advertised, ["10.0.0.7:18111", "[2001:db8::7]:18111"]);
    assert_eq!(flagged.state.unwrap(), std::path::Path::new("/var/lib/lists"));
}

#[test]
fn a_dax_listener_off_loopback_verifies_its_callers_or_the_operator_consents() {
    let open = "[dax]\nlisten = \":8111\"\n";
    let words = "line 2: :8111 is off loopback and callers are not verified";
    assert!(faults(open).starts_with(words), "{}", faults(open));
    let key = "[auth]\nmode = \"sigv4\"\n[[auth.keys]]\naccess_key_id = \"a\"\nsecret_file = \"s\"\n";
    assert_eq!(faults(&format!("{open}{key}")), "");
    let consent = resolve(open, &[], &[("i-accept-unauthenticated", "true")]);
    assert!(consent.is_ok());
    // Clients that must show a certificate are known, but only where they show it.
    let tls = format!("{PAIR}client_ca = \"ca.pem\"\n[dax]\ntls_listen = \":9111\"\n");
    assert_eq!(faults(&tls), "");
    assert!(faults(&tls.replace("client_ca", "# client_ca")).contains(":9111 is off loopback"));
    assert!(faults(&format!("{tls}listen = \":8111\"\n")).contains(":8111 is off loopback"));
}

#[test]
fn tls_for_dax_clients_has_the_certificate_of_the_server() {
    let tls = "[dax]\ntls_listen = \"127.0.0.1:9111\"\n";
    assert!(
        faults(tls)
            .starts_with("line 2: dax.tls_listen = \"127.0.0.1:9111\" needs the certificate of [server.tls]")
    );
    assert_eq!(faults(&format!("{PAIR}{tls}")), "");
}

#[test]
fn dax_listeners_have_ports_of_their_own_and_none_is_a_unix_socket() {
    for (key, address, other) in [
        ("listen", "127.0.0.1:8000", "server.listen"),
        ("listen", "localhost:8100", "admin.listen"),
        ("listen", "127.0.0.1:8443", "server.tls.listen"),
        ("tls_listen", "127.0.0.1:8000", "server.listen"),
    ] {
        let fault = faults(&format!("{PAIR}[dax]\n{key} = \"{address}\"\n"));
        assert!(fault.contains(&format!("and dax.{key} = \"{address}\" need ports of their own")), "{fault}");
        assert!(fault.contains(other), "{fault}");
    }
    let both = format!("{PAIR}{ON}tls_listen = \"localhost:8111\"\n");
    assert!(faults(&both).contains("dax.listen = \"127.0.0.1:8111\" and dax.tls_listen"));
    let unix = faults("[dax]\nlisten = \"unix:/run/dax.sock\"\n");
    assert!(unix.contains("DAX clients connect over TCP only"), "{unix}");
}

#[test]
fn an_address_of_each_family_can_be_advertised() {
    let advertise = |list: &str| faults(&format!("{ON}advertise = [{list}]\n"));
    assert_eq!(advertise("\"10.0.0.7:8111\", \"[2001:db8::7]:8111\""), "");
    assert_eq!(advertise("\"nearside.internal:8111\""), "");
    let two = advertise("\"10.0.0.7:8111\", \"10.0.0.8:8111\"");
    assert!(two.contains("are of one family"), "{two}");
    assert!(advertise("\"0.0.0.0:8111\"").contains("is not an address that clients can connect to"));
}
