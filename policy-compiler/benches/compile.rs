// SPDX-License-Identifier: Apache-2.0
//! How long the compiler alone takes, on one core: large clusters from cold, and one change in them.
//!
//! Ends with a line per figure: `figure NAME VALUE UNIT goal <=|>= GOAL ok|short`.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_compiler::{Change, Compiler, Config, Object};

/// Changes whose slowest hundredth is the figure.
const CHANGES: usize = 2_000;

fn main() -> ExitCode {
    let chosen = std::env::args().nth(1);
    if let Some(shape) = SHAPES
        .iter()
        .find(|shape| Some(shape.name) == chosen.as_deref())
    {
        shape.measure();
        return ExitCode::SUCCESS;
    }
    // A process for each: memory that one has freed would be taken for nothing by the next.
    for shape in &SHAPES {
        let program = std::env::current_exe().expect("this program has a path");
        let child = Command::new(program).arg(shape.name).status();
        if !child.is_ok_and(|status| status.success()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

struct Shape {
    name: &'static str,
    namespaces: usize,
    pods_each: usize,
    policies_each: usize,
    match_all: bool,
    goal_ms: f64,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "many_namespaces",
        namespaces: 25_000,
        pods_each: 4,
        policies_each: 3,
        match_all: false,
        goal_ms: 2_000.0,
    },
    Shape {
        name: "one_namespace",
        namespaces: 1,
        pods_each: 10_000,
        policies_each: 10_000,
        match_all: true,
        goal_ms: 1_000.0,
    },
];

const GOAL_MIB: f64 = 400.0;

impl Shape {
    fn measure(&self) {
        let (name, goal_ms) = (self.name, self.goal_ms);
        println!(
            "{name}: {} namespaces, each with {} Pods and {} policies",
            self.namespaces, self.pods_each, self.policies_each
        );
        // Objects are made and dropped one at a time, as a watch delivers them: what stays is the
        // compiler's own.
        let before = resident_mib();
        let mut compiler = Compiler::new(&Config {
            cluster_secret: [1; 32],
        });
        let mut cold = Duration::ZERO;
        let mut feed = |changes: Vec<Change>| {
            let start = processor_time();
            let output = compiler.apply(changes);
            cold += processor_time().saturating_sub(start);
            assert!(output.rejected.is_empty(), "{:?}", output.rejected.first());
        };
        let mut batch = Vec::new();
        let mut push = |change, last: bool| {
            batch.push(change);
            if batch.len() == 10_000 || last {
                feed(std::mem::take(&mut batch));
            }
        };
        for n in 0..self.namespaces {
            push(Change::Apply(namespace(n)), false);
        }
        for n in 0..self.namespaces {
            for p in 0..self.pods_each {
                push(Change::Apply(pod(n, p, p % 4)), false);
            }
        }
        for n in 0..self.namespaces {
            for p in 0..self.policies_each {
                push(Change::Apply(self.policy(n, p, 8080)), false);
            }
        }
        push(Change::Apply(namespace(0)), true);
        let memory = resident_mib() - before;
        println!(
            "  {} flows in the cluster layer",
            compiler.cluster_flows().count()
        );
        figure(
            &format!("{name}_cold"),
            cold.as_secs_f64() * 1e3,
            "ms",
            goal_ms,
        );
        figure(&format!("{name}_memory"), memory, "MiB", GOAL_MIB);

        let changes = |make: &dyn Fn(usize) -> Change, compiler: &mut Compiler| {
            let mut times: Vec<f64> = Vec::with_capacity(CHANGES);
            for round in 0..CHANGES {
                let change = make(round);
                let start = Instant::now();
                compiler.apply([change]);
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            times.get(CHANGES * 99 / 100).copied().unwrap_or_default()
        };
        let known = |round: usize| {
            let namespace = round % self.namespaces;
            Change::Apply(pod(namespace, self.pods_each + round, round % 4))
        };
        let p99 = changes(&known, &mut compiler);
        figure(&format!("{name}_pod_p99"), p99, "ms", 1.0);
        let edited = |round: usize| {
            let policy = round % self.policies_each;
            Change::Apply(self.policy(round % self.namespaces, policy, 9000 + round % 2))
        };
        let p99 = changes(&edited, &mut compiler);
        figure(&format!("{name}_policy_p99"), p99, "ms", 1.0);
    }

    fn policy(&self, namespace: usize, number: usize, port: usize) -> Object {
        let app = |n: usize| BTreeMap::from([("app".to_owned(), format!("app-{}", n % 4))]);
        let select = |n| LabelSelector {
            match_labels: (!self.match_all).then(|| app(n)),
            match_expressions: None,
        };
        Object::NetworkPolicy(Box::new(NetworkPolicy {
            metadata: meta(Some(namespace), format!("policy-{number}"), BTreeMap::new()),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(select(number)),
                ingress: Some(vec![NetworkPolicyIngressRule {
                    from: Some(vec![NetworkPolicyPeer {
                        pod_selector: Some(select(number + 1)),
                        ..NetworkPolicyPeer::default()
                    }]),
                    ports: Some(vec![NetworkPolicyPort {
                        port: i32::try_from(port).ok().map(IntOrString::Int),
                        ..NetworkPolicyPort::default()
                    }]),
                }]),
                ..NetworkPolicySpec::default()
            }),
        }))
    }
}

fn namespace(number: usize) -> Object {
    let labels = BTreeMap::from([("team".to_owned(), format!("team-{}", number % 10))]);
    Object::Namespace(Box::new(Namespace {
        metadata: ObjectMeta {
            name: Some(format!("namespace-{number}")),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }))
}

fn pod(namespace: usize, number: usize, app: usize) -> Object {
    let labels = BTreeMap::from([("app".to_owned(), format!("app-{app}"))]);
    Object::Pod(Box::new(Pod {
        metadata: meta(Some(namespace), format!("pod-{number}"), labels),
        spec: Some(PodSpec {
            node_name: Some("node-1".to_owned()),
            ..PodSpec::default()
        }),
        status: None,
    }))
}

fn meta(namespace: Option<usize>, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: namespace.map(|number| format!("namespace-{number}")),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// Time that this thread had a processor, so that whatever else runs on the machine does not count.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the kernel tells the time a thread has run"))
}

/// Memory of this process, as the kernel counts it.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn figure(name: &str, value: f64, unit: &str, goal: f64) {
    let verdict = if value <= goal { "ok" } else { "short" };
    println!("figure {name} {value:.3} {unit} goal <= {goal} {verdict}");
}
