// SPDX-License-Identifier: Apache-2.0
//! Adding all Pods at once, and sending the first packet the moment CNI says a Pod is ready.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail};

use super::matrix::{self, Answer, Question, Target};
use super::objects::Objects;
use super::reading::Reading;
use super::{World, by_family, node_of};
use crate::pod::Sandbox;
use crate::{Node, Pod, PodId, Prober, Protocol, Testbed};

/// Ports every Pod serves: the ones the matrix asks for.
pub(super) const PORTS: [(Protocol, u16); 2] = [(Protocol::Tcp, 8080), (Protocol::Udp, 5353)];

/// What has become ready so far, and what the first packets met.
#[derive(Default)]
struct Arrivals {
    ready: BTreeMap<PodId, Pod>,
    first: Vec<Answer>,
}

/// Adds all Pods in parallel. As each ADD returns, one datagram of each family goes at once from the Pod to every
/// Pod that is ready, and from each of them to it: a single datagram is never sent again, so one
/// that is lost is seen.
pub(super) fn add_all(
    bed: &Testbed,
    prober: &Prober,
    objects: &Objects,
) -> Result<(BTreeMap<PodId, Pod>, Vec<Answer>)> {
    let mut sandboxes = Vec::new();
    for (id, pod) in &objects.pods {
        let sandbox = Sandbox::create(bed, id.clone(), &pod.uid)?;
        let ports = |wanted| {
            PORTS
                .iter()
                .filter(move |(p, _)| *p == wanted)
                .map(|(_, port)| *port)
        };
        let tcp: Vec<_> = ports(Protocol::Tcp).collect();
        let udp: Vec<_> = ports(Protocol::Udp).collect();
        prober.serve(&sandbox.netns, id, &tcp, &udp)?;
        sandboxes.push((sandbox, node_of(bed, &pod.node)?));
    }
    let arrivals = Mutex::new(Arrivals::default());
    std::thread::scope(|scope| {
        let added: Vec<_> = sandboxes
            .into_iter()
            .map(|(sandbox, node)| {
                scope.spawn(|| add_one(sandbox, node, prober, objects, &arrivals))
            })
            .collect();
        added.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("adding a Pod panicked")))
        })
    })?;
    let arrivals = arrivals
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok((arrivals.ready, arrivals.first))
}

fn add_one(
    sandbox: Sandbox,
    node: &Node,
    prober: &Prober,
    objects: &Objects,
    arrivals: &Mutex<Arrivals>,
) -> Result<()> {
    let pod = sandbox.wire(node)?;
    let id = pod.id().clone();
    let pods = {
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.ready.insert(id.clone(), pod);
        arrivals.ready.clone()
    };
    let questions = first_questions(objects, &pods, &id);
    let answers = matrix::ask_among(prober, &pods, questions)?;
    arrivals
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .first
        .extend(answers);
    Ok(())
}

/// One datagram of each family each way between `new` and every Pod that was ready before it.
fn first_questions(objects: &Objects, pods: &BTreeMap<PodId, Pod>, new: &PodId) -> Vec<Question> {
    let (protocol, port) = (Protocol::Udp, 5353);
    let mut questions = Vec::new();
    for addresses in by_family(pods) {
        let Some(own) = addresses.get(new) else {
            continue;
        };
        let reading = Reading::new(objects, &addresses);
        let question = |from: &PodId, to: &PodId, address: IpAddr| Question {
            from: from.clone(),
            to: Target::Pod(to.clone()),
            address,
            protocol,
            port,
            expected: reading.direct(from, to, protocol, port),
        };
        for (other, address) in addresses.iter().filter(|(other, _)| *other != new) {
            questions.push(question(new, other, *address));
            questions.push(question(other, new, *own));
        }
    }
    questions
}

/// Removes all Pods through CNI and checks that no node keeps an Interface of theirs.
pub(super) fn remove_all(world: World) -> Result<()> {
    let World {
        cluster,
        prober,
        pods,
    } = world;
    let bed = cluster.bed();
    drop(prober);
    for (id, pod) in pods {
        let node = node_of(bed, &pod.node)?;
        pod.remove(node)
            .with_context(|| format!("cannot remove {id}"))?;
    }
    for node in bed.nodes() {
        let left = node
            .ovs()
            .vsctl("--bare --columns=name find Interface external_ids:iface-id!=\"\"")?;
        if !left.trim().is_empty() {
            bail!(
                "{} keeps interfaces of removed Pods: {}",
                node.name(),
                left.trim()
            );
        }
    }
    Ok(())
}
