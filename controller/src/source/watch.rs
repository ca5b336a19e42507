// SPDX-License-Identifier: Apache-2.0
//! Follows a directory of manifests on a thread of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{io, thread};

use api_types::{FileState, Problem, Severity, Source};
use manifests::{Catalog, Scan, Tree, kinds};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{EventKind, RecursiveMode, Watcher as _};
use policy_compiler::{Change, ObjectKey};
use tokio::sync::mpsc::Sender;

/// An editor's save is several events; they are taken together.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a file that is being written may stay open before it is read all the same.
const WRITE_BOUND: Duration = Duration::from_secs(1);

/// Changes that no event tells of are found by looking.
const RESCAN: Duration = Duration::from_secs(10);

/// When a file was too young for its time stamp to be trusted.
const RESCAN_YOUNG: Duration = Duration::from_secs(1);

/// A new state of the source.
#[derive(Debug)]
pub struct Update {
    /// What is different. Nothing, until the source is loaded.
    pub changes: Vec<Change>,
    /// Files and problems.
    pub status: Source,
    /// File and line of every object in `changes` that exists.
    pub places: Vec<(ObjectKey, String, usize)>,
}

/// The directory cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It is no directory.
    #[error("--source dir:{}: {source}; name a directory of Kubernetes manifests", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system does not tell of changes.
    #[error("--source dir:{}: cannot watch for changes: {source}", path.display())]
    Watch {
        /// What was given.
        path: PathBuf,
        /// What went wrong.
        source: notify::Error,
    },
    /// No thread.
    #[error("cannot start the thread that reads manifests: {0}")]
    Thread(#[source] io::Error),
}

/// Follows `root` until the receiver of `updates` is gone. The first update comes when everything
/// was read once.
///
/// # Errors
/// `root` is no directory, or cannot be watched.
pub fn watch(root: PathBuf, updates: Sender<Update>) -> Result<(), WatchError> {
    std::fs::read_dir(&root).map_err(|source| WatchError::NotADirectory {
        path: root.clone(),
        source,
    })?;
    let (sender, events) = channel();
    let handler = move |event: notify::Result<notify::Event>| {
        if let Some(signal) = signal(event)
            && sender.send(signal).is_err()
        {
            tracing::debug!("the source has ended");
        }
    };
    let watch_error = |source| WatchError::Watch {
        path: root.clone(),
        source,
    };
    let mut watcher = notify::recommended_watcher(handler).map_err(watch_error)?;
    watcher
        .watch(&root, RecursiveMode::Recursive)
        .map_err(watch_error)?;
    let follow = move || {
        let _watcher = watcher;
        Follower::new(root).run(&events, &updates);
    };
    thread::Builder::new()
        .name("source".to_owned())
        .spawn(follow)
        .map_err(WatchError::Thread)?;
    Ok(())
}

/// What an event of the file system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// Something is as it shall be.
    Done,
    /// A file is being written; there is more to come.
    Writing,
}

/// What `event` says; reading a file is an event, too, and says nothing.
fn signal(event: notify::Result<notify::Event>) -> Option<Signal> {
    match event.map(|event| event.kind) {
        Ok(EventKind::Access(AccessKind::Close(AccessMode::Write))) => Some(Signal::Done),
        Ok(EventKind::Access(_)) => None,
        Ok(EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_))) => {
            Some(Signal::Writing)
        }
        Ok(_) | Err(_) => Some(Signal::Done),
    }
}

/// Waits until there is something to look at, or for `patience`.
fn await_change(events: &Receiver<Signal>, patience: Duration) {
    let mut signal = match events.recv_timeout(patience) {
        Ok(signal) => signal,
        Err(RecvTimeoutError::Timeout) => return,
        Err(RecvTimeoutError::Disconnected) => return thread::sleep(RESCAN_YOUNG),
    };
    // A file that is read while it is written may be half of itself, and yet be without an error.
    let deadline = Instant::now() + WRITE_BOUND;
    while signal == Signal::Writing {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(next) => signal = next,
            Err(_) => break,
        }
    }
    thread::sleep(SETTLE);
    while events.try_recv().is_ok() {}
}

struct Follower {
    location: String,
    tree: Tree,
    catalog: Catalog,
    /// Everything was read once, and all of it was good.
    loaded: bool,
    /// Changes from before that.
    withheld: Vec<Change>,
    reported: BTreeSet<Problem>,
}

impl Follower {
    fn new(root: PathBuf) -> Self {
        Self {
            location: format!("dir:{}", root.display()),
            tree: Tree::new(root),
            catalog: Catalog::default(),
            loaded: false,
            withheld: Vec::new(),
            reported: BTreeSet::new(),
        }
    }

    fn run(&mut self, events: &Receiver<Signal>, updates: &Sender<Update>) {
        let mut first = true;
        loop {
            let scan = self.tree.scan();
            let again = scan.again;
            let quiet = scan.files.is_empty();
            let (update, news) = self.take(scan);
            let worth_telling = first || news || !quiet || !update.changes.is_empty();
            if worth_telling && updates.blocking_send(update).is_err() {
                return;
            }
            first = false;
            await_change(events, if again { RESCAN_YOUNG } else { RESCAN });
            if updates.is_closed() {
                return;
            }
        }
    }

    /// The update after `scan`, and whether the problems are others than before.
    fn take(&mut self, scan: Scan) -> (Update, bool) {
        let ignored_before = self.ignored();
        self.withheld.extend(self.catalog.update(scan.files));
        self.loaded = self.loaded || (self.catalog.is_complete() && scan.unlistable.is_empty());
        let changes = if self.loaded {
            std::mem::take(&mut self.withheld)
        } else {
            Vec::new()
        };
        let ignored = self.ignored();
        if ignored != ignored_before && ignored > 0 {
            tracing::info!(
                documents = ignored,
                read = kinds(),
                "documents of other kinds are ignored"
            );
        }
        let mut problems: BTreeSet<Problem> = self.catalog.problems().into_iter().collect();
        problems.extend(scan.unlistable.into_iter().map(|(file, reason)| Problem {
            file,
            line: 0,
            object: None,
            severity: Severity::Error,
            reason: format!("{reason}; what was read from it before stays in force"),
        }));
        let news = problems != self.reported;
        self.report(&problems);
        let places = changes
            .iter()
            .filter_map(|change| self.place(change))
            .collect();
        let status = Source {
            location: self.location.clone(),
            loaded: self.loaded,
            objects: self.catalog.objects(),
            files: self.catalog.files(),
            problems: problems.iter().cloned().collect(),
        };
        self.reported = problems;
        (
            Update {
                changes,
                status,
                places,
            },
            news,
        )
    }

    fn place(&self, change: &Change) -> Option<(ObjectKey, String, usize)> {
        let Change::Apply(object) = change else {
            return None;
        };
        let key = policy_compiler::ingest::key(object).ok()?;
        let (file, line) = self.catalog.place(&key)?;
        Some((key.clone(), file.to_owned(), line))
    }

    fn ignored(&self) -> usize {
        self.catalog.files().iter().map(|file| file.ignored).sum()
    }

    fn report(&self, problems: &BTreeSet<Problem>) {
        for Problem {
            file,
            line,
            object,
            reason,
            ..
        } in problems.difference(&self.reported)
        {
            let object = object.as_deref().unwrap_or_default();
            tracing::warn!(file, line, object, reason, "manifest has a problem");
        }
        if !problems.is_empty() && !self.loaded {
            let without: Vec<String> = self
                .catalog
                .files()
                .into_iter()
                .filter(|file| file.state == FileState::NothingInForce)
                .map(|file| file.path)
                .collect();
            tracing::warn!(
                files = without.join(", "),
                "the source is not loaded: correct or remove these files; until then no switch is touched"
            );
        } else if problems.is_empty() && !self.reported.is_empty() {
            tracing::info!("all problems of manifests are solved");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn namespace(name: &str) -> String {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
    }

    #[test]
    fn the_first_update_is_complete_and_later_ones_follow_the_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), namespace("a")).unwrap();
        fs::write(dir.path().join("b.yaml"), namespace("b")).unwrap();
        let (sender, mut updates) = tokio::sync::mpsc::channel(4);
        watch(dir.path().to_owned(), sender).unwrap();
        let first = updates.blocking_recv().unwrap();
        assert_eq!((first.status.loaded, first.changes.len()), (true, 2));
        fs::write(dir.path().join(".c.yaml.swp"), namespace("c")).unwrap();
        fs::rename(dir.path().join(".c.yaml.swp"), dir.path().join("c.yaml")).unwrap();
        let later = std::iter::from_fn(|| updates.blocking_recv())
            .find(|update| !update.changes.is_empty());
        assert_eq!(later.unwrap().status.objects, 3);
    }

    #[test]
    fn nothing_is_said_of_a_source_with_an_error_until_it_is_corrected() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), namespace("a")).unwrap();
        fs::write(dir.path().join("b.yaml"), "kind: {\n").unwrap();
        let (sender, mut updates) = tokio::sync::mpsc::channel(4);
        watch(dir.path().to_owned(), sender).unwrap();
        let first = updates.blocking_recv().unwrap();
        assert_eq!((first.status.loaded, first.changes.len()), (false, 0));
        fs::write(dir.path().join("b.yaml"), namespace("b")).unwrap();
        let later =
            std::iter::from_fn(|| updates.blocking_recv()).find(|update| update.status.loaded);
        assert_eq!(later.unwrap().changes.len(), 2);
    }

    #[test]
    fn a_file_is_not_read_while_it_is_written() {
        use std::io::Write as _;
        let dir = tempfile::tempdir().unwrap();
        let both = namespace("a") + "---\n" + &namespace("b");
        fs::write(dir.path().join("a.yaml"), &both).unwrap();
        let (sender, mut updates) = tokio::sync::mpsc::channel(64);
        watch(dir.path().to_owned(), sender).unwrap();
        assert_eq!(updates.blocking_recv().unwrap().changes.len(), 2);
        let mut file = fs::File::create(dir.path().join("a.yaml")).unwrap();
        for line in both
            .replace("{name: b}", "{name: b, labels: {x: y}}")
            .split_inclusive('\n')
        {
            file.write_all(line.as_bytes()).unwrap();
            file.flush().unwrap();
            // Longer than the events of one save take to settle.
            thread::sleep(SETTLE * 3);
        }
        drop(file);
        let later = std::iter::from_fn(|| updates.blocking_recv())
            .find(|update| !update.changes.is_empty());
        let changes = later.unwrap().changes;
        assert!(
            matches!(changes.as_slice(), [Change::Apply(_)]),
            "{changes:?}"
        );
    }

    #[test]
    fn a_missing_directory_is_refused_with_the_cure() {
        let (sender, _updates) = tokio::sync::mpsc::channel(1);
        let error = watch("/nonexistent/manifests".into(), sender)
            .unwrap_err()
            .to_string();
        assert!(error.contains("dir:/nonexistent/manifests"), "{error}");
        assert!(error.contains("name a directory"), "{error}");
    }
}
