// SPDX-License-Identifier: Apache-2.0
//! Editing a policy while traffic flows, and waiting until the packets agree with the YAML.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::matrix::{self, Question, Target};
use super::objects;
use super::report::Edited;
use super::{World, millis};
use crate::stream::Stream;
use crate::{Probe, Protocol};

/// Longest time a changed policy may take until packets show it.
const LIMIT: Duration = Duration::from_secs(10);
/// Silence that proves that an established connection is cut.
const SILENCE: Duration = Duration::from_millis(400);
/// A probe of this length is sent again and again until the verdict is as wished.
const SHORT: Duration = Duration::from_millis(50);

/// A new text for one of the manifests.
pub(super) struct Edit {
    source: PathBuf,
}

impl Edit {
    pub(super) fn name(&self) -> String {
        self.source
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

/// The edit that comes with a directory of manifests: the first file of its folder `edit`.
pub(super) fn find(manifests: &Path) -> Result<Option<Edit>> {
    let folder = manifests.join("edit");
    if !folder.is_dir() {
        return Ok(None);
    }
    Ok(objects::manifests(&folder)?
        .into_iter()
        .next()
        .map(|source| Edit { source }))
}

/// Replaces the manifest and waits until every changed verdict is seen.
pub(super) fn apply(world: &World, edit: &Edit) -> Result<Edited> {
    let before = questions_now(world)?;
    let streams = open_streams(world, before.values())?;

    let text = std::fs::read_to_string(&edit.source)
        .with_context(|| format!("cannot read {}", edit.source.display()))?;
    let start = Instant::now();
    world.cluster.put_manifest(&edit.name(), &text)?;
    let after = questions_now(world)?;
    let changed: Vec<_> = after
        .iter()
        .filter(|(key, question)| {
            before
                .get(*key)
                .is_none_or(|old| old.expected != question.expected)
        })
        .map(|(_, question)| question)
        .collect();

    let slowest = await_verdicts(world, &changed, start)?;
    let mut cut = 0;
    for (question, stream) in &streams {
        let now = after
            .get(&key(question))
            .is_some_and(|now| now.expected.is_allowed());
        if now {
            stream
                .expect_progress(64, LIMIT)
                .with_context(|| words(question))?;
        } else {
            stream
                .expect_stall(SILENCE, LIMIT)
                .with_context(|| words(question))?;
            cut += 1;
        }
    }
    Ok(Edited {
        file: edit.name(),
        verdicts_changed: changed.len(),
        milliseconds: millis(slowest),
        connections_cut: cut,
        connections_kept: streams.len() - cut,
    })
}

/// Probes until every verdict is right; answers how long after `start` the round was sent that saw
/// the last of them right.
fn await_verdicts(world: &World, changed: &[&Question], start: Instant) -> Result<Duration> {
    let mut waiting = changed.to_vec();
    let mut last = Duration::ZERO;
    while let Some(one) = waiting.first() {
        if start.elapsed() > LIMIT {
            let Question {
                from,
                to,
                protocol,
                port,
                expected,
                ..
            } = one;
            bail!("{from} -> {to} {protocol}/{port} is not {expected} {LIMIT:?} after the edit");
        }
        last = start.elapsed();
        let probes = waiting.iter().map(|question| {
            let from = world.pods.get(&question.from).context("the Pod is gone")?;
            let mut probe = Probe::new(
                from.netns(),
                question.protocol,
                question.address,
                question.port,
            );
            probe.deadline = SHORT;
            Ok(probe)
        });
        let seen = world.prober.probe_all(probes.collect::<Result<Vec<_>>>()?);
        let mut seen = seen.iter();
        waiting.retain(|question| !seen.next().is_some_and(|s| question.expected.admits(s)));
    }
    Ok(last)
}

type Key = (crate::PodId, Target, IpAddr, Protocol, u16);

fn key(question: &Question) -> Key {
    (
        question.from.clone(),
        question.to.clone(),
        question.address,
        question.protocol,
        question.port,
    )
}

fn questions_now(world: &World) -> Result<BTreeMap<Key, Question>> {
    let questions = matrix::questions(&world.objects()?, &world.addresses());
    Ok(questions
        .into_iter()
        .map(|question| (key(&question), question))
        .collect())
}

/// A long-lived connection for every pair that may talk TCP now.
fn open_streams<'a>(
    world: &World,
    questions: impl Iterator<Item = &'a Question>,
) -> Result<Vec<(Question, Stream)>> {
    let mut streams = Vec::new();
    for question in questions {
        let direct = matches!(question.to, Target::Pod(_));
        if direct && question.protocol == Protocol::Tcp && question.expected.is_allowed() {
            let from = world.pods.get(&question.from).context("the Pod is gone")?;
            let to = SocketAddr::new(question.address, question.port);
            let stream =
                Stream::open(&world.prober, from.netns(), to).with_context(|| words(question))?;
            streams.push((question.clone(), stream));
        }
    }
    Ok(streams)
}

fn words(question: &Question) -> String {
    format!(
        "the established connection {} -> {}",
        question.from, question.to
    )
}
