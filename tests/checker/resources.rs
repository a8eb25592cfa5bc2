//! What pods request and which host ports they take.
//!
//! Invariant: a pod's request is what kube-scheduler reserves for it, one of resource `pods` included.

use crate::objects::{Container, ContainerResources, ContainerStatus, PodSpec, PodStatus};
use crate::quantity::{Quantity, Resources, add_to, raise_to};

/// A container without a request gets its limit as request.
fn requests_of(resources: &ContainerResources) -> Resources {
    let mut requests = resources.limits.clone();
    requests.extend(resources.requests.clone());
    requests
}

/// A container that is being resized holds on to what it has until the resize is done.
fn container_request(container: &Container, statuses: &[ContainerStatus]) -> Resources {
    let mut requests = requests_of(&container.resources);
    if let Some(status) = statuses.iter().find(|status| status.name == container.name) {
        raise_to(&mut requests, &status.allocated_resources);
        raise_to(&mut requests, &status.resources.requests);
    }
    requests
}

/// What a pod needs of a node: containers and sidecars together, or the init container that needs the most at its
/// turn; and the overhead of its runtime.
pub(crate) fn pod_requests(spec: &PodSpec, status: &PodStatus) -> Resources {
    let mut running = Resources::new();
    for container in &spec.containers {
        add_to(&mut running, &container_request(container, &status.container_statuses));
    }
    let mut sidecars = Resources::new();
    let mut starting = Resources::new();
    for container in &spec.init_containers {
        let request = container_request(container, &status.init_container_statuses);
        if container.restart_policy == "Always" {
            add_to(&mut sidecars, &request);
            raise_to(&mut starting, &sidecars);
        } else {
            let mut now = sidecars.clone();
            add_to(&mut now, &request);
            raise_to(&mut starting, &now);
        }
    }
    add_to(&mut running, &sidecars);
    let mut total = running;
    raise_to(&mut total, &starting);
    // Requests at the level of the pod replace the sum where they are given.
    for (name, quantity) in requests_of(&spec.resources) {
        if name == "cpu" || name == "memory" || name.starts_with("hugepages-") {
            total.insert(name, quantity);
        }
    }
    add_to(&mut total, &spec.overhead);
    total.insert("pods".to_owned(), Quantity::whole(1));
    total
}

/// A host port that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) port: u16,
    protocol: String,
    ip: String,
}

impl HostPort {
    /// The same port of one protocol, unless on two different addresses.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        let anywhere = |port: &Self| port.ip == "0.0.0.0" || port.ip == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || anywhere(self) || anywhere(other))
    }
}

pub(crate) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = spec.containers.iter().flat_map(|container| &container.ports);
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    ports
        .map(|port| HostPort {
            port: if port.host_port == 0 && spec.host_network { port.container_port } else { port.host_port },
            protocol: or(&port.protocol, "TCP"),
            ip: or(&port.host_ip, "0.0.0.0"),
        })
        .filter(|port| port.port != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::amount;

    fn container(cpu: &str, sidecar: bool) -> Container {
        let requests = Resources::from([("cpu".to_owned(), Quantity::parse(cpu).unwrap())]);
        Container {
            resources: ContainerResources { requests, ..ContainerResources::default() },
            restart_policy: if sidecar { "Always" } else { "" }.to_owned(),
            ..Container::default()
        }
    }

    fn cpu(spec: &PodSpec) -> String {
        amount(&pod_requests(spec, &PodStatus::default()), "cpu").to_string()
    }

    #[test]
    fn init_containers_run_one_after_the_other_and_sidecars_stay() {
        let mut spec = PodSpec { containers: vec![container("1", false)], ..PodSpec::default() };
        assert_eq!(cpu(&spec), "1");
        spec.init_containers = vec![container("2", false), container("1500m", false)];
        assert_eq!(cpu(&spec), "2");
        spec.init_containers = vec![container("500m", true), container("2", false)];
        assert_eq!(cpu(&spec), "2.5");
        spec.init_containers = vec![container("2", false), container("500m", true)];
        assert_eq!(cpu(&spec), "2");
        spec.init_containers = vec![container("500m", true)];
        assert_eq!(cpu(&spec), "1.5");
        spec.overhead = Resources::from([("cpu".to_owned(), Quantity::parse("100m").unwrap())]);
        assert_eq!(cpu(&spec), "1.6");
    }

    #[test]
    fn ports_conflict_only_where_addresses_can_meet() {
        let port = |ip: &str, protocol: &str| HostPort {
            port: 80,
            protocol: protocol.to_owned(),
            ip: ip.to_owned(),
        };
        assert!(port("0.0.0.0", "TCP").conflicts_with(&port("10.0.0.1", "TCP")));
        assert!(!port("10.0.0.2", "TCP").conflicts_with(&port("10.0.0.1", "TCP")));
        assert!(!port("0.0.0.0", "UDP").conflicts_with(&port("0.0.0.0", "TCP")));
    }
}
