//! The log as commands read it.
//!
//! **Invariant:** a record that cannot be read or understood is an error that names it; nothing is passed over in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use purser_engine::event::Event;
use purser_engine::model::Time;
use purser_engine::reexecute::Logged;
use purser_events::journal::{Reader, Record};
use purser_events::wire::{Kind, LoggedEvent, Purser, render};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::when::Point;
use crate::{sentence, subjects, text};

/// Where the journal is looked for when it is not named.
const DEFAULT: &str = "purser-journal";

/// A log, opened for reading.
pub struct Log {
    reader: Reader,
    /// The journal's folder.
    pub dir: PathBuf,
    /// The archive's folder.
    pub archive: Option<PathBuf>,
}

/// A record with its event.
#[derive(Debug, Clone)]
pub struct Item {
    /// As it is stored.
    pub record: Record,
    /// As it reads.
    pub logged: LoggedEvent,
}

/// A record as JSON shows it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// Its id.
    pub id: String,
    /// `observation`, `decision` or `control`.
    pub class: &'static str,
    /// The name of its kind.
    pub kind: &'static str,
    /// The version of its form.
    pub schema: u16,
    /// The term of the controller that wrote it.
    pub term: u64,
    /// The controller instance that wrote it.
    pub instance: String,
    /// The records that led to it.
    pub causes: Vec<u64>,
    /// What it is about.
    pub subjects: Vec<String>,
    /// What it says, in words.
    pub says: String,
    /// What it says, in full.
    pub data: Value,
}

/// A record as stories refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ref {
    /// Its number.
    pub seq: u64,
    /// When it was appended.
    pub time: String,
    /// What it says, in words.
    pub says: String,
}

impl Log {
    /// Opens the journal that is named, or the one in the current folder.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(dir: Option<&Path>, archive: Option<&Path>) -> Result<Self> {
        let dir = Self::folder(dir)?;
        if let Some(archive) = archive.filter(|archive| !archive.is_dir()) {
            bail!("--archive {}: there is no such folder", archive.display());
        }
        if let Some(archive) = archive
            && !has_segments(archive)?
        {
            bail!(
                "--archive {}: there is no archive in this folder (no segments/*.seg): name the folder that the controller \
                 archives to",
                archive.display()
            );
        }
        let reader = Reader::open_with_archive(&dir, archive, Arc::new(Purser))?;
        Ok(Self { reader, dir, archive: archive.map(Path::to_owned) })
    }

    /// The folder of the journal that is named, or of the one in the current folder.
    ///
    /// # Errors
    /// If none is named and there is none.
    pub fn folder(dir: Option<&Path>) -> Result<PathBuf> {
        match dir {
            Some(dir) => Ok(dir.to_owned()),
            None if Path::new(DEFAULT).join("identity.json").exists() => Ok(PathBuf::from(DEFAULT)),
            None => bail!(
                "no journal: name it with --journal DIR or PURSER_JOURNAL (there is none in ./{DEFAULT})"
            ),
        }
    }

    /// The reader of the journal itself.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Looks again, at a journal that is being written.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn refresh(&mut self) -> Result<u64> {
        Ok(self.reader.refresh()?)
    }

    /// The first record that is here.
    pub fn first(&self) -> u64 {
        self.reader.first_seq()
    }

    /// What to say of the records before the first that is here, and the remedy if there is one.
    fn gone(&self, first: u64) -> String {
        match self.archive {
            None => {
                format!("retention took it, the first here is {first}; name the archive with --archive DIR")
            }
            Some(_) => format!("it is neither in the journal nor in the archive, the first there is {first}"),
        }
    }

    /// The number of records of the log.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// The records from this one on, or from the first that is here.
    pub fn items(&self, from: u64) -> impl Iterator<Item = Result<Item>> + '_ {
        self.reader.records(from.max(self.first())).map(|record| Item::new(record?))
    }

    /// One record.
    ///
    /// # Errors
    /// If it is not there, or cannot be read.
    pub fn item(&self, seq: u64) -> Result<Item> {
        let (first, size) = (self.first(), self.size());
        if seq >= size {
            let last = size.checked_sub(1).map(|last| format!(", the last is {last}")).unwrap_or_default();
            bail!("record {seq}: the log has {size} records{last}");
        }
        if seq < first {
            bail!("record {seq}: {}", self.gone(first));
        }
        let record = self.reader.records(seq).next().context("the log ended while it was read")??;
        Item::new(record)
    }

    /// When the last record was appended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn end(&self) -> Result<Time> {
        match self.size().checked_sub(1) {
            Some(last) if last >= self.first() => Ok(self.item(last)?.logged.time),
            _ => Ok(Time(self.reader.identity().created_us)),
        }
    }

    /// The number of records up to a place, that record included.
    ///
    /// # Errors
    /// If it is not in the log.
    pub fn size_at(&self, point: Point) -> Result<u64> {
        match point {
            Point::End => Ok(self.size()),
            Point::Seq(seq) => {
                self.item(seq)?;
                Ok(seq + 1)
            }
            Point::Moment(moment) => {
                let until = moment.finish(self.end()?);
                let size = self.reader.seek(until.0.saturating_add(1))?;
                if size <= self.first() && self.size() > self.first() {
                    let begins = self.item(self.first())?.logged.time;
                    bail!("{}: the log here begins {}", text::exact_time(until), text::exact_time(begins));
                }
                Ok(size)
            }
        }
    }

    /// The number of the record that is named by number or id.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<u64> {
        if let Ok(seq) = name.parse::<u64>() {
            self.item(seq)?;
            return Ok(seq);
        }
        let Ok(id) = name.parse::<Uuid>() else {
            bail!("{name:?} is neither the number nor the id (a UUID) of a record");
        };
        // A record's id begins with its time in milliseconds.
        let millis = (id.as_u128() >> 80) as i64;
        let log = self.reader.identity().log;
        for record in self.reader.records(self.reader.seek(millis.saturating_mul(1_000))?) {
            let record = record?;
            if record.time_us.div_euclid(1_000) > millis {
                break;
            }
            if log.record_id(record.seq, record.time_us) == id {
                return Ok(record.seq);
            }
        }
        bail!("record {name}: no record of this log has this id");
    }

    /// A record as JSON shows it.
    ///
    /// # Errors
    /// If it has no readable form.
    pub fn shown(&self, item: &Item) -> Result<Shown> {
        let Item { record, logged } = item;
        let class = Kind::of(record.kind).map_or("", |kind| kind.class.as_str());
        Ok(Shown {
            seq: record.seq,
            time: text::exact_time(logged.time),
            id: self.reader.identity().log.record_id(record.seq, record.time_us).to_string(),
            class,
            kind: logged.kind_name,
            schema: record.schema,
            term: record.term,
            instance: record.instance.to_string(),
            causes: record.causes.clone(),
            subjects: subjects::of(&logged.event).iter().map(ToString::to_string).collect(),
            says: sentence::of(&logged.event),
            data: serde_json::from_str(&item.json()?)?,
        })
    }
}

/// Whether a folder has the shape of an archive, with a segment at least.
fn has_segments(archive: &Path) -> Result<bool> {
    let folder = archive.join("segments");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.with_context(|| format!("--archive {}", folder.display()))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("--archive {}", folder.display()))?;
        if entry.path().extension().is_some_and(|extension| extension == "seg") {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Item {
    fn new(record: Record) -> Result<Self> {
        let seq = record.seq;
        let logged = LoggedEvent::try_from(record.clone()).with_context(|| format!("record {seq}"))?;
        Ok(Self { record, logged })
    }

    /// Its number.
    pub fn seq(&self) -> u64 {
        self.record.seq
    }

    /// Its content.
    pub fn event(&self) -> &Event {
        &self.logged.event
    }

    /// Its payload in readable form, as one line.
    ///
    /// # Errors
    /// If it has none.
    pub fn json(&self) -> Result<String> {
        let Record { seq, kind, schema, payload, .. } = &self.record;
        let json = render(*kind, *schema, payload).with_context(|| format!("record {seq}"))?;
        Ok(String::from_utf8(json)?)
    }

    /// As re-execution takes it.
    pub fn to_logged(&self) -> Logged {
        let LoggedEvent { seq, time, commit, event, .. } = &self.logged;
        Logged { seq: *seq, time: *time, commit: *commit, event: event.clone() }
    }

    /// As stories refer to it.
    pub fn to_ref(&self) -> Ref {
        Ref { seq: self.seq(), time: text::exact_time(self.logged.time), says: sentence::of(self.event()) }
    }
}
