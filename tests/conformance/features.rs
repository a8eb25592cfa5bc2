//! What a problem makes use of, so that progress can be told by feature.
//!
//! **Invariant:** a feature is told from what is written in the scenario, never from the answer.

use serde_json::Value;

/// The features that a scenario uses, in a fixed order; `plain` if none.
pub(crate) fn of(scenario: &Value) -> Vec<&'static str> {
    let objects = scenario["objects"].as_array().unwrap();
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let pods = || of_kind("Pod");
    let filled = |value: &Value| match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    };
    let spread = |required: bool, hostname: bool| {
        pods().any(|pod| {
            let constraints = pod["spec"]["topologySpreadConstraints"].as_array();
            constraints.into_iter().flatten().any(|one| {
                (one["whenUnsatisfiable"] != "ScheduleAnyway") == required
                    && (one["topologyKey"] == "kubernetes.io/hostname") == hostname
            })
        })
    };
    let affinity = |kind: &str, when: &str| {
        let field = format!("{when}DuringSchedulingIgnoredDuringExecution");
        pods().any(|pod| filled(&pod["spec"]["affinity"][kind][&field]))
    };
    let pools = || of_kind("NodePool");
    let pool_requirements = || {
        pools().flat_map(|pool| {
            pool["spec"]["template"]["spec"]["requirements"].as_array().into_iter().flatten()
        })
    };
    let settings = &scenario["settings"];
    // What Karpenter's test provider declares beyond what every provider has.
    let of_provider = ["integer", "size", "special"];
    let text = || serde_json::to_string(&scenario["objects"]).unwrap();
    let all = [
        ("spread by host name", spread(true, true)),
        ("spread by another key", spread(true, false)),
        ("spread as preference", spread(false, true) || spread(false, false)),
        ("pod affinity", affinity("podAffinity", "required")),
        ("pod anti-affinity", affinity("podAntiAffinity", "required")),
        (
            "preferred pod affinity",
            affinity("podAffinity", "preferred") || affinity("podAntiAffinity", "preferred"),
        ),
        ("node affinity", affinity("nodeAffinity", "required")),
        ("preferred node affinity", affinity("nodeAffinity", "preferred")),
        ("node selector", pods().any(|pod| filled(&pod["spec"]["nodeSelector"]))),
        (
            "provider's labels",
            of_provider.iter().any(|key| {
                let text = text();
                text.contains(&format!("\"key\":\"{key}\"")) || text.contains(&format!("\"{key}\":\""))
            }),
        ),
        (
            "host ports",
            pods().any(|pod| {
                let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
                containers
                    .flat_map(|one| one["ports"].as_array().into_iter().flatten())
                    .any(|port| port["hostPort"].as_u64().is_some_and(|port| port > 0))
            }),
        ),
        ("volumes", of_kind("PersistentVolumeClaim").next().is_some()),
        ("daemon sets", of_kind("DaemonSet").next().is_some()),
        ("existing nodes", of_kind("Node").next().is_some()),
        ("claims in flight", of_kind("NodeClaim").count() > of_kind("Node").count()),
        (
            "leaving nodes",
            of_kind("NodeClaim")
                .chain(of_kind("Node"))
                .any(|one| one["metadata"]["deletionTimestamp"].is_string())
                || scenario["state"].to_string().contains("\"markedForDeletion\":true"),
        ),
        ("taints", pools().any(|pool| filled(&pool["spec"]["template"]["spec"]["taints"]))),
        ("minValues", pool_requirements().any(|requirement| requirement["minValues"].is_number())),
        ("pool limits", pools().any(|pool| filled(&pool["spec"]["limits"]))),
        ("several pools", pools().count() > 1),
        ("lists by pool", !scenario["instanceTypesByNodePoolRef"].is_null()),
        ("reserved capacity", scenario.to_string().contains("reservationCapacity")),
        ("preferences ignored", settings["preferencePolicy"] == "Ignore"),
        ("minValues best effort", settings["minValuesPolicy"] == "BestEffort"),
        ("default spread", filled(&settings["defaultTopologySpreadConstraints"])),
    ];
    let used: Vec<&'static str> = all.into_iter().filter(|(_, used)| *used).map(|(name, _)| name).collect();
    if used.is_empty() { vec!["plain"] } else { used }
}
