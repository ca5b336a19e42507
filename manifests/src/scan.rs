// SPDX-License-Identifier: Apache-2.0
//! Reads those files of a directory tree that are not as they were.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::catalog::FileText;
use crate::document::Syntax;

/// No manifest is larger; an API server refuses objects over 3 MiB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Against links that form a circle.
const MAX_DEPTH: usize = 16;

/// A file changed this shortly before it was read may change again without another time stamp.
const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// What was read.
#[derive(Debug, Default)]
pub struct Scan {
    /// Files that are not as they were.
    pub files: Vec<(String, FileText)>,
    /// Directories that cannot be listed: path below the root and reason. Files that were below
    /// them count as unchanged.
    pub unlistable: Vec<(String, String)>,
    /// Some file is too young to trust its time stamp: scan again soon.
    pub again: bool,
}

/// A directory tree and what it looked like.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    stamps: BTreeMap<String, Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// The stamp was young when the file was read, so it proves nothing.
    young: bool,
}

impl Tree {
    /// A tree of which nothing is known yet.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            stamps: BTreeMap::new(),
        }
    }

    /// Lists the tree and reads what is new or different.
    pub fn scan(&mut self) -> Scan {
        let mut scan = Scan::default();
        let mut found = BTreeMap::new();
        list(&self.root, "", 0, &mut found, &mut scan.unlistable);
        let now = SystemTime::now();
        let mut stamps = BTreeMap::new();
        for (path, (full_path, metadata)) in found {
            let stamp = Stamp::of(&metadata, now);
            scan.again |= stamp.young;
            // Whoever writes a file in place empties it first; what it said stays until it says more.
            if stamp.young && stamp.size == 0 {
                stamps.extend(self.stamps.remove_entry(&path));
                continue;
            }
            if self
                .stamps
                .remove(&path)
                .is_none_or(|old| old.young || old != stamp)
            {
                match read(&full_path, &metadata) {
                    // It went between listing and reading.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        scan.again = true;
                        continue;
                    }
                    Err(error) => {
                        let reason = format!("cannot be read: {error}");
                        scan.files
                            .push((path.clone(), FileText::Unreadable(reason)));
                    }
                    Ok(text) => {
                        let syntax = if path.ends_with(".json") {
                            Syntax::Json
                        } else {
                            Syntax::Yaml
                        };
                        scan.files
                            .push((path.clone(), FileText::Text(text, syntax)));
                    }
                }
            }
            stamps.insert(path, stamp);
        }
        for (path, stamp) in std::mem::take(&mut self.stamps) {
            let below = |(dir, _): &(String, String)| {
                dir.is_empty()
                    || path
                        .strip_prefix(dir)
                        .is_some_and(|rest| rest.starts_with('/'))
            };
            if scan.unlistable.iter().any(below) {
                stamps.insert(path, stamp);
            } else {
                scan.files.push((path, FileText::Gone));
            }
        }
        self.stamps = stamps;
        scan
    }
}

impl Stamp {
    fn of(metadata: &Metadata, now: SystemTime) -> Self {
        let modified = metadata.modified().ok();
        let age = modified.and_then(|modified| now.duration_since(modified).ok());
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            young: age.is_some_and(|age| age < STAMP_RESOLUTION),
        }
    }
}

type Found = BTreeMap<String, (PathBuf, Metadata)>;

/// Follows links, so that the files of a mounted ConfigMap are found; leaves out what begins with a
/// dot, so that neither its `..data` nor an editor's swap file is.
fn list(
    dir: &Path,
    below: &str,
    depth: usize,
    found: &mut Found,
    unlistable: &mut Vec<(String, String)>,
) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            unlistable.push((below.to_owned(), format!("cannot be listed: {error}")));
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                unlistable.push((below.to_owned(), format!("cannot be listed: {error}")));
                return;
            }
        };
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        // A dangling link, or a file that went: not there.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        let manifest = [".yaml", ".yml", ".json"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
        if metadata.is_dir() && depth < MAX_DEPTH {
            list(&entry.path(), &path, depth + 1, found, unlistable);
        } else if metadata.is_file() && manifest {
            found.insert(path, (entry.path(), metadata));
        }
    }
}

fn read(path: &Path, metadata: &Metadata) -> io::Result<String> {
    if metadata.len() > MAX_FILE_BYTES {
        let limit = format!("it is larger than {} MiB; split it", MAX_FILE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, limit));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(scan: &Scan) -> Vec<String> {
        let name = |(path, text): &(String, FileText)| match text {
            FileText::Text(text, _) => format!("{path}={text}"),
            FileText::Unreadable(_) => format!("{path}?"),
            FileText::Gone => format!("-{path}"),
        };
        scan.files.iter().map(name).collect()
    }

    /// Makes every file look old, so that its stamp is trusted.
    fn age(dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let file = fs::File::options().write(true).open(entry.unwrap().path());
            if let Ok(file) = file {
                file.set_modified(SystemTime::now() - Duration::from_secs(60))
                    .unwrap();
            }
        }
    }

    #[test]
    fn only_manifests_that_changed_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.json", "notes.txt", ".hidden.yaml", "c.yaml~"] {
            fs::write(dir.path().join(name), "1").unwrap();
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/d.yml"), "1").unwrap();
        age(dir.path());
        age(&dir.path().join("sub"));
        let mut tree = Tree::new(dir.path().to_owned());
        assert_eq!(names(&tree.scan()), ["a.yaml=1", "b.json=1", "sub/d.yml=1"]);
        assert_eq!(names(&tree.scan()), [""; 0]);
        fs::write(dir.path().join("a.yaml"), "2").unwrap();
        fs::remove_file(dir.path().join("b.json")).unwrap();
        assert_eq!(names(&tree.scan()), ["a.yaml=2", "-b.json"]);
    }

    #[test]
    fn a_swapped_link_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        for (version, text) in [("..v1", "1"), ("..v2", "2")] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("a.yaml"), text).unwrap();
            age(&dir.path().join(version));
        }
        symlink("..v1", dir.path().join("..data")).unwrap();
        symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
        let mut tree = Tree::new(dir.path().to_owned());
        assert_eq!(names(&tree.scan()), ["a.yaml=1"]);
        symlink("..v2", dir.path().join("..new")).unwrap();
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        assert_eq!(names(&tree.scan()), ["a.yaml=2"]);
    }

    #[test]
    fn a_file_that_was_just_emptied_says_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "1").unwrap();
        let mut tree = Tree::new(dir.path().to_owned());
        assert_eq!(names(&tree.scan()), ["a.yaml=1"]);
        fs::write(&path, "").unwrap();
        let scan = tree.scan();
        assert_eq!((names(&scan).len(), scan.again), (0, true));
        age(dir.path());
        assert_eq!(names(&tree.scan()), ["a.yaml="], "it is meant to be empty");
    }

    #[test]
    fn a_directory_that_vanishes_takes_no_file_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.yaml"), "1").unwrap();
        let mut tree = Tree::new(root.clone());
        assert_eq!(names(&tree.scan()), ["a.yaml=1"]);
        fs::rename(&root, dir.path().join("away")).unwrap();
        let scan = tree.scan();
        assert_eq!((names(&scan).len(), scan.unlistable.len()), (0, 1));
    }
}
