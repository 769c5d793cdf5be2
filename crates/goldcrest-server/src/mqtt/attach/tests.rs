//! Addresses of brokers.

use super::AttachSettings;

#[track_caller]
fn check(url: &str, wanted: &str) {
    let said = match AttachSettings::parse(url) {
        Ok(broker) => format!("{} {} {:?} {}", broker.host, broker.port, broker.user, broker.is_tls),
        Err(error) => error,
    };
    assert_eq!(said, wanted, "{url}");
}

#[test]
fn addresses_of_brokers() {
    check("mqtt://broker", "broker 1883 None false");
    check("mqtts://broker/", "broker 8883 None true");
    check("mqtt://me:p%40ss%3a@10.0.0.1:1884", r#"10.0.0.1 1884 Some(("me", "p@ss:")) false"#);
    check("mqtt://me:a@b@host", r#"host 1883 Some(("me", "a@b")) false"#);
    check("mqtt://[::1]:1885", "::1 1885 None false");
    check("mqtt://[::1]", "::1 1883 None false");
    let form = "a broker is mqtt://user:password@host:port";
    check("broker:1883", form);
    check("mqtt://", form);
    check("mqtt://me@", form);
    check("http://broker", &format!("{form}, or mqtts:// for TLS, not http://"));
    check("mqtt://broker:many", &format!("{form}: \"many\" is no port"));
    check("mqtt://me:%zz@broker", &format!("{form}: % stands before two hexadecimal digits"));
}

#[test]
fn a_password_is_not_shown() {
    let broker = AttachSettings::parse("mqtt://me:secret@broker").unwrap();
    assert!(!format!("{broker:?}").contains("secret"));
}
