//! Groups of pods that get places together or not at all.
//!
//! **Invariant:** a group that is short leaves as a whole, so what others get does not rest on it.

use std::collections::BTreeMap;

use super::problem::{Gang, PendingPod};

/// The pods of the group that misses the most places, of those that miss any; none if all groups are whole.
///
/// Groups leave one by one: without one of them there may be room for the others.
pub(super) fn short(pods: &[PendingPod], target: &[Option<u32>], left_out: &[bool]) -> Vec<usize> {
    let mut groups: BTreeMap<&Gang, Vec<usize>> = BTreeMap::new();
    for (at, pod) in pods.iter().enumerate().filter(|(at, _)| !left_out[*at]) {
        if let Some(group) = &pod.group {
            groups.entry(group).or_default().push(at);
        }
    }
    let missing = |group: &Gang, of: &[usize]| {
        let placed = of.iter().filter(|pod| target[**pod].is_some()).count();
        let least = if group.least == 0 { of.len() } else { group.least };
        least.saturating_sub(placed)
    };
    let short =
        groups.into_iter().map(|(group, of)| (missing(group, &of), of)).filter(|(missing, _)| *missing > 0);
    // Of several that miss as many the last by name, so that those in front stay.
    short.max_by_key(|(missing, _)| *missing).map(|(_, of)| of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SpecId;
    use crate::model::{PodKey, Time, Uid};

    fn pod(name: &str, group: Option<(&str, usize)>) -> PendingPod {
        PendingPod {
            key: PodKey::new("ns", name),
            spec: SpecId(0),
            created: Time(0),
            uid: Uid(0),
            volumes: Vec::new(),
            group: group.map(|(name, least)| Gang { name: PodKey::new("ns", name), least }),
        }
    }

    #[test]
    fn the_group_that_misses_most_leaves_first() {
        let pods = [
            pod("a", Some(("all", 0))),
            pod("b", Some(("all", 0))),
            pod("c", Some(("one", 1))),
            pod("d", Some(("one", 1))),
            pod("e", None),
        ];
        let none = [false; 5];
        assert_eq!(short(&pods, &[None, None, None, None, None], &none), [0, 1]);
        assert_eq!(short(&pods, &[Some(0), None, Some(0), None, None], &none), [0, 1]);
        assert_eq!(short(&pods, &[Some(0), Some(0), None, None, None], &none), [2, 3]);
        assert_eq!(short(&pods, &[Some(0), Some(1), None, Some(0), None], &none), Vec::<usize>::new());
        assert_eq!(short(&pods, &[None; 5], &[true, true, true, true, false]), Vec::<usize>::new());
    }
}
