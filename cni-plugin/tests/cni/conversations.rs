// SPDX-License-Identifier: Apache-2.0
//! Golden conversations that end before the node is touched: environment and stdin in, stdout out.

use std::process::Command;
use std::time::Duration;

use integration::command;
use serde_json::{Value, json};

/// Calls the plugin and answers its exit code and what it printed.
fn call(env: &[(&str, &str)], stdin: &str) -> (i32, Value) {
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_culvert-cni"));
    plugin.env_clear().envs(env.iter().copied());
    let output = command::feed(plugin, stdin.as_bytes()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let reply = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap()
    };
    (output.status.code().unwrap(), reply)
}

fn conf(version: &str) -> Value {
    json!({"cniVersion": version, "name": "culvert", "type": "culvert-cni"})
}

/// A configuration with one more member.
fn conf_with(key: &str, value: Value) -> String {
    let mut conf = conf("1.1.0");
    conf.as_object_mut().unwrap().insert(key.to_owned(), value);
    conf.to_string()
}

fn error(code: u32, message: &str) -> (i32, Value) {
    (
        1,
        json!({"cniVersion": "1.1.0", "code": code, "msg": message}),
    )
}

const ADD: [(&str, &str); 5] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/culvert-no-such-namespace"),
    ("CNI_IFNAME", "eth0"),
    (
        "CNI_ARGS",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;K8S_POD_UID=u-1",
    ),
];

/// [`ADD`] with one variable changed; an empty value is a missing variable.
fn add_with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    ADD.into_iter()
        .filter(|(other, _)| *other != name)
        .chain([(name, value)])
        .collect()
}

#[test]
fn version_answers_in_the_version_asked_and_lists_all() {
    let env = [("CNI_COMMAND", "VERSION")];
    let all = json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    let reply = |asked: &str| (0, json!({"cniVersion": asked, "supportedVersions": all}));
    assert_eq!(call(&env, r#"{"cniVersion": "1.1.0"}"#), reply("1.1.0"));
    assert_eq!(call(&env, r#"{"cniVersion": "0.4.0"}"#), reply("0.4.0"));
    // A runtime may ask in a version that is not spoken, and old ones send nothing.
    assert_eq!(call(&env, r#"{"cniVersion": "2.0.0"}"#), reply("2.0.0"));
    assert_eq!(call(&env, ""), reply("1.1.0"));
    assert_eq!(call(&env, "{").1["code"], 6);
}

#[test]
fn missing_or_unknown_command_is_code_4() {
    assert_eq!(call(&[], "{}"), error(4, "CNI_COMMAND is missing"));
    assert_eq!(
        call(&[("CNI_COMMAND", "add")], "{}"),
        error(
            4,
            "CNI_COMMAND \"add\" is unknown; it is one of ADD, DEL, CHECK, GC, STATUS, VERSION"
        )
    );
}

#[test]
fn stdin_that_is_no_json_object_is_code_6() {
    for (stdin, message) in [
        (
            "",
            "stdin is no JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{\"name\":",
            "stdin is no JSON: EOF while parsing a value at line 1 column 8",
        ),
        (
            "nonsense",
            "stdin is no JSON: expected ident at line 1 column 2",
        ),
        ("[]", "stdin holds JSON that is no object"),
    ] {
        assert_eq!(call(&ADD, stdin), error(6, message), "{stdin}");
    }
}

#[test]
fn version_that_is_not_spoken_is_code_1() {
    let message = |version: &str| {
        format!("cniVersion {version:?} is not supported; write one of 0.3.1, 0.4.0, 1.0.0, 1.1.0")
    };
    assert_eq!(
        call(&ADD, &conf("2.0.0").to_string()),
        error(1, &message("2.0.0"))
    );
    // A configuration without a version is written in 0.1.0.
    assert_eq!(call(&ADD, r#"{"name": "x"}"#), error(1, &message("0.1.0")));
}

#[test]
fn command_the_version_does_not_know_is_code_1_in_that_version() {
    for (command, version, since) in [
        ("CHECK", "0.3.1", "0.4.0"),
        ("GC", "1.0.0", "1.1.0"),
        ("STATUS", "0.4.0", "1.1.0"),
    ] {
        let message = format!("cniVersion {version} has no {command}; write at least {since}");
        assert_eq!(
            call(&[("CNI_COMMAND", command)], &conf(version).to_string()),
            (1, json!({"cniVersion": version, "code": 1, "msg": message}))
        );
    }
}

#[test]
fn configuration_with_a_bad_field_is_code_7() {
    for (conf, message) in [
        (
            json!({"cniVersion": "1.1.0", "type": "culvert-cni"}).to_string(),
            "network configuration: missing field `name`",
        ),
        (
            json!({"cniVersion": "1.1.0", "name": "culvert"}).to_string(),
            "network configuration: missing field `type`",
        ),
        (
            conf_with("bridge", json!(5)),
            "network configuration: invalid type: integer `5`, expected a string",
        ),
        (
            conf_with("bridge", json!("a/b")),
            "bridge \"a/b\" is no name of a bridge",
        ),
        (
            conf_with("name", json!("../x")),
            "name \"../x\" is malformed; it begins with a letter or digit and continues with \
             letters, digits, _, . and -",
        ),
        (
            conf_with("ovsdb", json!("ssl:1.2.3.4:6640")),
            "ovsdb: ssl:1.2.3.4:6640 is no OVSDB remote; write unix:PATH or tcp:HOST[:PORT], an \
             IPv6 HOST in brackets",
        ),
        (
            conf_with("readyTimeoutSeconds", json!(0)),
            "readyTimeoutSeconds is 0; write 1 to 600",
        ),
        (conf_with("cniVersion", json!(1)), "cniVersion is no string"),
    ] {
        assert_eq!(call(&ADD, &conf), error(7, message), "{conf}");
    }
}

#[test]
fn foreign_ipam_is_code_2() {
    assert_eq!(
        call(&ADD, &conf_with("ipam", json!({"type": "host-local"}))),
        error(
            2,
            "ipam.type is \"host-local\"; this plugin chooses addresses itself: remove ipam"
        )
    );
}

#[test]
fn each_missing_or_malformed_variable_is_code_4() {
    let conf = conf("1.1.0").to_string();
    for (name, value, message) in [
        ("CNI_CONTAINERID", "", "CNI_CONTAINERID is missing"),
        (
            "CNI_CONTAINERID",
            "a/b",
            "CNI_CONTAINERID \"a/b\" is malformed; it begins with a letter or digit and continues \
             with letters, digits, _, . and -",
        ),
        ("CNI_IFNAME", "", "CNI_IFNAME is missing"),
        (
            "CNI_IFNAME",
            "a-name-of-16-byt",
            "CNI_IFNAME \"a-name-of-16-byt\" is no interface name; it has at most 15 bytes and \
             neither spaces, / nor :",
        ),
        ("CNI_NETNS", "", "CNI_NETNS is missing"),
        (
            "CNI_NETNS",
            "/proc/self/ns/net",
            "CNI_NETNS /proc/self/ns/net is the network namespace of the node itself; a \
             host-network Pod has no CNI attachment",
        ),
        (
            "CNI_NETNS",
            "/proc/self/status",
            "CNI_NETNS /proc/self/status: not a namespace; it must be a network namespace this \
             process may enter",
        ),
        (
            "CNI_ARGS",
            "",
            "CNI_ARGS: K8S_POD_NAMESPACE is \"\"; it must name the Pod of the container, as \
             Kubernetes runtimes do",
        ),
        (
            "CNI_ARGS",
            "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=a/b",
            "CNI_ARGS: K8S_POD_NAME is \"a/b\"; it must name the Pod of the container, as \
             Kubernetes runtimes do",
        ),
        (
            "CNI_ARGS",
            "K8S_POD_NAMESPACE",
            "CNI_ARGS: \"K8S_POD_NAMESPACE\" is malformed; write KEY=VALUE;KEY=VALUE",
        ),
    ] {
        assert_eq!(
            call(&add_with(name, value), &conf),
            error(4, message),
            "{name}={value}"
        );
    }
}

#[test]
fn container_whose_namespace_is_gone_is_code_3() {
    assert_eq!(
        call(&ADD, &conf("1.1.0").to_string()),
        error(
            3,
            "CNI_NETNS /run/netns/culvert-no-such-namespace does not exist; the container has gone"
        )
    );
}

#[test]
fn check_without_previous_result_and_gc_without_attachments_are_code_7() {
    let conf = conf("1.1.0").to_string();
    assert_eq!(
        call(&add_with("CNI_COMMAND", "CHECK"), &conf),
        error(
            7,
            "prevResult is missing: CHECK compares with what ADD returned"
        )
    );
    let gc = [("CNI_COMMAND", "GC"), ("CNI_PATH", "/opt/cni/bin")];
    assert_eq!(
        call(&gc, &conf),
        error(
            7,
            "cni.dev/valid-attachments is missing: GC would remove every attachment"
        )
    );
    assert_eq!(call(&gc[..1], &conf), error(4, "CNI_PATH is missing"));
}

#[test]
fn without_ovsdb_every_command_says_where_it_looked() {
    let socket = std::env::temp_dir().join("culvert-no-such-socket");
    let conf = conf_with("ovsdb", json!(format!("unix:{}", socket.display())));
    let expect = |code: u32, (status, reply): (i32, Value)| {
        assert_eq!((status, &reply["code"]), (1, &json!(code)), "{reply}");
        let message = reply["msg"].as_str().unwrap();
        assert!(message.contains("culvert-no-such-socket"), "{message}");
        assert!(message.contains("is ovsdb-server running"), "{message}");
    };
    expect(50, call(&[("CNI_COMMAND", "STATUS")], &conf));
    expect(11, call(&add_with("CNI_COMMAND", "DEL"), &conf));
}

#[test]
fn stdin_of_unreasonable_size_is_refused() {
    let start = std::time::Instant::now();
    let (status, reply) = call(&ADD, &" ".repeat(5 << 20));
    assert_eq!((status, &reply["code"]), (1, &json!(6)), "{reply}");
    assert!(start.elapsed() < Duration::from_secs(10));
}
