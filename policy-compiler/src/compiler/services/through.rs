// SPDX-License-Identifier: Apache-2.0
//! Verdicts through a Service: one for each endpoint that the connection may go to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::compiler::Compiler;
use crate::compiler::verdicts::close_to;
use crate::model::{Family, ObjectKey, Protocol, Service, ServicePort};
use crate::stage::service::Door;
use crate::verdict::{End, EndpointVerdict, Question, QuestionError, Verdict};

impl Compiler {
    /// The Service that has this cluster address and port.
    pub(in crate::compiler) fn service_at(
        &self,
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Option<&ObjectKey> {
        let claims = self
            .services
            .claims
            .get(&(Door::Address(address), protocol, port))?;
        claims.first()
    }

    /// Whether a connection to a Service would pass, whichever endpoint it goes to; by its address of
    /// one family, or by any.
    pub(in crate::compiler) fn verdict_through(
        &self,
        question: &Question,
        key: &ObjectKey,
        family: Option<Family>,
    ) -> Result<Verdict, QuestionError> {
        let (service, port) = self.service_port(question, key)?;
        let mut endpoints = Vec::new();
        for (to, number) in self.ends(key, service, port) {
            let address = match &to {
                End::Address(address) => Some(*address),
                _ => None,
            };
            let of_other = |family| address.is_some_and(|one| Family::of(one) != family);
            if family.is_some_and(of_other) {
                continue;
            }
            let pod = match &to {
                End::Pod(pod) => Some(pod.clone()),
                _ => address.and_then(|address| self.pod_at(address)),
            };
            let asked = Question {
                from: question.from.clone(),
                to,
                port: number,
                ..*question
            };
            let verdict = match self.verdict_at(&asked, true) {
                Ok(verdict) => verdict,
                // A connection of one family never goes to an endpoint of the other.
                Err(QuestionError::NoFamily(..)) => continue,
                Err(error) => return Err(error),
            };
            endpoints.push(EndpointVerdict {
                pod,
                address,
                port: number,
                verdict,
            });
        }
        let denied = endpoints.iter().filter(|one| !one.verdict.allowed).count();
        let note = match (denied, endpoints.len()) {
            (_, 0) => format!("{key} has no ready endpoint that could answer"),
            (0, all) => format!("{key}: allowed to every endpoint, of which there are {all}"),
            (denied, all) => format!("{key}: denied to {denied} of its endpoints, of {all}"),
        };
        Ok(Verdict {
            allowed: denied == 0 && !endpoints.is_empty(),
            note: Some(note),
            endpoints,
            ..Verdict::default()
        })
    }

    fn service_port(
        &self,
        question: &Question,
        key: &ObjectKey,
    ) -> Result<(&Service, &ServicePort), QuestionError> {
        let services = &self.services.services;
        let Some(service) = services.get(key) else {
            let name = |key: &ObjectKey| format!("{}/{}", key.namespace, key.name);
            let close = close_to(services.keys().map(name), &name(key));
            let service = name(key);
            return Err(QuestionError::UnknownService { service, close });
        };
        if service.cluster_ips.is_none() {
            return Err(QuestionError::NoClusterAddress(key.clone()));
        }
        let wanted = (question.protocol, question.port);
        let mut ports = service.ports.iter();
        let found = ports.find(|port| (port.protocol, port.port) == wanted);
        let port = found.ok_or_else(|| {
            let ports = service.ports.iter();
            let ports: Vec<String> = ports
                .map(|port| format!("{}/{}", port.port, port.protocol))
                .collect();
            QuestionError::UnknownServicePort {
                service: key.clone(),
                port: format!("{}/{}", question.port, question.protocol),
                ports: ports.join(", "),
            }
        })?;
        Ok((service, port))
    }

    /// Where a connection may go. As long as no Pod is plugged in anywhere, which is so without a
    /// cluster, the Pods that the Service selects are taken for ready.
    fn ends(&self, key: &ObjectKey, service: &Service, port: &ServicePort) -> Vec<(End, u16)> {
        let ready = self.endpoints(key, service, port);
        if !ready.is_empty() || self.services.slices(key).next().is_some() {
            let ends = ready.into_iter();
            return ends
                .map(|endpoint| (End::Address(endpoint.address), endpoint.port))
                .collect();
        }
        let plugged = |pod| self.attachments.addresses(pod).next().is_some();
        if self.pods.keys().any(plugged) {
            return Vec::new();
        }
        let Some(selector) = &service.selector else {
            return Vec::new();
        };
        let mut ends = BTreeSet::new();
        for (pod_key, pod) in self.pods_in(&key.namespace) {
            let number = port.number_on(pod);
            let serves = pod.on_pod_network() && selector.matches(&pod.labels);
            ends.extend(number.filter(|_| serves).map(|port| (pod_key, port)));
        }
        let ends = ends.into_iter();
        ends.map(|(pod, port)| (End::Pod(pod.clone()), port))
            .collect()
    }
}
