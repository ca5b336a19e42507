// SPDX-License-Identifier: Apache-2.0
//! Staying up: what to try next, and a few commands.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result, bail};

use super::World;
use super::matrix::{self, Style, Target};
use super::report::Progress;
use crate::{PodId, Probe, Protocol, command};

const HELP: &str = "commands: matrix | probe FROM TO [tcp/8080] | help | quit
  FROM is NAMESPACE/NAME of a Pod; TO is a Pod, or service NAMESPACE/NAME";

/// Reads commands until `quit` or the end of input.
pub(super) fn run(world: &World, style: Style, progress: &Progress) -> Result<()> {
    progress.show(&hints(world)?);
    progress.show(HELP);
    let mut line = String::new();
    loop {
        print!("demo> ");
        std::io::stdout().flush()?;
        line.clear();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            println!();
            return Ok(());
        }
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let answer = match words.as_slice() {
            [] => continue,
            ["quit" | "exit" | "q"] => return Ok(()),
            ["matrix"] => world
                .probe_matrix()
                .map(|answers| matrix::render(&answers, style)),
            ["probe", rest @ ..] => probe(world, rest),
            _ => Ok(HELP.to_owned()),
        };
        match answer {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{error:#}"),
        }
    }
}

fn probe(world: &World, words: &[&str]) -> Result<String> {
    let (from, to, port) = match words {
        [from, "service", to, port @ ..] => (from, Target::Service(to.parse()?), port),
        [from, to, port @ ..] => (from, Target::Pod(to.parse()?), port),
        _ => bail!("{HELP}"),
    };
    let from: PodId = from.parse()?;
    let pod = world
        .pods
        .get(&from)
        .with_context(|| format!("there is no Pod {from}"))?;
    let objects = world.objects()?;
    let (addresses, default) = match &to {
        Target::Pod(id) => {
            let pod = world
                .pods
                .get(id)
                .with_context(|| format!("there is no Pod {id}"))?;
            (&pod.addresses, 8080)
        }
        Target::Service(id) => {
            let service = objects
                .services
                .get(id)
                .with_context(|| format!("there is no Service {id}"))?;
            (&service.cluster_ips, 80)
        }
    };
    let (protocol, port) = match port {
        [] => (Protocol::Tcp, default),
        [port] => parse_port(port)?,
        _ => bail!("{HELP}"),
    };
    let probes = addresses
        .iter()
        .map(|address| Probe::new(pod.netns(), protocol, *address, port));
    let verdicts = world.prober.probe_all(probes);
    let lines = addresses.iter().zip(verdicts).map(|(address, verdict)| {
        format!("{from} -> {to} ({address}) {protocol}/{port}: {verdict}")
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn parse_port(text: &str) -> Result<(Protocol, u16)> {
    let (protocol, port) = text
        .split_once('/')
        .context("a port is tcp/NUMBER or udp/NUMBER")?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => bail!("`{other}` is neither tcp nor udp"),
    };
    Ok((
        protocol,
        port.parse()
            .with_context(|| format!("`{port}` is not a port"))?,
    ))
}

/// Lines to copy into another terminal.
fn hints(world: &World) -> Result<String> {
    let node = world.cluster.bed().node(1)?;
    let api = world.cluster.api_socket();
    let culvert = command::culvert_binary("culvert")
        .map_or_else(|_| "culvert".to_owned(), |path| path.display().to_string());
    let (api, manifests) = (api.display(), world.cluster.manifests().display());
    let mut text = format!(
        "Try in another terminal (as root):
  {culvert} --api unix:{api} status
  {culvert} --api unix:{api} flows --pod shop/web
  ip netns exec {} ovs-ofctl --names -O OpenFlow15 dump-flows {}
  sed -i 's/app: web/app: db/' {manifests}/policy-shop-api.yaml
    then `matrix` here: shop/web no longer reaches the api Pods on tcp/8080, shop/db does\n",
        node.netns().name(),
        node.ovs().mgmt("br-int"),
    );
    if let Some((id, pod)) = world.pods.iter().next() {
        text.push_str(&format!(
            "  ip netns exec {} bash    # a shell in {id}, {}\n",
            pod.netns().name(),
            pod.address
        ));
    }
    Ok(text)
}
