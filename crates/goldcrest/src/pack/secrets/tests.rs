//! What looks like a secret, and what does not.

use expect_test::{Expect, expect};

use super::check;

fn said(path: &str, content: &str) -> String {
    check(path, content.as_bytes(), &[]).map_or_else(|f| f.message, |()| "fine".to_owned())
}

#[track_caller]
fn assert_said(path: &str, content: &str, expected: &Expect) {
    expected.assert_eq(&said(path, content));
}

#[test]
fn words_of_any_language_stand_before_a_value() {
    for (path, line) in [
        ("a.py", "# las siguientes características: 1"),
        ("b.json", "{\"título\": \"x\"}"),
        ("c.py", "é=1"),
        ("d.py", "“token”: x"),
    ] {
        assert_said(path, line, &expect!["fine"]);
    }
    assert_said(
        "e.py",
        "contraseña_token = 'hunter22'",
        &expect![[r#"e.py:1: "a_token" has a value; a release goes to every board"#]],
    );
}

#[test]
fn each_kind_of_secret_is_named_with_its_place() {
    assert_said(
        "lib/wifi_settings.py",
        "",
        &expect!["lib/wifi_settings.py: files named wifi* hold secrets; a release goes to every board"],
    );
    assert_said(
        "Secrets.py",
        "",
        &expect!["Secrets.py: files named secrets* hold secrets; a release goes to every board"],
    );
    assert_said(
        "cert/device.key",
        "",
        &expect!["cert/device.key: files named *.key hold secrets; a release goes to every board"],
    );
    assert_said(
        "a.txt",
        "-----BEGIN RSA PRIVATE KEY-----",
        &expect!["a.txt: it holds a private key; a release goes to every board"],
    );
    assert_said(
        "net.py",
        "import network\nWIFI_PASSWORD = 'hunter22'",
        &expect![[r#"net.py:2: "WIFI_PASSWORD" has a value; a release goes to every board"#]],
    );
    assert_said(
        "net.py",
        "connect(ssid=\"home\", x=1)",
        &expect![[r#"net.py:1: "ssid" has a value; a release goes to every board"#]],
    );
    assert_said(
        "c.json",
        "{\"a\": 1, \"token\": \"d41d8cd9\"}",
        &expect![[r#"c.json:1: "token" has a value; a release goes to every board"#]],
    );
    assert_said(
        "s3.py",
        "id = 'AKIAIOSFODNN7EXAMPLE'",
        &expect!["s3.py:1: it holds what looks like an access key (AKIA…); a release goes to every board"],
    );
}

#[test]
fn code_that_only_speaks_of_secrets_is_fine() {
    for line in [
        "password = None",
        "password = ''",
        "password = \"<your password>\"",
        "TOKEN = \"YOUR_TOKEN\"",
        "if token == 'abc': pass",
        "token = config['token']",
        "def login(self, password: str): pass",
        "secret = os.getenv('SECRET')",
        "{\"token\": null, \"ssid\": \"\"}",
        "tokenizer = 'bpe'",
        "password = \"********\"",
    ] {
        assert_eq!(said("app.py", line), "fine", "{line}");
    }
}

#[test]
fn an_allowed_path_is_not_looked_at() {
    let allowed = ["app/wifi.py".to_owned(), "demo/*.py".to_owned()];
    assert!(check("app/wifi.py", b"PASSWORD = 'hunter22'", &allowed).is_ok());
    assert!(check("demo/x.py", b"PASSWORD = 'hunter22'", &allowed).is_ok());
    assert!(check("app/other.py", b"PASSWORD = 'hunter22'", &allowed).is_err());
}
