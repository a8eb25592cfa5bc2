//! The corpus on disk.
//!
//! **Invariant:** entries come in order of their names, whatever order they were worked on in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::report;

pub(crate) struct Corpus {
    folder: PathBuf,
    known_wrong: BTreeSet<String>,
    differing: BTreeMap<String, String>,
    catalogues: Mutex<BTreeMap<String, Arc<Value>>>,
}

/// A problem and the answer to compare with.
pub(crate) struct Entry {
    /// Folder and file, without its ending.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) document: Value,
}

impl Entry {
    /// Which tests it comes from.
    pub(crate) fn suite(&self) -> String {
        let (folder, _) = self.name.split_once('/').unwrap();
        let suite = self.document["spec"].as_str().unwrap_or_default();
        match folder {
            "generated" => folder.to_owned(),
            _ => format!("{folder}: {}", suite.split(' ').take(2).collect::<Vec<_>>().join(" ")),
        }
    }
}

impl Corpus {
    /// The corpus, if it is there.
    pub(crate) fn find() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
        if !folder.is_dir() {
            report::say(&format!("SKIPPED: there is no corpus at {}", folder.display()));
            return None;
        }
        let list = parse(&folder.join("known-wrong.json"));
        let entries = list["entries"].as_array().unwrap().iter();
        let known_wrong = entries.map(|entry| {
            let path = entry["entry"].as_str().unwrap();
            path.replace("scheduling/", "").trim_end_matches(".json").to_owned()
        });
        let text = include_str!("improvements.txt").lines().filter(|line| !line.starts_with('#'));
        let differing = text
            .filter_map(|line| line.split_once(' '))
            .map(|(reason, name)| (name.to_owned(), reason.to_owned()));
        Some(Self {
            known_wrong: known_wrong.collect(),
            differing: differing.collect(),
            folder,
            catalogues: Mutex::default(),
        })
    }

    /// Whether the answer to compare with is itself invalid.
    pub(crate) fn is_known_wrong(&self, name: &str) -> bool {
        self.known_wrong.contains(name)
    }

    /// Why an answer differs on purpose.
    pub(crate) fn reason_to_differ(&self, name: &str) -> Option<&str> {
        self.differing.get(name).map(String::as_str)
    }

    /// All entries whose answers differ on purpose, and why.
    pub(crate) fn reasons_to_differ(&self) -> &BTreeMap<String, String> {
        &self.differing
    }

    /// A catalogue by its name.
    pub(crate) fn catalogue(&self, name: &str) -> Arc<Value> {
        let mut catalogues = self.catalogues.lock().unwrap();
        let catalogue = catalogues.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(parse(&self.folder.join("scheduling/catalogues").join(format!("{name}.json"))))
        });
        Arc::clone(catalogue)
    }

    /// Does something with each entry whose name contains this, on all processors.
    pub(crate) fn for_each<T: Send>(&self, wanted: &str, work: impl Fn(&Entry) -> T + Sync) -> Vec<T> {
        let folders = ["suite", "generated"].map(|folder| self.folder.join("scheduling").join(folder));
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= 650, "only {} entries", paths.len());
        paths.retain(|path| name_of(path).contains(wanted));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut done: Vec<(usize, T)> = thread::scope(|scope| {
            let (work, paths) = (&work, &paths);
            let spawn = |offset| {
                scope.spawn(move || {
                    let mine = paths.iter().enumerate().skip(offset).step_by(threads);
                    mine.map(|(at, path)| (at, work(&entry(path)))).collect::<Vec<_>>()
                })
            };
            let workers: Vec<_> = (0..threads).map(spawn).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn entry(path: &Path) -> Entry {
    Entry { name: name_of(path), path: path.to_owned(), document: parse(path) }
}

fn name_of(path: &Path) -> String {
    let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    format!("{folder}/{}", path.file_stem().unwrap().to_str().unwrap())
}

fn parse(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
