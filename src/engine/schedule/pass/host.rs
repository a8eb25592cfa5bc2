//! Hosts: nodes and claims that are there.

use std::collections::BTreeSet;

use super::{Answer, Pass};
use crate::model::{HostPort, PodKey, Resources};
use crate::schedule::devices::Ledger;
use crate::schedule::problem::{Host, PodVolume};
use crate::schedule::topology::{KeyId, Kind, Site};

/// What a pass has put on a host.
#[derive(Debug, Clone, Default)]
pub(in crate::schedule) struct Used {
    pub requests: Resources,
    pub ports: Vec<HostPort>,
    /// Claims, with the driver that attaches them.
    pub claims: BTreeSet<(crate::model::Str, PodKey)>,
    /// What is left of its devices, if any were given.
    pub devices: Option<Ledger>,
}

impl Pass<'_, '_> {
    /// Asks a host to take a pod of a class.
    pub(super) fn ask_host(&mut self, class: usize, level: usize, target: u32) -> Answer {
        let at = target as usize;
        let host: &Host = &self.setup.problem.hosts[at];
        let spec = self.setup.classes[class].spec;
        if !host.open {
            return Answer::Never;
        }
        if !self.setup.host_would_do(class, level, at) {
            return Answer::NeverSuch;
        }
        let used = self.at.used.get(&target);
        let taken = used.map(|used| used.ports.as_slice()).unwrap_or_default();
        if conflict(&spec.host_ports, &host.ports).or_else(|| conflict(&spec.host_ports, taken)).is_some() {
            return Answer::Never;
        }
        let volumes = self.setup.classes[class].volumes;
        if too_many_volumes(host, used, volumes).is_some() {
            return Answer::Never;
        }
        let groups = &self.setup.groups;
        let site = Site::new(groups, self.setup.problem.hosts, at);
        let ties = &self.setup.levels[class][level].ties;
        if let Some(conflict) = self.at.counts.first_conflict(ties, site) {
            return match (groups.group(conflict).of.kind, groups.group(conflict).key) {
                (Kind::Anti | Kind::Inverse, _) | (Kind::Spread { .. }, KeyId::HOSTNAME) => Answer::Never,
                _ => Answer::NotNow,
            };
        }
        let devices = match self.devices_of_host(class, target) {
            Ok(devices) => devices,
            Err(answer) => return answer,
        };
        self.free[at].subtract(&spec.requests);
        let used = self.at.used.entry(target).or_default();
        used.requests.add(&spec.requests);
        used.ports.extend(spec.host_ports.iter().cloned());
        if devices.is_some() {
            used.devices = devices;
        }
        used.claims.extend(volumes.iter().map(|volume| (volume.driver.clone(), volume.claim.clone())));
        Answer::Taken
    }
}

/// The first port that is taken.
pub(in crate::schedule) fn conflict<'p>(wanted: &'p [HostPort], taken: &[HostPort]) -> Option<&'p HostPort> {
    let unspecified = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
    wanted.iter().find(|port| {
        taken.iter().any(|other| {
            other.port == port.port
                && other.protocol == port.protocol
                && (other.ip == port.ip || unspecified(&other.ip) || unspecified(&port.ip))
        })
    })
}

/// The first driver that would have to attach more volumes to a host than it does.
pub(in crate::schedule) fn too_many_volumes<'h>(
    host: &'h Host,
    used: Option<&Used>,
    volumes: &[PodVolume],
) -> Option<&'h crate::model::Str> {
    if volumes.is_empty() {
        return None;
    }
    host.drivers.iter().find_map(|known| {
        let limit = known.limit? as usize;
        let mut claims: BTreeSet<&PodKey> = known.claims.iter().collect();
        let sent = used.iter().flat_map(|used| &used.claims).filter(|(driver, _)| *driver == known.driver);
        claims.extend(sent.map(|(_, claim)| claim));
        let attached = claims.len();
        claims.extend(volumes.iter().filter(|v| v.driver == known.driver).map(|v| &v.claim));
        (claims.len() > limit && claims.len() > attached).then_some(&known.driver)
    })
}
