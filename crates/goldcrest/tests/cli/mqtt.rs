//! `goldcrest serve` and the addresses of MQTT: what it prints, and what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use expect_test::expect;
use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn an_address_that_was_asked_for_must_be_free() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut ran = sandbox.run(&["serve", "--listen", "127.0.0.1:0", "--data", "data", "--mqtt", &address]);
    ran.stderr = ran.stderr.replace(&address, "$ADDRESS");
    ran.refused(
        1,
        &expect![[r"
            error: cannot listen on $ADDRESS for MQTT: address already in use
            hint: is a broker running there? --mqtt and --mqtt-tls take other addresses
        "]],
    );
}

#[test]
fn a_suite_without_credentials_is_let_in_by_one_command() {
    let sandbox = Sandbox::new();
    let arguments = ["serve", "--json", "--listen", "127.0.0.1:0", "--data", "data", "--mqtt", "127.0.0.1:0"];
    let mut command = sandbox.command(&arguments);
    command.args(["--mqtt-anonymous-project", "lab", "--mqtt-anonymous-deny", "nosubscribe"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["mqtt_tls"], Value::Null);
    let mut client = TcpStream::connect(said["mqtt"].as_str().unwrap().strip_prefix("mqtt://").unwrap()).unwrap();
    // CONNECT, then SUBSCRIBE to what is denied and to what is not.
    client.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a").unwrap();
    client.write_all(b"\x82\x15\x00\x01\x00\x0bnosubscribe\x00\x00\x02ok\x00").unwrap();
    let mut answers = [0; 10];
    client.read_exact(&mut answers).unwrap();
    assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 4, 0, 1, 0x80, 0]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn tls_needs_a_certificate_and_a_key() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["serve", "--mqtt-tls", "127.0.0.1:0", "--tls-cert", "cert.pem"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--tls-key <FILE>"), "{}", ran.stderr);
}

#[test]
fn a_thing_keeps_the_key_that_its_board_has() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let add = ["device", "add", "node", "--package", "p", "--adapter", "insighio", "--id", "thing", "--key-stdin"];
    let channels = ["--set", "control_channel=c", "--set", "data_channel=d"];
    sandbox.run_with_input(&[&add[..], &channels].concat(), "\n").refused(
        2,
        &expect![[r"
            error: stdin held no key
            hint: printf %s KEY | goldcrest device add ...
        "]],
    );
    let ran = sandbox.run_with_input(&[&add[..], &channels].concat(), "its-key\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("key       its-key"), "{}", ran.stdout);
    let url = format!("{}/http/channels/d/messages/thing", served.url);
    let answer = |key: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let sent = ureq::Agent::from(config).post(&url).header("Authorization", key).send("[]");
        sent.unwrap().status().as_u16()
    };
    assert_eq!((answer("its-key"), answer("another")), (202, 401));
}

#[test]
fn a_broker_to_attach_to_is_checked_before_anything_starts() {
    let sandbox = Sandbox::new();
    for (url, why) in [
        ("broker:1883", "a broker is mqtt://user:password@host:port"),
        ("http://me:secret@broker", "or mqtts:// for TLS, not http://"),
    ] {
        let ran = sandbox.run(&["serve", "--data", "data", "--attach", url]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("secret"), "{}", ran.stderr);
    }
    let serve = ["serve", "--data", "data", "--listen", "127.0.0.1:0", "--no-mqtt"];
    let ran = sandbox.run(&[&serve[..], &["--attach", "mqtts://me:secret@broker"]].concat());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("--attach-ca") && !ran.stderr.contains("secret"), "{}", ran.stderr);
}
