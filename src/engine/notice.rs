//! What decisions come to for objects whose owners wait for word: CapacityBuffers and NodeOverlays.
//!
//! **Invariant:** a notice says how something is, and is derived from State alone; it is news only to whoever was told otherwise, so
//! nothing about it is in the log, and after a restart all is said again.

use std::collections::BTreeMap;

use crate::model::{PodKey, Str};

/// Where the virtual pods of a CapacityBuffer have their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// So many on nodes that are set up.
    pub there: u32,
    /// So many on nodes that are on their way.
    pub coming: u32,
    /// So many have none.
    pub missing: u32,
}

/// What became of a NodeOverlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayFate {
    /// It counts.
    Applied,
    /// It does not, since it says something else than another of equal weight.
    Conflict(Str),
}

/// Something that is so now, and was not when it was said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// About a CapacityBuffer.
    Room {
        /// Which.
        buffer: PodKey,
        /// Its room; `None` if the buffer is not known any more.
        room: Option<Room>,
    },
    /// About a NodeOverlay.
    Overlay {
        /// Which.
        overlay: Str,
        /// What became of it; `None` if it is not known any more.
        fate: Option<OverlayFate>,
    },
}

/// What was found out, as far as an evaluation had to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notices {
    /// The room of each buffer; `None` where that does not show yet.
    pub rooms: Option<BTreeMap<PodKey, Room>>,
    /// What became of each overlay; `None` where nobody asked.
    pub overlays: Option<BTreeMap<Str, OverlayFate>>,
}

impl Notices {
    /// Takes in what was found out now, and gives what of it is news.
    pub fn take(&mut self, found: Self) -> Vec<Notice> {
        let mut news = Vec::new();
        if let Some(rooms) = found.rooms {
            for (buffer, room) in changes(&mut self.rooms, rooms) {
                news.push(Notice::Room { buffer, room });
            }
        }
        if let Some(overlays) = found.overlays {
            for (overlay, fate) in changes(&mut self.overlays, overlays) {
                news.push(Notice::Overlay { overlay, fate });
            }
        }
        news
    }
}

fn changes<K: Ord + Clone, V: PartialEq + Clone>(
    told: &mut Option<BTreeMap<K, V>>,
    found: BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let told = told.get_or_insert_default();
    if *told == found {
        return Vec::new();
    }
    let gone = told.keys().filter(|key| !found.contains_key(key)).map(|key| (key.clone(), None));
    let new = found.iter().filter(|(key, value)| told.get(key) != Some(value));
    let all = gone.chain(new.map(|(key, value)| (key.clone(), Some(value.clone())))).collect();
    *told = found;
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_said() {
        let mut told = Notices::default();
        let key = |name: &str| PodKey::new("default", name);
        let room = |there, coming| Room { there, coming, missing: 0 };
        let found = |rooms: &[(&str, Room)]| Notices {
            rooms: Some(rooms.iter().map(|(name, room)| (key(name), *room)).collect()),
            overlays: None,
        };
        let said = |name: &str, room| Notice::Room { buffer: key(name), room };
        let first = told.take(found(&[("a", room(0, 2)), ("b", room(1, 0))]));
        assert_eq!(first, [said("a", Some(room(0, 2))), said("b", Some(room(1, 0)))]);
        assert_eq!(told.take(Notices::default()), []);
        assert_eq!(told.take(found(&[("a", room(2, 0))])), [said("b", None), said("a", Some(room(2, 0)))]);
        assert_eq!(told.take(found(&[("a", room(2, 0))])), []);
    }
}
