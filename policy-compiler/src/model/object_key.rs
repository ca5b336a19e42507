// SPDX-License-Identifier: Apache-2.0
//! The name of an object: kind, namespace, name; spelled as `kubectl` does.

use std::fmt;
use std::str::FromStr;

use super::Name;

/// Kinds that the compiler reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is the Kubernetes kind of that name"
)]
pub enum Kind {
    Node,
    Namespace,
    Pod,
    Service,
    EndpointSlice,
    ServiceCidr,
    NetworkPolicy,
    ClusterNetworkPolicy,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Node,
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceCidr,
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
    ];

    /// The word `kubectl` uses: `networkpolicy`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Namespace => "namespace",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::EndpointSlice => "endpointslice",
            Self::ServiceCidr => "servicecidr",
            Self::NetworkPolicy => "networkpolicy",
            Self::ClusterNetworkPolicy => "clusternetworkpolicy",
        }
    }

    /// Whether objects of this kind live in a namespace.
    pub const fn namespaced(self) -> bool {
        !matches!(
            self,
            Self::Node | Self::Namespace | Self::ServiceCidr | Self::ClusterNetworkPolicy
        )
    }
}

/// Names one object. `Display` and `FromStr` use `pod/shop/web` and `node/node-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for kinds without one.
    pub namespace: Name,
    /// Name.
    pub name: Name,
}

/// The text names no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no object; write KIND/NAMESPACE/NAME (pod/shop/web) or, for nodes, \
     namespaces, Service CIDRs and cluster network policies, KIND/NAME (node/node-1)"
)]
pub struct ParseKeyError(String);

impl ObjectKey {
    /// A key.
    pub fn new(kind: Kind, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if kind.namespaced() {
            write!(f, "{}/{namespace}/{name}", kind.word())
        } else {
            write!(f, "{}/{name}", kind.word())
        }
    }
}

impl FromStr for ObjectKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let error = || ParseKeyError(text.to_owned());
        let (word, rest) = text.split_once('/').ok_or_else(error)?;
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.word() == word.to_ascii_lowercase())
            .ok_or_else(error)?;
        let (namespace, name) = if kind.namespaced() {
            rest.split_once('/').ok_or_else(error)?
        } else {
            ("", rest)
        };
        let complete = !name.is_empty() && !name.contains('/');
        if complete && kind.namespaced() != namespace.is_empty() {
            Ok(Self::new(kind, namespace, name))
        } else {
            Err(error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_key_agree() {
        for text in [
            "pod/shop/web",
            "node/node-1",
            "servicecidr/kubernetes",
            "networkpolicy/shop/deny-all",
            "clusternetworkpolicy/no-metadata",
        ] {
            assert_eq!(text.parse::<ObjectKey>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn incomplete_names_are_refused() {
        for bad in [
            "",
            "pod",
            "pod/",
            "pod/web",
            "pod//web",
            "node/a/b",
            "pod/a/b/c",
            "ingress/a/b",
        ] {
            let parsed = bad.parse::<ObjectKey>();
            assert!(parsed.is_err(), "{bad:?} gave {parsed:?}");
        }
    }
}
