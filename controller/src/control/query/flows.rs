// SPDX-License-Identifier: Apache-2.0
//! Flows with the reasons why they exist: from an object, a node or a cookie.

use std::cmp::Reverse;
use std::sync::Arc;

use api_types as api;
use openflow_codec::{Cookie, Flow, Match};
use openflow_session::{LayerState, Marker};
use policy_compiler::pipeline::Table;
use policy_compiler::{
    Cause, Explanation, Kind, ObjectKey, Question, QuestionError, Scope, Verdict,
};

use crate::control::Control;
use crate::switch::config::{cluster_marker, node_marker};

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowQuery {
    /// Those that exist because of this object.
    Object(ObjectKey),
    /// Those of this node's own layer.
    Node(String),
    /// Those with this cookie.
    Cookie(Cookie),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No such node.
    #[error("no machine has called itself node {0} yet; see `culvert nodes`")]
    UnknownNode(String),
    /// No flow has the cookie.
    #[error(
        "no flow has cookie {0}; cookies of Culvert's flows begin with 0xc, and that of a marker flow \
         (0xc0..., 0xcf...) changes with every change of its layer"
    )]
    UnknownCookie(Cookie),
}

impl Control {
    /// `GET /v1/verdict`.
    ///
    /// # Errors
    /// There is no such Pod, or it is nobody's peer.
    pub fn verdict(&self, question: &Question) -> Result<Verdict, QuestionError> {
        self.compiler.verdict(question)
    }

    /// `GET /v1/flows` and `GET /v1/explain/{cookie}`.
    ///
    /// # Errors
    /// There is no such node, or no flow with the cookie.
    pub fn flows(&self, query: &FlowQuery) -> Result<api::Flows, QueryError> {
        let mut found = match query {
            FlowQuery::Object(key) => self.compiler.flows_of(key),
            FlowQuery::Cookie(cookie) => {
                let mut found = self.compiler.explain(*cookie);
                found.extend(self.explain_marker(*cookie));
                if found.is_empty() {
                    return Err(QueryError::UnknownCookie(*cookie));
                }
                found
            }
            FlowQuery::Node(node) => self
                .compiler
                .explain_node(node)
                .ok_or_else(|| QueryError::UnknownNode(node.clone()))?,
        };
        let place = |explanation: &Explanation| {
            let Explanation { scope, flow, .. } = explanation;
            (
                flow.table,
                Reverse(flow.priority),
                flow.flow_match.clone(),
                scope.clone(),
            )
        };
        found.sort_by_cached_key(place);
        Ok(api::Flows {
            flows: found.iter().map(flow).collect(),
        })
    }

    /// Markers are written by sessions, so the compiler does not know them.
    fn explain_marker(&self, cookie: Cookie) -> Vec<Explanation> {
        let cluster = std::iter::once((Scope::Cluster, cluster_marker(), self.rollout.cluster()));
        let nodes = self.rollout.nodes().iter();
        let nodes = nodes.map(|(node, layer)| (Scope::Node(node.clone()), node_marker(), layer));
        let markers = cluster
            .chain(nodes)
            .filter(|(_, marker, layer)| marker.cookie(layer.digest()) == cookie);
        let explain = |(scope, marker, layer): (Scope, Marker, &LayerState)| {
            let whose = match &scope {
                Scope::Cluster => "the cluster layer".to_owned(),
                Scope::Node(node) => format!("the layer of node {node}"),
            };
            let (flows, groups) = (layer.flows().len(), layer.groups().len());
            let why = format!(
                "marks {whose}: the cookie is the digest of its {flows} flows and {groups} groups, so that a \
                 switch that holds them is left alone"
            );
            let flow = Flow {
                table: marker.table,
                priority: marker.priority,
                flow_match: Match::any(),
                cookie,
                idle_timeout: 0,
                hard_timeout: 0,
                instructions: Vec::new(),
            };
            let causes = vec![Cause {
                object: None,
                attachment: None,
                decision: None,
                why,
            }];
            Explanation {
                scope,
                flow: Arc::new(flow),
                causes,
            }
        };
        markers.map(explain).collect()
    }
}

fn flow(explanation: &Explanation) -> api::Flow {
    let Explanation {
        scope,
        flow,
        causes,
    } = explanation;
    // A flow as text ends with its actions.
    let text = flow.to_string();
    let actions = text
        .split_once("actions=")
        .map(|(_, actions)| actions.to_owned());
    api::Flow {
        scope: match scope {
            Scope::Cluster => "cluster".to_owned(),
            Scope::Node(node) => format!("node/{node}"),
        },
        table: Table::from_id(flow.table)
            .map_or_else(|| flow.table.to_string(), |t| t.name().to_owned()),
        table_id: flow.table.0,
        priority: flow.priority,
        flow_match: flow.flow_match.to_string(),
        actions: actions.unwrap_or_default(),
        cookie: flow.cookie.to_string(),
        causes: causes.iter().map(cause).collect(),
    }
}

fn cause(cause: &Cause) -> api::Cause {
    let attachment = cause.attachment.as_ref();
    api::Cause {
        object: cause.object.as_ref().map(ToString::to_string),
        node: attachment.map(|key| key.node.clone()),
        interface: attachment.map(|key| key.interface.clone()),
        why: cause.why.clone(),
    }
}

/// The key of a Pod from `NAMESPACE/NAME`.
pub(crate) fn pod_key(text: &str) -> Option<ObjectKey> {
    let (namespace, name) = text.split_once('/')?;
    let complete = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    complete.then(|| ObjectKey::new(Kind::Pod, namespace, name))
}
