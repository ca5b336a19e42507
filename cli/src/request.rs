// SPDX-License-Identifier: Apache-2.0
//! From a command to the path that is asked for.

use crate::args::{Command, FlowsArgs, VerdictArgs};

/// Path and query.
pub(crate) fn path(command: &Command) -> String {
    match command {
        Command::Status => "/v1/status".to_owned(),
        Command::Nodes => "/v1/nodes".to_owned(),
        Command::Pods => "/v1/pods".to_owned(),
        Command::Policies { .. } => "/v1/policies".to_owned(),
        Command::Verdict(VerdictArgs { from, to, .. }) => {
            format!("/v1/verdict?from={}&to={}", encode(from), encode(to))
        }
        Command::Source => "/v1/source".to_owned(),
        Command::Explain { cookie } => format!("/v1/explain/{cookie:#x}"),
        Command::Flows(FlowsArgs { pod, object, node }) => {
            let asked = [("pod", pod), ("object", object), ("node", node)];
            let query: Vec<String> = asked
                .into_iter()
                .filter_map(|(key, value)| Some(format!("{key}={}", encode(value.as_deref()?))))
                .collect();
            format!("/v1/flows?{}", query.join("&"))
        }
    }
}

/// Percent-encodes what may not stand in a query value (RFC 3986 section 3.4).
fn encode(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_so_that_they_cannot_add_to_the_query() {
        let command = Command::Flows(FlowsArgs {
            pod: None,
            object: Some("pod/a&node=b/c d".to_owned()),
            node: None,
        });
        assert_eq!(path(&command), "/v1/flows?object=pod/a%26node%3Db/c%20d");
    }

    #[test]
    fn a_cookie_is_asked_for_in_hexadecimal() {
        assert_eq!(path(&Command::Explain { cookie: 0x2f }), "/v1/explain/0x2f");
    }
}
