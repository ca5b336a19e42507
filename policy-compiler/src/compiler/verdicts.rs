// SPDX-License-Identifier: Apache-2.0
//! Answers to whether a connection would pass: a walk through the policy tables as they are compiled.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use openflow_codec::{Action, Field, Instruction, Match, MatchField, TableId};

use super::Compiler;
use crate::explain::Cause;
use crate::identity::IdentityFlags;
use crate::layer::Entry;
use crate::model::{Direction, Family, Node, ObjectKey, Pod, Protocol, RuleAction, Tier};
use crate::pipeline::{Table, register};
use crate::stage::policy::tier_of;
use crate::verdict::{End, Question, QuestionError, Says, Step, Verdict};

/// Names that are offered instead of one that does not exist.
const SUGGESTIONS: usize = 3;

/// Letters by which a name may differ to be offered.
const MISSPELT: usize = 2;

/// Tables on the way, each at most twice, and room to spare.
const MAX_LOOKUPS: usize = 32;

/// An end of the connection, as far as it is known.
#[derive(Default)]
pub(super) struct Party<'a> {
    pub(super) pod: Option<(&'a ObjectKey, &'a Pod)>,
    pub(super) addresses: Vec<IpAddr>,
}

/// How a connection comes to where it ends.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// As it was opened.
    Direct,
    /// By a Service.
    Service,
    /// By a Service that masquerades it where it leaves the node at which it enters, as far as that
    /// is known.
    Masqueraded(Option<&'a Node>),
}

impl Compiler {
    /// Whether a connection would pass, by the flows as they are now, and who decides.
    ///
    /// # Errors
    /// There is no such Pod or node, or the Pod is not on the Pod network; there is no such Service or
    /// port of it.
    pub fn verdict(&self, question: &Question) -> Result<Verdict, QuestionError> {
        match self.verdict_by_service(question)? {
            Some(verdict) => Ok(verdict),
            None => self.verdict_at(question, Way::Direct),
        }
    }

    /// The same where the connection ends.
    pub(super) fn verdict_at(
        &self,
        question: &Question,
        way: Way<'_>,
    ) -> Result<Verdict, QuestionError> {
        let (from, to) = (self.party(&question.from)?, self.party(&question.to)?);
        if let Some(note) = self.always(&from, &to, way) {
            return Ok(Verdict {
                allowed: true,
                note: Some(note.to_owned()),
                ..Verdict::default()
            });
        }
        let packet = self.packet(question, &from, &to, way)?;
        let subjects = [(Direction::Egress, from.pod), (Direction::Ingress, to.pod)];
        Ok(self.walk(packet, subjects))
    }

    /// Why a connection passes of which no policy is asked.
    fn always(&self, from: &Party<'_>, to: &Party<'_>, way: Way<'_>) -> Option<&'static str> {
        if from.pod.is_none() && to.pod.is_none() {
            return Some("no Pod is at either end, so no policy is about it");
        }
        let (key, pod) = to.pod?;
        // A Pod that reaches itself by a Service is subject to policies.
        if matches!(way, Way::Direct) && from.pod.is_some_and(|(from, _)| from == key) {
            return Some("a Pod reaches its own address whatever policies say");
        }
        // "Traffic to and from the node where a Pod is running is always allowed."
        let node = self.nodes.get(pod.node.as_deref()?)?;
        let of_node = |address| node.status_addresses.contains(address);
        // By a port of another node it comes from there, like the world's.
        let comes_from_there =
            matches!(way, Way::Masqueraded(Some(enters)) if enters.name != node.name);
        let own_node =
            from.pod.is_none() && from.addresses.iter().any(of_node) && !comes_from_there;
        own_node.then_some("a Pod's own node reaches it whatever policies say")
    }

    pub(super) fn party(&self, end: &End) -> Result<Party<'_>, QuestionError> {
        let key = match end {
            End::Service(key) => return Err(QuestionError::ServiceSends(key.clone())),
            End::Node(name) => {
                let addresses = self.node_named(name)?.status_addresses.clone();
                return Ok(Party {
                    pod: None,
                    addresses,
                });
            }
            End::Pod(key) => key.clone(),
            End::Address(address) => match self.pod_at(*address) {
                Some(key) => {
                    let pod = self.pods.get_key_value(&key);
                    let addresses = vec![*address];
                    return Ok(Party { pod, addresses });
                }
                None => {
                    return Ok(Party {
                        pod: None,
                        addresses: vec![*address],
                    });
                }
            },
        };
        let Some((key, pod)) = self.pods.get_key_value(&key) else {
            let pod = format!("{}/{}", key.namespace, key.name);
            let names = self.pods.keys();
            let names = names.map(|key| format!("{}/{}", key.namespace, key.name));
            let close = close_to(names, &pod);
            return Err(QuestionError::UnknownPod { pod, close });
        };
        if !pod.on_pod_network() {
            return Err(QuestionError::NotOnPodNetwork(key.clone()));
        }
        let mut addresses: Vec<IpAddr> = self.attachments.addresses(key).collect();
        addresses.extend(pod.addresses.iter().flat_map(|all| all.iter()));
        Ok(Party {
            pod: Some((key, pod)),
            addresses,
        })
    }

    /// The node of this name.
    pub(super) fn node_named(&self, name: &str) -> Result<&Node, QuestionError> {
        self.nodes
            .get(name)
            .ok_or_else(|| QuestionError::UnknownNode {
                node: name.to_owned(),
                close: close_to(self.nodes.keys().cloned(), name),
            })
    }

    pub(super) fn pod_at(&self, address: IpAddr) -> Option<ObjectKey> {
        let plugged = self.attachments.pod_at(address);
        let says = |pod: &Pod| {
            pod.addresses
                .is_some_and(|all| all.iter().any(|a| a == address))
        };
        let known = || {
            let mut pods = self.pods.iter();
            let found = pods.find(|(_, pod)| pod.on_pod_network() && says(pod));
            found.map(|(key, _)| key.clone())
        };
        plugged.or_else(known)
    }

    fn packet(
        &self,
        question: &Question,
        from: &Party<'_>,
        to: &Party<'_>,
        way: Way<'_>,
    ) -> Result<Packet, QuestionError> {
        let of = |party: &Party<'_>, family| {
            let mut addresses = party.addresses.iter().copied();
            addresses.find(|address| Family::of(*address) == family)
        };
        let fits =
            |party: &Party<'_>, family| party.addresses.is_empty() || of(party, family).is_some();
        let mut families = Family::ALL
            .into_iter()
            .filter(|family| fits(from, *family) && fits(to, *family));
        let both_unknown = from.addresses.is_empty() && to.addresses.is_empty();
        let family = if both_unknown {
            self.families.iter().next()
        } else {
            families.next()
        };
        let name = |end: &End| match end {
            End::Pod(key) | End::Service(key) => key.to_string(),
            End::Address(address) => address.to_string(),
            End::Node(name) => format!("node/{name}"),
        };
        let family = family
            .ok_or_else(|| QuestionError::NoFamily(name(&question.from), name(&question.to)))?;
        let wire = |party: &Party<'_>| {
            let (key, pod) = party.pod?;
            let egress_isolated =
                self.policies
                    .isolates(&key.namespace, &pod.labels, Direction::Egress);
            Some(
                self.identities
                    .of(key)?
                    .wire(IdentityFlags { egress_isolated }),
            )
        };
        let ingress_isolated = to.pod.is_some_and(|(key, pod)| {
            self.policies
                .isolates(&key.namespace, &pod.labels, Direction::Ingress)
        });
        Ok(Packet {
            source: wire(from).unwrap_or(0),
            destination: wire(to).unwrap_or(0),
            flags: if ingress_isolated {
                register::DESTINATION_ISOLATED
            } else {
                0
            },
            family,
            src: match way {
                Way::Masqueraded(node) => masqueraded(node, to, family, of(from, family)),
                Way::Direct | Way::Service => of(from, family),
            },
            dst: of(to, family),
            protocol: question.protocol,
            port: question.port,
        })
    }

    fn walk(
        &self,
        mut packet: Packet,
        subjects: [(Direction, Option<(&ObjectKey, &Pod)>); 2],
    ) -> Verdict {
        let tables = self.policy_tables();
        let mut verdict = Verdict::default();
        let mut staged = Vec::new();
        let mut table = Table::AdminEgress;
        for _ in 0..MAX_LOOKUPS {
            match table {
                Table::Denied => break,
                Table::Commit => {
                    verdict.allowed = true;
                    break;
                }
                _ => {}
            }
            let Some(found) = self.find(&tables, table, &packet, &mut verdict.depends) else {
                break;
            };
            let mut again = false;
            let mut next = None;
            for instruction in &found.flow.instructions {
                match instruction {
                    Instruction::GotoTable(id) => next = Table::from_id(*id),
                    Instruction::ApplyActions(actions) => {
                        for action in actions {
                            match action {
                                Action::SetField { value, .. } => packet.flags |= value,
                                Action::Resubmit { table: id, .. } if *id == table.id() => {
                                    again = true;
                                }
                                Action::Resubmit { table: id, .. } => {
                                    let aside = Table::from_id(*id);
                                    let counted = aside.and_then(|aside| {
                                        self.find(&tables, aside, &packet, &mut Vec::new())
                                    });
                                    staged.extend(counted.into_iter().flat_map(|found| {
                                        let causes = self.causes(found).into_iter();
                                        causes.filter(|cause| would(cause).is_some())
                                    }));
                                }
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
            if again {
                continue;
            }
            if let Some((tier, direction)) = tier_of(table) {
                let subject = subjects.iter().find(|(of, _)| *of == direction);
                if let Some((_, Some((key, pod)))) = subject {
                    let staged = std::mem::take(&mut staged);
                    let step = self.step((tier, direction), found, next, (key, pod), staged);
                    verdict.steps.push(step);
                }
            }
            let Some(next) = next else { break };
            table = next;
        }
        verdict
    }

    fn step(
        &self,
        (tier, direction): (Tier, Direction),
        found: &Entry,
        next: Option<Table>,
        (key, pod): (&ObjectKey, &Pod),
        staged: Vec<Cause>,
    ) -> Step {
        let causes = self.causes(found);
        let decision = causes.iter().find_map(|cause| cause.decision.as_ref());
        let says = match decision.map(|decision| decision.action) {
            _ if next == Some(Table::Denied) => Says::Denied,
            Some(RuleAction::Accept) => Says::Allowed,
            Some(RuleAction::Pass) => Says::Passed,
            Some(RuleAction::Deny) | None => Says::Nothing,
        };
        let by_isolation = says == Says::Denied && decision.is_none_or(|d| d.rule.is_none());
        let isolating = if by_isolation {
            self.policies
                .isolating(&key.namespace, &pod.labels, direction)
        } else {
            Vec::new()
        };
        Step {
            direction,
            tier,
            says,
            cookie: found.flow.cookie,
            causes,
            isolating,
            staged,
        }
    }

    /// The flow that a packet finds; what might be found instead, if an address were known, is added
    /// to `depends`.
    fn find<'a>(
        &self,
        tables: &BTreeMap<TableId, Vec<&'a Entry>>,
        table: Table,
        packet: &Packet,
        depends: &mut Vec<Cause>,
    ) -> Option<&'a Entry> {
        for entry in tables.get(&table.id()).into_iter().flatten() {
            match packet.fits(&entry.flow.flow_match) {
                Fit::Yes => return Some(entry),
                Fit::No => {}
                Fit::Depends => depends.extend(self.causes(entry)),
            }
        }
        None
    }

    /// Flows of the tables of policies, those of higher priority first.
    fn policy_tables(&self) -> BTreeMap<TableId, Vec<&Entry>> {
        let mut tables: BTreeMap<TableId, Vec<&Entry>> = BTreeMap::new();
        for entry in self.owners.cluster().entries() {
            let table = entry.flow.table;
            if table >= Table::AdminEgress.id() {
                tables.entry(table).or_default().push(entry);
            }
        }
        for entries in tables.values_mut() {
            entries.sort_by_key(|entry| Reverse(entry.flow.priority));
        }
        tables
    }

    fn causes(&self, entry: &Entry) -> Vec<Cause> {
        let found = self.explain(entry.flow.cookie).into_iter();
        found.flat_map(|found| found.causes).collect()
    }
}

/// The source that policies see of a masqueraded connection: the client's on the node where it enters,
/// that node's on every other.
fn masqueraded(
    node: Option<&Node>,
    to: &Party<'_>,
    family: Family,
    client: Option<IpAddr>,
) -> Option<IpAddr> {
    let Some((_, pod)) = to.pod else {
        return client;
    };
    let node = node?;
    if pod.node.as_deref() == Some(&*node.name) {
        return client;
    }
    let mut addresses = node.masquerade_addresses();
    addresses.find(|address| Family::of(*address) == family)
}

/// Names that are nearly the one that is wanted.
pub(super) fn close_to(names: impl Iterator<Item = String>, wanted: &str) -> Vec<String> {
    let near = names.map(|name| (strsim::osa_distance(&name, wanted), name));
    let mut near: Vec<_> = near.filter(|(distance, _)| *distance <= MISSPELT).collect();
    near.sort();
    let least = near.first().map(|(distance, _)| *distance);
    near.retain(|(distance, _)| Some(*distance) == least);
    near.truncate(SUGGESTIONS);
    near.into_iter().map(|(_, name)| name).collect()
}

/// What a staged policy would do.
fn would(cause: &Cause) -> Option<RuleAction> {
    let decision = cause.decision.as_ref().filter(|decision| decision.staged);
    decision.map(|decision| decision.action)
}

/// What the tables of policies see of a packet.
struct Packet {
    source: u128,
    destination: u128,
    flags: u128,
    family: Family,
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    protocol: Protocol,
    port: u16,
}

/// Whether a flow matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// On an address that is not known.
    Depends,
}

impl Packet {
    fn fits(&self, flow_match: &Match) -> Fit {
        let mut fit = Fit::Yes;
        for field in flow_match.fields() {
            let MatchField::Known { field, value, mask } = field else {
                return Fit::No;
            };
            match self.value(field) {
                Some(Some(own)) if own & mask.unwrap_or(u128::MAX) == value => {}
                Some(None) => fit = Fit::Depends,
                Some(Some(_)) | None => return Fit::No,
            }
        }
        fit
    }

    /// `None`: the packet has no such field. `Some(None)`: what is in it is not known.
    fn value(&self, field: Field) -> Option<Option<u128>> {
        let part = |register: u128, from_the_right: u32| {
            Some(Some(register >> (32 * from_the_right) & 0xffff_ffff))
        };
        let address = |address: Option<IpAddr>| Some(address.map(crate::stage::family::number));
        let port = |protocol| (self.protocol == protocol).then_some(Some(u128::from(self.port)));
        match field {
            Field::Reg1 => Some(Some(self.flags)),
            Field::Reg4 => part(self.source, 3),
            Field::Reg5 => part(self.source, 2),
            Field::Reg6 => part(self.source, 1),
            Field::Reg7 => part(self.source, 0),
            Field::Reg8 => part(self.destination, 3),
            Field::Reg9 => part(self.destination, 2),
            Field::Reg10 => part(self.destination, 1),
            Field::Reg11 => part(self.destination, 0),
            Field::EthType => Some(Some(u128::from(self.family.eth_type()))),
            Field::IpProto => Some(Some(u128::from(self.protocol.number()))),
            Field::TcpDst => port(Protocol::Tcp),
            Field::UdpDst => port(Protocol::Udp),
            Field::SctpDst => port(Protocol::Sctp),
            field if field == self.family.src() => address(self.src),
            field if field == self.family.dst() => address(self.dst),
            _ => None,
        }
    }
}
