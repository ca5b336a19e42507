// SPDX-License-Identifier: Apache-2.0
//! From the text of a file to objects, one document at a time.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{NetworkPolicy, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy_compiler::crd::{self, ClusterNetworkPolicy};
use policy_compiler::{Kind, Object, ObjectKey, ingest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::unknown_fields::unknown_fields;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Documents separated by `---`; JSON is YAML, too.
    Yaml,
    /// JSON values one after the other.
    Json,
}

/// What stands at one place of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Line where its document begins (or where its error is), counted from 1.
    pub line: usize,
    /// What it is.
    pub outcome: Outcome,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// An object of a kind that is read.
    Object {
        /// Its name.
        key: ObjectKey,
        /// The object, with the namespace `default` filled in.
        object: Box<Object>,
        /// Fields that its kind does not have.
        unknown_fields: Vec<String>,
    },
    /// An object of another kind.
    Ignored {
        /// `apiVersion/kind`.
        kind: String,
    },
    /// Neither.
    Error {
        /// The object, as far as the text names it.
        object: Option<String>,
        /// What is wrong, and the cure.
        reason: String,
    },
}

/// Reads every document of a file. An error in one does not touch the others.
pub fn parse(text: &str, syntax: Syntax) -> Vec<Item> {
    let mut items = Vec::new();
    match syntax {
        Syntax::Yaml => {
            for (line, text) in split_yaml(text) {
                match serde_yaml_ng::from_str::<Value>(text) {
                    Ok(value) => document(value, line, &mut items),
                    Err(error) => {
                        let (at, reason) = yaml_error(&error);
                        items.push(failure(line + at, None, format!("is not YAML: {reason}")));
                    }
                }
            }
        }
        Syntax::Json => {
            let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            loop {
                let start = stream.byte_offset();
                let Some(value) = stream.next() else { break };
                match value {
                    Ok(value) => document(value, line_of(text, start), &mut items),
                    Err(error) => {
                        items.push(failure(error.line(), None, format!("is not JSON: {error}")));
                        break;
                    }
                }
            }
        }
    }
    items
}

/// How many lines below the first of its document an error is, and what it is.
fn yaml_error(error: &serde_yaml_ng::Error) -> (usize, String) {
    let Some(at) = error.location() else {
        return (0, error.to_string());
    };
    // Lines in the message count from the beginning of the document, not of the file.
    let place = format!(" at line {} column {}", at.line(), at.column());
    (
        at.line().saturating_sub(1),
        error.to_string().replace(&place, ""),
    )
}

/// The documents of a YAML stream with the line of their first content, empty ones left out.
///
/// `---` in the first column ends a document even inside a block scalar (YAML 1.2 section 9.1.2),
/// so lines are all there is to look at.
fn split_yaml(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut first_line = 1;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let is_marker = |marker: &str| {
            line.strip_prefix(marker).is_some_and(|rest| {
                rest.trim_start_matches([' ', '\t']) != rest || rest.trim_end().is_empty()
            })
        };
        if is_marker("---") {
            documents.push((first_line, text.get(start..offset).unwrap_or_default()));
            // Content may follow the marker on its line.
            start = offset + "---".len();
            first_line = index + 1;
        } else if is_marker("...") {
            documents.push((first_line, text.get(start..offset).unwrap_or_default()));
            start = offset + line.len();
            first_line = index + 2;
        }
        offset += line.len();
    }
    documents.push((first_line, text.get(start..).unwrap_or_default()));
    documents
        .into_iter()
        .filter_map(|(line, text)| trim_front(line, text))
        .collect()
}

/// Drops lines in front that say nothing; `None` when there is nothing else.
fn trim_front(mut line: usize, mut text: &str) -> Option<(usize, &str)> {
    loop {
        let first = text.split_inclusive('\n').next()?;
        let content = first.trim();
        // A directive (%YAML) stands in front of its document's marker.
        if !(content.is_empty() || content.starts_with('#') || first.starts_with('%')) {
            return Some((line, text));
        }
        text = text.get(first.len()..)?;
        line += 1;
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    let start = offset + (rest.len() - rest.trim_start().len());
    1 + text.get(..start).unwrap_or_default().matches('\n').count()
}

fn failure(line: usize, object: Option<String>, reason: impl Into<String>) -> Item {
    Item {
        line,
        outcome: Outcome::Error {
            object,
            reason: reason.into(),
        },
    }
}

/// One document: an object, or a list of them.
fn document(value: Value, line: usize, items: &mut Vec<Item>) {
    if value.is_null() {
        return;
    }
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(kind) = kind.filter(|_| value.is_object()) else {
        items.push(failure(
            line,
            None,
            "is not an object: give it apiVersion, kind and metadata.name",
        ));
        return;
    };
    let Some(api_version) = api_version else {
        items.push(failure(line, named(&kind, &value), "has no apiVersion"));
        return;
    };
    let item_kind = kind.strip_suffix("List").map(str::to_owned);
    match (value, item_kind) {
        (Value::Object(mut fields), Some(item_kind)) if fields.contains_key("items") => {
            let Some(Value::Array(members)) = fields.remove("items") else {
                items.push(failure(line, None, format!("{kind}: items is not a list")));
                return;
            };
            for mut member in members {
                // Members of a PodList do not repeat what they are.
                if let (Value::Object(member), false) = (&mut member, item_kind.is_empty()) {
                    member
                        .entry("kind")
                        .or_insert_with(|| item_kind.clone().into());
                    member
                        .entry("apiVersion")
                        .or_insert_with(|| api_version.clone().into());
                }
                document(member, line, items);
            }
        }
        (value, _) => items.push(Item {
            line,
            outcome: object(&api_version, &kind, value),
        }),
    }
}

/// `pod/shop/web`, as far as the text says it.
fn named(kind: &str, value: &Value) -> Option<String> {
    let metadata = value.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let kind = kind.to_lowercase();
    Some(match metadata.get("namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    })
}

fn object(api_version: &str, kind: &str, value: Value) -> Outcome {
    let known = match kind {
        "Node" | "Namespace" | "Pod" | "Service" => "v1",
        "EndpointSlice" => "discovery.k8s.io/v1",
        "NetworkPolicy" | "ServiceCIDR" => "networking.k8s.io/v1",
        "ClusterNetworkPolicy" => crd::API_VERSION,
        _ => "",
    };
    let group = |api_version: &str| match api_version.rsplit_once('/') {
        Some((group, _)) => group.to_owned(),
        None => String::new(),
    };
    if known.is_empty() || group(known) != group(api_version) {
        return Outcome::Ignored {
            kind: format!("{api_version}/{kind}"),
        };
    }
    let name = named(kind, &value);
    if known != api_version {
        let reason = format!("apiVersion {api_version} is not read; write apiVersion: {known}");
        return Outcome::Error {
            object: name,
            reason,
        };
    }
    let read = match kind {
        "Node" => read(&value, Object::Node, |o: &mut Node| &mut o.metadata),
        "Namespace" => read(&value, Object::Namespace, |o: &mut Namespace| {
            &mut o.metadata
        }),
        "Pod" => read(&value, Object::Pod, |o: &mut Pod| &mut o.metadata),
        "Service" => read(&value, Object::Service, |o: &mut Service| &mut o.metadata),
        "EndpointSlice" => read(&value, Object::EndpointSlice, |o: &mut EndpointSlice| {
            &mut o.metadata
        }),
        "ServiceCIDR" => read(&value, Object::ServiceCidr, |o: &mut ServiceCIDR| {
            &mut o.metadata
        }),
        "NetworkPolicy" => read(&value, Object::NetworkPolicy, |o: &mut NetworkPolicy| {
            &mut o.metadata
        }),
        _ => read(
            &value,
            Object::ClusterNetworkPolicy,
            |o: &mut ClusterNetworkPolicy| &mut o.metadata,
        ),
    };
    match read {
        Ok((key, object, unknown_fields)) => Outcome::Object {
            key,
            object: Box::new(object),
            unknown_fields,
        },
        Err(reason) => Outcome::Error {
            object: name,
            reason,
        },
    }
}

type Read = (ObjectKey, Object, Vec<String>);

fn read<T: DeserializeOwned + Serialize>(
    value: &Value,
    wrap: impl FnOnce(Box<T>) -> Object,
    metadata: impl FnOnce(&mut T) -> &mut ObjectMeta,
) -> Result<Read, String> {
    let mut object: T = serde_path_to_error::deserialize(value).map_err(|error| {
        match error.path().to_string().as_str() {
            "." | "?" => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        }
    })?;
    let mut understood = serde_json::to_value(&object).map_err(|error| error.to_string())?;
    if let Value::Object(understood) = &mut understood {
        // Not every type says what it is when it is written again.
        for field in ["apiVersion", "kind"] {
            understood.entry(field).or_insert(Value::Null);
        }
    }
    let namespace = &mut metadata(&mut object).namespace;
    if namespace.as_deref().unwrap_or_default().is_empty() {
        // What the API server does with a manifest that names no namespace.
        *namespace = Some("default".to_owned());
    }
    let object = wrap(Box::new(object));
    let key = ingest::key(&object).map_err(|error| error.to_string())?;
    Ok((key, object, unknown_fields(value, &understood)))
}

/// The kinds that are read, for messages.
pub fn kinds() -> String {
    Kind::ALL.map(Kind::word).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {containers: []}\n";

    fn summary(text: &str) -> Vec<String> {
        parse(text, Syntax::Yaml)
            .into_iter()
            .map(describe)
            .collect()
    }

    fn describe(item: Item) -> String {
        match item.outcome {
            Outcome::Object {
                key,
                unknown_fields,
                ..
            } if unknown_fields.is_empty() => {
                format!("{}: {key}", item.line)
            }
            Outcome::Object {
                key,
                unknown_fields,
                ..
            } => {
                format!("{}: {key} without {}", item.line, unknown_fields.join(" "))
            }
            Outcome::Ignored { kind } => format!("{}: ignored {kind}", item.line),
            Outcome::Error { object, reason } => {
                format!("{}: {}: {reason}", item.line, object.unwrap_or_default())
            }
        }
    }

    #[test]
    fn documents_are_told_apart_and_know_their_line() {
        let text = format!(
            "# a comment\n---\n{POD}---\n---\n# nothing\n---  # web\n{POD}...\napiVersion: v1\nkind: Node\nmetadata: {{name: n1}}\n"
        );
        assert_eq!(
            summary(&text),
            ["3: pod/shop/web", "11: pod/shop/web", "16: node/n1"]
        );
    }

    #[test]
    fn a_bad_document_is_reported_at_its_line_and_leaves_the_others_alone() {
        let text = format!("{POD}---\nkind: Pod\nmetadata: [\n---\n{POD}");
        let items = summary(&text);
        assert_eq!(items.first().unwrap(), "1: pod/shop/web");
        let error = items.get(1).unwrap();
        assert!(
            error.starts_with("8: : is not YAML") || error.starts_with("7: : is not YAML"),
            "{error}"
        );
        assert!(!error.contains(" line "), "{error}");
        assert_eq!(items.get(2).unwrap(), "9: pod/shop/web");
        assert_eq!(items.len(), 3);
    }

    #[test]
    fn a_wrong_type_names_object_and_field() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\n\
                    spec:\n  ingress:\n  - ports:\n    - endPort: many\n";
        let items = summary(text);
        let item = items.first().unwrap();
        assert!(
            item.starts_with("1: networkpolicy/shop/deny: spec.ingress[0].ports[0].endPort: "),
            "{item}"
        );
    }

    #[test]
    fn other_kinds_are_ignored_and_other_versions_of_ours_are_not() {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n\
                    apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n---\n\
                    apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n";
        let expected = [
            "1: ignored apps/v1/Deployment",
            "5: ignored serving.knative.dev/v1/Service",
            "9: networkpolicy/a: apiVersion networking.k8s.io/v1beta1 is not read; write apiVersion: networking.k8s.io/v1",
        ];
        assert_eq!(summary(text), expected);
    }

    #[test]
    fn lists_of_both_forms_are_unfolded() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n\
                    apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: b, namespace: a}\n";
        assert_eq!(summary(text), ["1: namespace/a", "6: pod/a/b"]);
    }

    #[test]
    fn an_object_without_namespace_lives_in_default_and_a_node_lives_in_none() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\n";
        assert_eq!(summary(text), ["1: pod/default/a", "5: node/n"]);
    }

    #[test]
    fn a_misspelt_field_is_found() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, labels: {x: y}}\n\
                    spec: {podSelectr: {matchLabels: {a: b}}, ingress: [], egress: null}\n";
        assert_eq!(
            summary(text),
            ["1: networkpolicy/default/a without spec.podSelectr"]
        );
    }

    #[test]
    fn a_cluster_network_policy_is_read_and_what_it_says_beyond_us_is_named() {
        let text = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: a}\n\
                    spec:\n  tier: Admin\n  priority: 7\n  subject: {namespaces: {}}\n  egress:\n\
                    \x20 - {name: web, action: Accept, to: [{domainNames: [example.com]}, {networks: [10.0.0.0/8]}]}\n";
        assert_eq!(
            summary(text),
            ["1: clusternetworkpolicy/a without spec.egress[0].to[0].domainNames"]
        );
        let items = summary(&text.replace("priority: 7", "priority: high"));
        let item = items.first().unwrap();
        assert!(
            item.starts_with("1: clusternetworkpolicy/a: spec.priority: "),
            "{item}"
        );
        let old = summary(&text.replace("v1alpha2", "v1alpha1"));
        assert!(
            old.first()
                .unwrap()
                .ends_with("write apiVersion: policy.networking.k8s.io/v1alpha2"),
            "{old:?}"
        );
    }

    #[test]
    fn what_is_no_object_says_what_is_missing() {
        assert!(
            summary("just text\n")
                .first()
                .unwrap()
                .contains("give it apiVersion")
        );
        assert_eq!(
            summary("kind: Pod\nmetadata: {name: a}\n"),
            ["1: pod/a: has no apiVersion"]
        );
        let unnamed = summary("apiVersion: v1\nkind: Pod\nmetadata: {}\n");
        assert_eq!(unnamed, ["1: : metadata.name: is missing"]);
    }

    #[test]
    fn json_files_may_hold_several_values() {
        let text = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}\n\n\
                    {\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"b\"}}\n{";
        let items: Vec<String> = parse(text, Syntax::Json)
            .into_iter()
            .map(describe)
            .collect();
        assert_eq!(
            items.get(..2).unwrap(),
            ["1: namespace/a", "3: namespace/b"]
        );
        assert!(
            items.get(2).unwrap().starts_with("4: : is not JSON"),
            "{items:?}"
        );
    }
}
