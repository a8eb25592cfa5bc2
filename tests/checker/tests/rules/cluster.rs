//! The little cluster: two instance types, three zones, one NodePool.
//!
//! Invariant: what a test does not change is valid.

use purser_checker::{Outcome, Rule, Scenario, check};
use serde_json::{Value, json};

pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

/// A scenario and an answer to it, in JSON.
pub(crate) struct Cluster {
    pub(crate) scenario: Value,
    pub(crate) answer: Value,
}

/// `small` has 2 CPUs for 1 an hour, `large` 8 for 4; both in zones a, b and c, on demand.
pub(crate) fn cluster() -> Cluster {
    let kind = |name: &str, cpu: &str, price: f64| {
        let offering = |zone: &str| json!({"zone": zone, "capacityType": "on-demand", "price": price, "available": true});
        json!({
            "name": name,
            "capacity": {"cpu": cpu, "memory": "8Gi", "pods": "10"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [name]},
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
                {"key": ZONE, "operator": "In", "values": ["a", "b", "c"]},
            ],
            "offerings": [offering("a"), offering("b"), offering("c")],
        })
    };
    Cluster {
        scenario: json!({
            "now": "2026-01-01T00:00:00Z",
            "settings": {"maxInstanceTypes": 60},
            "instanceTypes": [kind("small", "2", 1.0), kind("large", "8", 4.0)],
            "objects": [{
                "kind": "NodePool",
                "metadata": {"name": "pool"},
                "spec": {"template": {"spec": {
                    "requirements": [],
                    "nodeClassRef": {"group": "example.com", "kind": "Class", "name": "default"},
                }}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }],
        }),
        answer: json!({"newNodeClaims": [], "existingNodes": [], "podErrors": {}, "ignoredPods": []}),
    }
}

impl Cluster {
    pub(crate) fn object(mut self, object: Value) -> Self {
        self.scenario["objects"].as_array_mut().unwrap().push(object);
        self
    }

    /// Changes the NodePool's spec.
    pub(crate) fn pool(mut self, path: &str, value: Value) -> Self {
        set(&mut self.scenario["objects"][0]["spec"], path, value);
        self
    }

    pub(crate) fn setting(mut self, name: &str, value: Value) -> Self {
        self.scenario["settings"][name] = value;
        self
    }

    /// A pending pod that requests one CPU, with its spec changed.
    pub(crate) fn pending(self, name: &str, spec: Value) -> Self {
        self.object(pod(name, spec))
    }

    pub(crate) fn bound(self, name: &str, node: &str, spec: Value) -> Self {
        let mut pod = pod(name, spec);
        pod["spec"]["nodeName"] = node.into();
        pod["status"] = json!({"phase": "Running"});
        self.object(pod)
    }

    /// An existing node with 4 CPUs.
    pub(crate) fn node(self, name: &str, zone: &str) -> Self {
        self.object(node(name, zone))
    }

    /// A new claim for these pods, pinned to a zone unless it is empty.
    pub(crate) fn claim(mut self, kind: &str, zone: &str, pods: &[&str]) -> Self {
        let pods: Vec<String> = pods.iter().map(|pod| format!("default/{pod}")).collect();
        let mut requirements = vec![];
        if !zone.is_empty() {
            requirements.push(json!({"key": ZONE, "operator": "In", "values": [zone]}));
        }
        let taints = &self.scenario["objects"][0]["spec"]["template"]["spec"]["taints"];
        let claim = json!({
            "nodePool": "pool",
            "requirements": requirements,
            "instanceTypes": [kind],
            "taints": taints,
            "pods": pods,
        });
        self.answer["newNodeClaims"].as_array_mut().unwrap().push(claim);
        self
    }

    pub(crate) fn on_node(mut self, name: &str, pods: &[&str]) -> Self {
        let pods: Vec<String> = pods.iter().map(|pod| format!("default/{pod}")).collect();
        self.answer["existingNodes"].as_array_mut().unwrap().push(json!({"node": name, "pods": pods}));
        self
    }

    pub(crate) fn failed(mut self, pod: &str) -> Self {
        self.answer["podErrors"][format!("default/{pod}")] = "no room".into();
        self
    }

    /// Changes the last claim.
    pub(crate) fn with_claim(mut self, field: &str, value: Value) -> Self {
        self.answer["newNodeClaims"].as_array_mut().unwrap().last_mut().unwrap()[field] = value;
        self
    }

    pub(crate) fn read(&self) -> (Scenario, Outcome) {
        let none = |name: &str| panic!("no catalogue {name} here");
        let scenario = Scenario::from_value(self.scenario.clone(), &none).unwrap();
        (scenario, Outcome::from_value(self.answer.clone()).unwrap())
    }

    fn rules(&self) -> Vec<(Rule, String)> {
        let (scenario, outcome) = self.read();
        check(&scenario, &outcome).into_iter().map(|one| (one.rule, one.to_string())).collect()
    }

    /// Breaks no rule.
    #[track_caller]
    pub(crate) fn passes(self) {
        assert_eq!(self.rules(), []);
    }

    /// Breaks this rule and no other.
    #[track_caller]
    pub(crate) fn breaks(self, rule: Rule) {
        let rules = self.rules();
        assert!(!rules.is_empty(), "{rule:?} should be broken, but nothing was found");
        assert!(rules.iter().all(|(one, _)| *one == rule), "not only {rule:?}: {rules:#?}");
    }
}

/// Sets a field that `path` names with dots.
pub(crate) fn set(value: &mut Value, path: &str, to: Value) {
    *path.split('.').fold(value, |value, field| &mut value[field]) = to;
}

pub(crate) fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
        ]},
    });
    for (field, value) in spec.as_object().unwrap() {
        if field == "labels" {
            pod["metadata"]["labels"] = value.clone();
        } else {
            pod["spec"][field] = value.clone();
        }
    }
    pod
}

pub(crate) fn node(name: &str, zone: &str) -> Value {
    let room = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
    json!({
        "kind": "Node",
        "metadata": {"name": name, "labels": {ZONE: zone, HOSTNAME: name}},
        "spec": {"providerID": format!("cloud:///{name}")},
        "status": {"capacity": room, "allocatable": room},
    })
}
