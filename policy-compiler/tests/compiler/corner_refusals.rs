// SPDX-License-Identifier: Apache-2.0
//! What a `NetworkPolicy` must not say: refused by the name of its field, while what it said before goes
//! on. Each test quotes the sentence of the API it obeys.

use crate::corner_cases::{policy, town};

const WEB: &str = "podSelector: {matchLabels: {app: web}}";

/// What is wrong with an ingress rule that takes the place of another.
fn refusal(rule: &str) -> String {
    let mut town = town(&format!(
        "{{{WEB}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}"
    ));
    let problem = town.refusal(&policy("one", &format!("{{{WEB}, ingress: [{rule}]}}")));
    assert_eq!(town.clients_of("web", "tcp/80"), ["friend"], "{rule}");
    problem
}

fn assert_refused(rule: &str, field: &str, problem: &str) {
    let found = refusal(rule);
    assert!(
        found.contains(field) && found.contains(problem),
        "{rule} is refused with: {found}"
    );
}

/// "If this field is set then neither of the other fields can be."
#[test]
fn a_block_of_addresses_cannot_stand_beside_a_selector() {
    for selector in ["podSelector: {}", "namespaceSelector: {}"] {
        let rule = format!("{{from: [{{ipBlock: {{cidr: 10.0.0.0/8}}, {selector}}}]}}");
        assert_refused(&rule, "from[0]", "beside a selector");
    }
}

/// "Except values will be rejected if they are outside the cidr range".
#[test]
fn what_is_excepted_must_lie_within_the_block() {
    let rule = |cidr: &str, except: &str| {
        format!("{{from: [{{ipBlock: {{cidr: '{cidr}', except: ['{except}']}}}}]}}")
    };
    for (cidr, except) in [
        ("10.0.0.0/8", "11.0.0.0/16"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "0.0.0.0/0"),
        ("10.0.0.0/8", "fd00::/64"),
        ("fd00::/16", "fe80::/64"),
    ] {
        let rule = rule(cidr, except);
        assert_refused(&rule, "from[0].ipBlock.except[0]", "does not lie within");
    }
}

/// "cidr is a string representing the IPBlock. Valid examples are "192.168.1.0/24" or "2001:db8::/64"".
#[test]
fn what_is_no_block_of_addresses_is_refused() {
    for text in [
        "10.0.0.1",
        "10.0.0.0/33",
        "2001:db8::/129",
        "everywhere",
        "",
    ] {
        let rule = format!("{{from: [{{ipBlock: {{cidr: '{text}'}}}}]}}");
        assert_refused(&rule, "from[0].ipBlock.cidr", "is not a CIDR");
    }
}

/// "This field cannot be defined if the port field is not defined or if the port field is defined as a
/// named (string) port. The endPort must be equal or greater than port."
#[test]
fn a_range_of_ports_needs_a_number_to_begin_with_and_one_not_below_it() {
    for (port, problem) in [
        ("endPort: 90", "needs a port"),
        ("port: http, endPort: 90", "named port"),
        ("port: 80, endPort: 79", "below port 80"),
    ] {
        let rule = format!("{{ports: [{{{port}}}]}}");
        assert_refused(&rule, "ports[0].endPort", problem);
    }
}

/// "protocol represents the protocol (TCP, UDP, or SCTP) which traffic must match."
#[test]
fn other_protocols_and_numbers_that_are_no_ports_are_refused() {
    assert_refused("{ports: [{protocol: ICMP}]}", "ports[0].protocol", "ICMP");
    for port in [0, 65_536, -1] {
        let rule = format!("{{ports: [{{port: {port}}}]}}");
        assert_refused(&rule, "ports[0].port", &port.to_string());
    }
}

/// "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or
/// DoesNotExist, the values array must be empty."
#[test]
fn operators_take_values_or_take_none() {
    for (expression, problem) in [
        ("operator: In", "at least one value"),
        ("operator: NotIn, values: []", "at least one value"),
        ("operator: Exists, values: [a]", "takes no values"),
        ("operator: DoesNotExist, values: [a]", "takes no values"),
        ("operator: Like, values: [a]", "is not one of"),
    ] {
        let selector = format!("{{matchExpressions: [{{key: app, {expression}}}]}}");
        let rule = format!("{{from: [{{podSelector: {selector}}}]}}");
        assert_refused(&rule, "from[0].podSelector.matchExpressions[0]", problem);
    }
}
