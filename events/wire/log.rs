//! The journal as the engine wants it, and its records as events.
//!
//! Invariant: what is appended has been read back from its bytes first, and was the same event; so what is acknowledged can
//! be read.

use std::ops::Range;
use std::sync::Arc;

use purser_engine::event::{Event, Seq};
use purser_engine::model::Time;
use purser_engine::port::{self, Entry, JournalError};

use super::{Kind, WireError, decode, encode};
use crate::journal::{AppendError, Draft, Journal, ReadError, Reader, Record, Records};

/// A journal that takes events.
pub struct EventLog {
    journal: Journal,
    group: usize,
    /// Batches that were taken and are not in the journal yet; fewer than `group`.
    waiting: Vec<(i64, Vec<Draft>)>,
    /// The records in them.
    records_waiting: u64,
}

/// A record of the journal with its payload read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its place in the log.
    pub seq: Seq,
    /// When it was appended.
    pub time: Time,
    /// The leader's term under which it was written.
    pub term: u64,
    /// The controller instance that wrote it.
    pub instance: Arc<str>,
    /// The records that led to it.
    pub causes: Vec<Seq>,
    /// Whether it is the last record of its batch.
    pub commit: bool,
    /// The name of its kind.
    pub kind_name: &'static str,
    /// The version of the form that it was written in.
    pub schema: u16,
    /// What it says.
    pub event: Event,
}

/// The events of a log, in order. See [`Events::read`].
pub struct Events<'a> {
    records: Records<'a>,
}

/// Why an event cannot be read from a log.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// The record itself cannot be read: there are no further ones.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The record is there, but not understood. Those after it can be read; whoever decides by the log must not go on.
    #[error("record {seq}: {source}")]
    Event {
        /// The record.
        seq: Seq,
        /// Why.
        source: WireError,
    },
}

// === impl EventLog ===

impl EventLog {
    /// Takes a journal. It should have been opened with the vocabulary [`Purser`](super::Purser). Each batch is durable before
    /// anybody hears of it.
    pub fn new(journal: Journal) -> Self {
        Self { journal, group: 1, waiting: Vec::new(), records_waiting: 0 }
    }

    /// From now on the journal is written once for so many batches. A process that is killed loses those that wait: so this is for
    /// one whose world is lost with it, as in a simulation, and that goes on from where the journal ends.
    pub fn group_commit(self, batches: usize) -> Self {
        Self { group: batches, ..self }
    }

    /// The journal itself, without what waits.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// If the journal cannot be written; then all of it still waits.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if !self.waiting.is_empty() {
            self.journal.append_all(&self.waiting).map_err(|error| match error {
                AppendError::Full { reason } => JournalError::Full(reason),
                fatal => JournalError::Fatal(fatal.to_string()),
            })?;
            self.waiting.clear();
            self.records_waiting = 0;
        }
        Ok(())
    }

    /// The journal itself, with all that was appended, to tend it: seal, snapshot, archive, close.
    ///
    /// # Errors
    /// If what waits cannot be written.
    pub fn journal_mut(&mut self) -> Result<&mut Journal, JournalError> {
        self.commit()?;
        Ok(&mut self.journal)
    }

    /// Gives the journal back, with all that was appended.
    ///
    /// # Errors
    /// If what waits cannot be written.
    pub fn into_journal(mut self) -> Result<Journal, JournalError> {
        self.commit()?;
        Ok(self.journal)
    }
}

impl port::Journal for EventLog {
    fn append(&mut self, now: Time, batch: &[Entry]) -> Result<Range<u64>, JournalError> {
        let drafts: Vec<Draft> = batch.iter().map(draft).collect::<Result<_, _>>()?;
        let (first, records) = (self.size(), drafts.len() as u64);
        self.waiting.push((now.0, drafts));
        self.records_waiting += records;
        if self.waiting.len() >= self.group {
            // What cannot be written was not appended; those before it were, and go on waiting.
            self.commit().inspect_err(|_| {
                self.waiting.pop();
                self.records_waiting -= records;
            })?;
        }
        Ok(first..first + records)
    }

    fn size(&self) -> u64 {
        self.journal.size() + self.records_waiting
    }
}

fn draft(entry: &Entry) -> Result<Draft, JournalError> {
    let encoded = encode(&entry.event).map_err(|error| JournalError::Fatal(error.to_string()))?;
    let read = decode(encoded.kind, encoded.schema, &encoded.payload);
    if read.as_ref() != Ok(&entry.event) {
        let found = read.map_or_else(|error| error.to_string(), |other| format!("it reads {other:?}"));
        return Err(JournalError::Fatal(format!(
            "an event cannot be read back: {found}; it was {:?}",
            entry.event
        )));
    }
    let causes = entry.causes.iter().map(|seq| seq.0).collect();
    Ok(Draft { kind: encoded.kind, schema: encoded.schema, causes, payload: encoded.payload })
}

// === impl LoggedEvent ===

impl TryFrom<Record> for LoggedEvent {
    type Error = WireError;

    fn try_from(record: Record) -> Result<Self, WireError> {
        let kind = Kind::of(record.kind).ok_or(WireError::UnknownKind { kind: record.kind })?;
        Ok(Self {
            event: kind.decode(record.schema, &record.payload)?,
            seq: Seq(record.seq),
            time: Time(record.time_us),
            term: record.term,
            instance: record.instance,
            causes: record.causes.into_iter().map(Seq).collect(),
            commit: record.commit,
            kind_name: kind.name,
            schema: record.schema,
        })
    }
}

// === impl Events ===

impl<'a> Events<'a> {
    /// The events of a reader's log from this record on.
    pub fn read(reader: &'a Reader, from: Seq) -> Self {
        Self { records: reader.records(from.0) }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<LoggedEvent, LogReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error.into())),
        };
        let seq = Seq(record.seq);
        Some(record.try_into().map_err(|source| LogReadError::Event { seq, source }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use purser_engine::event::Control;
    use purser_engine::port::Journal as _;

    use super::*;
    use crate::journal::{IdentitySource, Options};
    use crate::wire::{Purser, tests::samples};

    fn options() -> Options {
        let mut options = Options::new("purser.test/log", "purser-0", 3, Arc::new(Purser));
        options.identity = IdentitySource::Derived { seed: [7; 32] };
        options.sync = false;
        options.min_free_bytes = 0;
        options
    }

    fn create(dir: &Path) -> EventLog {
        EventLog::new(Journal::create(dir, options(), 0).unwrap())
    }

    #[test]
    fn what_is_appended_is_read_again_from_tail_and_segment() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path());
        let events: Vec<Event> = samples::all().into_iter().map(|sample| sample.event).collect();
        let (sealed, tail) = events.split_at(events.len() / 2);
        let mut next = 0;
        for (batch, now) in [(sealed, Time(5)), (tail, Time(9))] {
            let causes = |at: usize| at.checked_sub(1).map(|at| Seq(next + at as u64)).into_iter().collect();
            let entries: Vec<Entry> = batch
                .iter()
                .enumerate()
                .map(|(at, event)| Entry { event: event.clone(), causes: causes(at) })
                .collect();
            assert_eq!(log.append(now, &entries).unwrap(), next..next + batch.len() as u64);
            next += batch.len() as u64;
            assert_eq!(log.size(), next);
            if now == Time(5) {
                assert!(log.journal_mut().unwrap().seal().unwrap());
            }
        }
        let reader = Reader::open(dir.path(), Arc::new(Purser)).unwrap();
        let read: Vec<LoggedEvent> = Events::read(&reader, Seq(0)).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            read.iter().map(|logged| &logged.event).collect::<Vec<_>>(),
            events.iter().collect::<Vec<_>>()
        );
        let last = read.last().unwrap();
        assert_eq!(
            (last.seq, last.time, last.term, &*last.instance),
            (Seq(next - 1), Time(9), 3, "purser-0")
        );
        assert_eq!((last.causes.as_slice(), last.commit), (&[Seq(next - 2)][..], true));
        assert!(!read[0].commit);
        assert_eq!(read[0].kind_name, "log-started");
        assert_eq!(Events::read(&reader, Seq(next - 1)).count(), 1);
    }

    #[test]
    fn errors_are_full_or_fatal() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path());
        let heartbeat = [Entry { event: Control::Heartbeat.into(), causes: Vec::new() }];
        log.append(Time(9), &heartbeat).unwrap();
        let early = log.append(Time(8), &heartbeat).unwrap_err();
        assert!(matches!(early, JournalError::Fatal(_)), "{early}");
        let reason = "x".repeat(crate::codec::MAX_LEN);
        let long = [Entry {
            event: Control::ControllerStopped { reason: reason.into() }.into(),
            causes: Vec::new(),
        }];
        let long = log.append(Time(9), &long).unwrap_err();
        assert!(long.to_string().contains("controller-stopped of 65541 bytes"), "{long}");
        log.append(Time(9), &heartbeat).unwrap();
        drop(log);

        let (journal, _) =
            Journal::open(dir.path(), Options { min_free_bytes: u64::MAX / 2, ..options() }).unwrap();
        let full = EventLog::new(journal).append(Time(9), &heartbeat).unwrap_err();
        assert!(matches!(full, JournalError::Full(_)), "{full}");
    }

    #[test]
    fn a_group_is_written_at_once_and_waits_for_space() {
        struct Disk(AtomicBool);
        impl crate::journal::Faults for Disk {
            fn at(&self, _: crate::journal::Point) -> std::io::Result<()> {
                if self.0.load(Relaxed) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk(AtomicBool::new(false)));
        let journal =
            Journal::create(dir.path(), Options { faults: Some(disk.clone()), ..options() }, 0).unwrap();
        let mut log = EventLog::new(journal).group_commit(3);
        let on_disk = || Reader::open(dir.path(), Arc::new(Purser)).unwrap().size();
        let beat = Entry { event: Control::Heartbeat.into(), causes: Vec::new() };
        let caused = |seq| Entry { causes: vec![Seq(seq)], ..beat.clone() };

        assert_eq!(log.append(Time(1), &[beat.clone(), caused(0)]).unwrap(), 0..2);
        assert_eq!(log.append(Time(2), &[caused(1)]).unwrap(), 2..3);
        assert_eq!((log.size(), log.journal().size(), on_disk()), (3, 0, 0));
        assert_eq!(log.append(Time(3), &[caused(2)]).unwrap(), 3..4);
        assert_eq!((log.size(), log.journal().size(), on_disk()), (4, 4, 4));

        // Without space the batch that would have to be written is refused, and those before it are not lost.
        disk.0.store(true, Relaxed);
        assert_eq!(log.append(Time(4), std::slice::from_ref(&beat)).unwrap(), 4..5);
        assert_eq!(log.append(Time(5), &[caused(4)]).unwrap(), 5..6);
        for _ in 0..2 {
            let full = log.append(Time(6), &[caused(5)]).unwrap_err();
            assert!(matches!(full, JournalError::Full(_)), "{full}");
            assert_eq!((log.size(), on_disk()), (6, 4));
        }
        disk.0.store(false, Relaxed);
        assert_eq!(log.append(Time(7), &[caused(5)]).unwrap(), 6..7);
        assert_eq!(on_disk(), 7);
        log.append(Time(8), &[beat]).unwrap();
        log.into_journal().unwrap().close().unwrap();

        let reader = Reader::open(dir.path(), Arc::new(Purser)).unwrap();
        let read: Vec<LoggedEvent> = Events::read(&reader, Seq(0)).collect::<Result<_, _>>().unwrap();
        let times: Vec<i64> = read.iter().map(|logged| logged.time.0).collect();
        assert_eq!(times, [1, 1, 2, 3, 4, 5, 7, 8]);
        assert!(read.iter().map(|logged| logged.commit).eq(times.iter().enumerate().map(|(at, _)| at != 0)));
    }

    #[test]
    fn an_unknown_record_is_an_error_and_not_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options();
        options.vocabulary = Arc::new(Anything);
        let mut journal = Journal::create(dir.path(), options, 0).unwrap();
        let draft = |kind| Draft { kind, schema: 1, causes: Vec::new(), payload: Vec::new() };
        journal.append(0, &[draft(99), draft(9)]).unwrap();
        let reader = Reader::open(dir.path(), Arc::new(Purser)).unwrap();
        let mut events = Events::read(&reader, Seq(0));
        let unknown = events.next().unwrap().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "record 0: records of kind 99 are unknown to this version: use a newer program"
        );
        assert_eq!(events.next().unwrap().unwrap().event, Control::Heartbeat.into());
        assert!(events.next().is_none());
    }

    struct Anything;

    impl crate::journal::Vocabulary for Anything {
        fn render(
            &self,
            _: u16,
            _: u16,
            _: &[u8],
        ) -> Result<crate::journal::Rendered, crate::journal::VocabularyError> {
            Ok(crate::journal::Rendered { class: "control", name: "anything", json: b"{}".to_vec() })
        }
    }
}
