// SPDX-License-Identifier: Apache-2.0
//! The demo: a small cluster of manifests, real Open vSwitch nodes, and real packets as the judge.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Cluster, Pod, PodId, Prober, Testbed};

mod edit;
mod interrupt;
mod matrix;
pub mod objects;
mod pods;
mod prompt;
pub mod reading;
mod report;

use matrix::{Answer, Style};
use objects::Objects;
use reading::Addresses;
use report::{Progress, Report, Step};

/// What the demo is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the bed.
    pub name: String,
    /// Probe, edit a policy, probe again, tear down; else stay up and ask what to do next.
    pub check: bool,
    /// One JSON document instead of tables.
    pub json: bool,
    /// Directory of manifests to start from.
    pub manifests: PathBuf,
}

/// The example manifests of the source tree.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/demo")
}

/// A running demo: the cluster and its Pods.
struct World {
    cluster: Cluster,
    prober: Prober,
    pods: BTreeMap<PodId, Pod>,
}

impl World {
    fn addresses(&self) -> Vec<Addresses> {
        by_family(&self.pods)
    }

    /// Reads the manifests as they are now.
    fn objects(&self) -> Result<Objects> {
        Objects::read(self.cluster.manifests())
    }

    /// Probes every pair, and compares with the manifests as they are now.
    fn probe_matrix(&self) -> Result<Vec<Answer>> {
        let questions = matrix::questions(&self.objects()?, &self.addresses());
        matrix::ask(self, questions)
    }
}

/// The addresses of the Pods, family by family.
fn by_family(pods: &BTreeMap<PodId, Pod>) -> Vec<Addresses> {
    let of_family = |is_ipv4: bool| -> Addresses {
        let addresses = pods.iter().filter_map(|(id, pod)| {
            let mut own = pod.addresses.iter();
            Some((id.clone(), *own.find(|one| one.is_ipv4() == is_ipv4)?))
        });
        addresses.collect()
    };
    let families = [true, false].map(of_family);
    families
        .into_iter()
        .filter(|addresses| !addresses.is_empty())
        .collect()
}

/// Runs the demo; answers whether every probe was as expected.
pub fn run(options: &Options) -> Result<bool> {
    let progress = Progress::new(options.json);
    let interrupts = interrupt::watch()?;
    let objects = Objects::read(&options.manifests)?;
    progress.say(&format!(
        "building {} nodes on this machine",
        objects.nodes.len()
    ));
    let bed = Arc::new(Testbed::new(&options.name, objects.nodes.len())?);
    interrupts.guard(&bed);
    let outcome = tell(options, &progress, &bed, &objects);
    interrupts.hold_if_interrupted();
    match &outcome {
        Ok(report) if report.ok() => progress.say("tearing down"),
        _ => {
            let logs = bed.keep_logs().display().to_string();
            progress.say(&format!(
                "tearing down; logs, flows and manifests stay in {logs}"
            ));
        }
    }
    bed.tear_down()?;
    let report = outcome?;
    report.print(options.json)?;
    Ok(report.ok())
}

fn tell(
    options: &Options,
    progress: &Progress,
    bed: &Arc<Testbed>,
    objects: &Objects,
) -> Result<Report> {
    check_nodes(bed, objects)?;
    let cluster = Cluster::prepare(bed)?;
    copy_manifests(&options.manifests, &cluster)?;
    progress.say("starting the controller and one agent per node");
    cluster.start_all()?;

    progress.say(&format!(
        "adding {} Pods through CNI, in parallel",
        objects.pods.len()
    ));
    let prober = Prober::new()?;
    let (pods, first) = pods::add_all(bed, &prober, objects)?;
    let world = World {
        cluster,
        prober,
        pods,
    };
    let mut report = Report::new(bed, &world.pods);
    let slowest = world
        .pods
        .values()
        .map(|pod| pod.took)
        .max()
        .unwrap_or_default();
    report.push(Step::first_packets(first));
    progress.say(&format!(
        "all Pods are ready (slowest ADD {} ms); first packets: {}",
        slowest.as_millis(),
        report.first_packets()
    ));

    let style = Style {
        colour: !options.json && std::io::stdout().is_terminal(),
    };
    progress.say("probing every ordered pair, directly and through the Service");
    let answers = world.probe_matrix()?;
    progress.show(&matrix::render(&answers, style));
    report.push(Step::matrix("matrix", answers));

    if options.check {
        if let Some(edit) = edit::find(&options.manifests)? {
            progress.say(&format!("editing {}", edit.name()));
            let edited = edit::apply(&world, &edit)?;
            progress.say(&edited.words());
            report.edited(edited);
            let answers = world.probe_matrix()?;
            progress.show(&matrix::render(&answers, style));
            report.push(Step::matrix("matrix after the edit", answers));
        }
        progress.say("removing the Pods through CNI");
        pods::remove_all(world)?;
    } else {
        prompt::run(&world, style, progress)?;
    }
    Ok(report)
}

/// The manifests describe the bed, not the other way round: their addresses must be the bed's.
fn check_nodes(bed: &Testbed, objects: &Objects) -> Result<()> {
    for node in bed.nodes() {
        let (name, underlay) = (node.name(), node.underlay());
        let address = objects
            .nodes
            .get(&name)
            .with_context(|| format!("the manifests have no Node {name}; nodes are node-1, ..."))?;
        ensure!(
            *address == std::net::IpAddr::from(underlay),
            "Node {name} has InternalIP {address}, but the bed gives it {underlay}; edit the Node"
        );
    }
    Ok(())
}

/// The controller reads a copy, so that edits during the demo leave the examples alone.
fn copy_manifests(from: &Path, cluster: &Cluster) -> Result<()> {
    for path in objects::manifests(from)? {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a manifest's name")?;
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        cluster.put_manifest(name, &text)?;
    }
    Ok(())
}

/// Milliseconds with one decimal place.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// The node a Pod of the manifests belongs to.
fn node_of<'a>(bed: &'a Testbed, name: &str) -> Result<&'a crate::Node> {
    match bed.nodes().iter().find(|node| node.name() == name) {
        Some(node) => Ok(node),
        None => bail!("no Node {name} in the manifests"),
    }
}
