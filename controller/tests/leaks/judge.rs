// SPDX-License-Identifier: Apache-2.0
//! Random changes, random order of what switches do, and a verdict after every step.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use flow_sim::Packet;
use reference::{Dice, Outcome, Vocabulary};

use crate::end::End;
use crate::fleet::{Fleet, Happening};
use crate::state::{self, NODES, Place, PodRef, SERVICE_PORT, State, TARGET_PORT};

/// New connections that are tried after every step.
const PROBES: usize = 10;
/// Connections that are kept open.
const STREAMS: usize = 12;
/// Changes that are under way at once, at most.
const BURST: usize = 3;
const ACK: u16 = 0x10;

/// What changes, while switches come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Pods, namespaces, a Service and `NetworkPolicy`.
    Policies,
    /// `ClusterNetworkPolicy`, too.
    ClusterPolicies,
}

/// A cluster on trial.
pub(crate) struct Court {
    seed: u64,
    trial: Trial,
    dice: Dice,
    words: Vocabulary,
    fleet: Fleet,
    /// States that may still be in force somewhere, the wanted one last.
    history: VecDeque<State>,
    /// Number of the first of them.
    first: usize,
    /// Number of the state that every connected switch held when nothing was under way.
    base: usize,
    /// The same for each node; older than `base` while its switch is not connected.
    synced: [usize; NODES],
    /// Pods that were ready when nothing was under way: every connected switch has them behind Services.
    serving: BTreeSet<End>,
    streams: Vec<Stream>,
    next_port: u16,
    next_uid: u64,
    /// Pods that the latest changes are about.
    concerned: Vec<Place>,
    /// What happened since everything was quiet.
    log: Vec<String>,
    pub(crate) tally: Tally,
}

/// How much was judged.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    changes: usize,
    steps: usize,
    probes: usize,
    passed: usize,
    /// Of these, with an end that is no Pod.
    passed_outside: usize,
}

/// A connection that was established once.
#[derive(Clone, Debug)]
struct Stream {
    from: End,
    to: End,
    client_port: u16,
    port: u16,
}

impl Court {
    pub(crate) fn new(seed: u64, trial: Trial) -> Self {
        let state = State::empty();
        Self {
            seed,
            trial,
            dice: Dice::new(seed),
            words: state::vocabulary(),
            fleet: Fleet::new(&state),
            history: VecDeque::from([state]),
            first: 0,
            base: 0,
            synced: [0; NODES],
            serving: BTreeSet::new(),
            streams: Vec::new(),
            next_port: 10_000,
            next_uid: 1,
            concerned: Vec::new(),
            log: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Makes so many changes, and judges after every step of every switch.
    pub(crate) fn run(mut self, changes: usize) {
        for node in 0..NODES - 1 {
            self.toggle(node);
        }
        self.settle(0);
        while self.tally.changes < changes {
            let laggard = self.dice.below(NODES);
            for _ in 0..=self.dice.below(BURST) {
                self.change();
                for _ in 0..self.dice.below(4) {
                    self.step(laggard);
                }
                // The last node joins late; afterwards any may go, and soon comes back.
                let node = self.dice.below(NODES);
                let out_of = if self.fleet.is_connected(node) { 60 } else { 4 };
                if self.dice.chance(1, out_of) {
                    self.toggle(node);
                }
            }
            self.settle(laggard);
            if self.dice.chance(1, 20) {
                self.fleet.forget_connections();
                self.streams.clear();
            }
        }
        println!("seed {}: {:?}", self.seed, self.tally);
        assert!(self.tally.passed > changes, "{:?}", self.tally);
        assert!(self.tally.passed_outside > changes, "{:?}", self.tally);
    }

    fn now(&self) -> &State {
        self.history.back().expect("there is always a wanted state")
    }

    fn change(&mut self) {
        self.tally.changes += 1;
        self.next_uid += 1;
        let old = self.now().clone();
        let cluster_policies = self.trial == Trial::ClusterPolicies;
        let (new, what) = old.changed(&self.words, &mut self.dice, self.next_uid, cluster_policies);
        self.log.push(what);
        self.concerned = old.concerned(&new).into_iter().collect();
        self.history.push_back(new.clone());
        self.fleet.change(&old, &new);
        self.streams
            .retain(|stream| new.has(stream.from) && new.has(stream.to));
    }

    fn toggle(&mut self, node: usize) {
        self.log
            .push(format!("node {node} connects or disconnects"));
        if self.fleet.is_fresh(node) {
            self.synced[node] = self.base;
        }
        self.fleet.toggle_connection(node);
        self.note_quiet();
    }

    /// Until nothing is under way.
    fn settle(&mut self, laggard: usize) {
        while self.step(laggard) {}
        for pod in self.now().pods().collect::<Vec<_>>() {
            assert!(
                self.fleet.is_ready(End::Pod(pod)) || !self.fleet.is_fresh(pod.node),
                "{pod:?} is not ready although nothing is under way: {} {}",
                self.fleet.waiting(),
                self.evidence()
            );
        }
        self.judge();
    }

    /// One switch does one thing, one that does not lag if there is a choice; false when there is
    /// nothing to do.
    fn step(&mut self, laggard: usize) -> bool {
        let mut happenings = self.fleet.happenings();
        if happenings.iter().any(|one| one.node() != laggard) && self.dice.chance(9, 10) {
            happenings.retain(|one| one.node() != laggard);
        }
        let Some(happening) = self.dice.pick(&happenings).copied() else {
            return false;
        };
        self.log.push(format!("{happening:?}"));
        self.fleet.happen(happening);
        self.note_quiet();
        if matches!(happening, Happening::Apply(_)) {
            self.tally.steps += 1;
            self.judge();
        }
        true
    }

    /// When nothing is under way every connected switch holds the wanted state.
    fn note_quiet(&mut self) {
        if !self.fleet.happenings().is_empty() {
            return;
        }
        self.base = self.first + self.history.len() - 1;
        let pods = self.now().pods().map(End::Pod);
        self.serving = pods.filter(|pod| self.fleet.is_ready(*pod)).collect();
        let fleet = &self.fleet;
        let synced = self.synced.iter_mut().enumerate();
        for (_, synced) in synced.filter(|(node, _)| fleet.is_fresh(*node)) {
            *synced = self.base;
        }
        let oldest = self.synced.iter().min().copied().unwrap_or(self.base);
        while self.first < oldest {
            self.history.pop_front();
            self.first += 1;
        }
        self.log.clear();
    }

    fn judge(&mut self) {
        for _ in 0..PROBES {
            self.probe();
        }
        self.probe_service();
        for _ in 0..4.min(self.streams.len()) {
            let at = self.dice.below(self.streams.len());
            self.probe_stream(at);
        }
    }

    /// A Pod, one that the latest change is about if the dice say so.
    fn some_pod(&mut self) -> Option<PodRef> {
        let pods: Vec<PodRef> = self.now().pods().collect();
        if self.dice.chance(2, 3) {
            let near: Vec<PodRef> = pods
                .iter()
                .filter(|pod| self.concerned.contains(&pod.place))
                .copied()
                .collect();
            if let Some(pod) = self.dice.pick(&near) {
                return Some(*pod);
            }
        }
        self.dice.pick(&pods).copied()
    }

    /// Two Pods, or one Pod and somebody who is none, in either direction.
    fn some_ends(&mut self) -> Option<(End, End)> {
        let pod = self.some_pod()?;
        if self.dice.chance(3, 4) {
            let other = self.some_pod()?;
            let fit = pod != other && pod.family == other.family;
            return fit.then_some((End::Pod(pod), End::Pod(other)));
        }
        let ends = (End::Pod(pod), End::outside(pod, &mut self.dice));
        Some(match self.dice.chance(1, 2) {
            true => ends,
            false => (ends.1, ends.0),
        })
    }

    /// A new connection between the two.
    fn probe(&mut self) {
        let Some((from, to)) = self.some_ends() else {
            return;
        };
        if !self.may_send(from) {
            return;
        }
        let protocol = *self.dice.pick(&["TCP", "UDP", "SCTP"]).unwrap();
        let port = *self.dice.pick(&[80, 81, 8080]).unwrap();
        let client_port = self.client_port();
        let sent = packet(protocol, from, client_port, to.address(), port);
        let what = format!("{protocol} {from:?}:{client_port} -> {to:?}:{port}");
        let Some(delivered) = self.send(from, sent) else {
            let lost = self.must(from, to, protocol, port);
            assert!(!lost, "lost: {what} {}", self.evidence());
            // A denied packet opens nothing for what looks like its answer.
            let forged = packet(protocol, to, port, from.address(), client_port);
            if self.may_send(to) && self.send(to, forged).is_some() {
                let allowed = self.may(to, from, protocol, client_port);
                assert!(
                    allowed,
                    "answer to a denied packet: {what} {}",
                    self.evidence()
                );
            }
            return;
        };
        assert_eq!(delivered.0, to, "{what}");
        let allowed = self.may(from, to, protocol, port);
        assert!(allowed, "leaked: {what} {}", self.evidence());
        self.tally.passed += 1;
        let is_outside = |end: &End| !matches!(end, End::Pod(_));
        self.tally.passed_outside += usize::from([from, to].iter().any(is_outside));
        let answered = self.send(to, delivered.1.answer());
        if self.must(from, to, protocol, port) {
            let by = answered.map(|(pod, _)| pod);
            assert_eq!(by, Some(from), "answer lost: {what} {}", self.evidence());
            if protocol == "TCP" && self.streams.len() < STREAMS {
                self.streams.push(Stream {
                    from,
                    to,
                    client_port,
                    port,
                });
            }
        }
    }

    /// A packet of an old connection, and its answer.
    fn probe_stream(&mut self, at: usize) {
        let stream = self.streams[at].clone();
        let Stream {
            from,
            to,
            client_port,
            port,
        } = stream;
        if !self.may_send(from) || !self.may_send(to) {
            return;
        }
        let sent = packet("TCP", from, client_port, to.address(), port);
        match self.send(from, sent.with_tcp_flags(ACK)) {
            Some((pod, packet)) => {
                assert_eq!(pod, to);
                let allowed = self.may(from, to, "TCP", port);
                assert!(allowed, "leaked: {stream:?} {}", self.evidence());
                let answer = packet.answer().with_tcp_flags(ACK);
                let answered = self.send(to, answer).is_some();
                assert!(
                    answered || !self.must(from, to, "TCP", port),
                    "answer lost: {stream:?} {}",
                    self.evidence()
                );
            }
            None => {
                let lost = self.must(from, to, "TCP", port);
                assert!(!lost, "lost: {stream:?} {}", self.evidence());
                self.streams.swap_remove(at);
            }
        }
    }

    /// A new connection to the Service.
    fn probe_service(&mut self) {
        let Some(pod) = self.some_pod() else {
            return;
        };
        let from = End::Pod(pod);
        if !self.may_send(from) {
            return;
        }
        let client_port = self.client_port();
        let sent = packet(
            "TCP",
            from,
            client_port,
            state::vip(pod.family),
            SERVICE_PORT,
        );
        let delivered = self.send(from, sent);
        let since = self.oldest(from, from);
        let endpoints: Vec<BTreeSet<End>> = self
            .states(since)
            .map(|state| {
                state
                    .endpoints(pod.family)
                    .into_iter()
                    .map(End::Pod)
                    .collect()
            })
            .collect();
        let what = format!("{from:?}:{client_port} -> Service, endpoints {endpoints:?}");
        if let Some((to, packet)) = delivered {
            let allowed = self.may(from, to, "TCP", TARGET_PORT);
            let known = endpoints.iter().any(|some| some.contains(&to));
            assert!(known, "no endpoint {to:?}: {what} {}", self.evidence());
            assert!(allowed, "leaked to {to:?}: {what} {}", self.evidence());
            let answered = self.send(to, packet.answer()).map(|(pod, _)| pod);
            assert!(
                answered == Some(from) || !self.must_once_delivered(from, to, "TCP", TARGET_PORT),
                "answer of {to:?} lost: {what} {}",
                self.evidence()
            );
            return;
        }
        let all: BTreeSet<End> = endpoints.iter().flatten().copied().collect();
        let pass =
            |court: &Self, to: &End| *to != from && court.must(from, *to, "TCP", TARGET_PORT);
        let served = endpoints
            .iter()
            .all(|some| some.iter().any(|to| self.serving.contains(to)));
        let must = served && all.iter().all(|to| pass(self, to));
        assert!(!must, "lost: {what} {}", self.evidence());
    }

    /// Whether the API allows the connection in some state that may be in force.
    fn may(&self, from: End, to: End, protocol: &str, port: u16) -> bool {
        let since = self.oldest(from, to);
        let mut states = self.states(since);
        if states.any(|state| state.judge(from, to, protocol, port) != Outcome::Dropped) {
            return true;
        }
        let behind = [from, to]
            .iter()
            .any(|end| !self.fleet.is_fresh(end.node()));
        let mut mixtures = self.mixtures(since, behind, from, to, protocol, port);
        (behind || self.is_mixed()) && mixtures.any(|outcome| outcome != Outcome::Dropped)
    }

    /// Whether the API allows it in every state that may be in force, and both ends know.
    fn must(&self, from: End, to: End, protocol: &str, port: u16) -> bool {
        self.fleet.is_ready(to) && self.must_once_delivered(from, to, protocol, port)
    }

    /// The same, of a packet that was sent to this Pod although it may not be ready.
    fn must_once_delivered(&self, from: End, to: End, protocol: &str, port: u16) -> bool {
        let knows = |end: End| self.now().has(end) && self.fleet.is_fresh(end.node());
        let states = self.states(self.base);
        let mut alive = states.filter(|state| state.has(from) && state.has(to));
        let mut mixtures = self.mixtures(self.base, false, from, to, protocol, port);
        self.fleet.is_ready(from)
            && knows(from)
            && knows(to)
            && alive.all(|state| state.judge(from, to, protocol, port) == Outcome::Passes)
            && (!self.is_mixed() || mixtures.all(|outcome| outcome == Outcome::Passes))
    }

    /// Whether several changes are under way: they come into force in any order.
    fn is_mixed(&self) -> bool {
        self.first + self.history.len() - self.base > 2
    }

    /// What any of the rules says of any of the labels. A switch that is `behind` knows old rules, and
    /// an identity that it does not know is isolated for egress when the packet says so, which is by
    /// the rules of the sender's switch.
    fn mixtures(
        &self,
        since: usize,
        behind: bool,
        from: End,
        to: End,
        protocol: &str,
        port: u16,
    ) -> impl Iterator<Item = Outcome> {
        let pairs = self.states(since).flat_map(move |sender| {
            let receivers = self.states(since);
            receivers.map(move |receiver| ((sender, from), (receiver, to)))
        });
        let pairs =
            pairs.filter(|((sender, from), (receiver, to))| sender.has(*from) && receiver.has(*to));
        pairs.flat_map(move |(from, to)| {
            let egress = self.states(since).enumerate();
            egress.flat_map(move |(at, egress)| {
                let ingress = self.states(since).enumerate();
                let ingress = ingress.filter(move |(other, _)| behind || *other == at);
                ingress.map(move |(_, ingress)| {
                    both(
                        egress.judge_side("Egress", from, to, protocol, port),
                        ingress.judge_side("Ingress", from, to, protocol, port),
                    )
                })
            })
        })
    }

    /// Number of the oldest state that may be in force at one of the two nodes.
    fn oldest(&self, from: End, to: End) -> usize {
        let at = |end: End| match self.fleet.is_fresh(end.node()) {
            true => self.base,
            false => self.synced[end.node()].min(self.base),
        };
        at(from).min(at(to))
    }

    fn states(&self, since: usize) -> impl Iterator<Item = &State> {
        self.history.iter().skip(since - self.first)
    }

    /// A Pod runs when CNI ADD has returned. Where the switch listens to the controller, also a Pod
    /// that does not run yet is put to the test.
    fn may_send(&self, end: End) -> bool {
        self.fleet.is_ready(end) || self.fleet.is_fresh(end.node())
    }

    /// Where a packet arrives, and as what; nobody listens in a Pod that does not run yet.
    fn send(&mut self, from: End, packet: Packet) -> Option<(End, Packet)> {
        self.tally.probes += 1;
        let state = self.history.back().expect("there is always a wanted state");
        let delivery = self.fleet.send(state, from, packet)?;
        self.may_send(delivery.to)
            .then_some((delivery.to, delivery.packet))
    }

    fn client_port(&mut self) -> u16 {
        self.next_port = if self.next_port == u16::MAX {
            10_000
        } else {
            self.next_port + 1
        };
        self.next_port
    }

    fn evidence(&self) -> String {
        format!(
            "\n{}\nseed {}, change {}, since all was quiet:\n  {}\nstates from {} (quiet {}, nodes {:?}):\n{:#?}",
            self.fleet.way(),
            self.seed,
            self.tally.changes,
            self.log.join("\n  "),
            self.first,
            self.base,
            self.synced,
            self.history
                .iter()
                .skip(self.base - self.first)
                .collect::<Vec<_>>(),
        )
    }
}

/// What passes must pass both directions.
fn both(egress: Outcome, ingress: Outcome) -> Outcome {
    match (egress, ingress) {
        (Outcome::Dropped, _) | (_, Outcome::Dropped) => Outcome::Dropped,
        (Outcome::Passes, Outcome::Passes) => Outcome::Passes,
        _ => Outcome::Either,
    }
}

fn packet(protocol: &str, from: End, client_port: u16, to: IpAddr, port: u16) -> Packet {
    let (src, dst) = ((from.address(), client_port), (to, port));
    match protocol {
        "TCP" => Packet::tcp(src, dst),
        "UDP" => Packet::udp(src, dst),
        _ => Packet::sctp(src, dst),
    }
}
