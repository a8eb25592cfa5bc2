//! Rules about the whole: pods accounted for, pools and their limits, prices, reservations.

use purser_checker::Rule;
use serde_json::{Value, json};

use crate::cluster::{Cluster, ZONE, cluster};

fn one() -> Cluster {
    cluster().pending("p", json!({})).claim("small", "a", &["p"])
}

#[test]
fn each_pending_pod_exactly_once() {
    one().passes();
    one().pending("q", json!({})).failed("q").passes();
    one().pending("q", json!({})).breaks(Rule::PodLostOrDoubled);
    one().failed("p").breaks(Rule::PodLostOrDoubled);
    one().failed("ghost").breaks(Rule::UnknownName);
    one().node("n", "a").bound("old", "n", json!({})).failed("old").breaks(Rule::UnknownName);
}

#[test]
fn only_what_is_not_ours_is_ignored() {
    let ignored = |spec: Value| {
        let mut cluster = cluster().pending("p", spec);
        cluster.answer["ignoredPods"] = json!(["default/p"]);
        cluster
    };
    ignored(json!({})).breaks(Rule::IgnoredEligible);
    ignored(json!({"nodeSelector": {"kubernetes.io/hostname": "n"}})).passes();
    ignored(json!({"nodeSelector": {"karpenter.sh/registered": "true"}})).passes();
    let volume = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]});
    ignored(volume).passes();
}

#[test]
fn pools_have_to_be_usable() {
    one().pool("replicas", json!(2)).breaks(Rule::NodePoolUnusable);
    let mut unready = one();
    unready.scenario["objects"][0]["status"]["conditions"][0]["status"] = "False".into();
    unready.breaks(Rule::NodePoolUnusable);
    let mut broken = one();
    broken.scenario["instanceTypeErrors"] = json!({"pool": "throttled"});
    broken.breaks(Rule::NodePoolUnusable);
    one().with_claim("nodePool", "nowhere".into()).breaks(Rule::UnknownName);
}

#[test]
fn requirements_of_the_pool() {
    let zoned = || {
        one().pool("template.spec.requirements", json!([{"key": ZONE, "operator": "In", "values": ["a"]}]))
    };
    zoned().passes();
    zoned().with_claim("requirements", json!([])).breaks(Rule::NodePoolRequirement);
}

#[test]
fn limits() {
    let limited = |cpu: &str| one().pool("limits", json!({"cpu": cpu}));
    limited("2").passes();
    limited("1").breaks(Rule::NodePoolLimit);
    // The largest type counts, since the provider may take it.
    let either = limited("7").with_claim("instanceTypes", json!(["small", "large"]));
    either.breaks(Rule::NodePoolLimit);
    let nodes = |most: u64| {
        let two = one().pending("q", json!({})).claim("small", "a", &["q"]);
        two.pool("limits", json!({"nodes": most}))
    };
    nodes(2).passes();
    nodes(1).breaks(Rule::NodePoolLimit);
}

#[test]
fn nodes_that_are_there_count_against_the_limit() {
    let mut node = crate::cluster::node("n", "a");
    node["metadata"]["labels"]["karpenter.sh/nodepool"] = "pool".into();
    let used = |cpu: &str| one().object(node.clone()).pool("limits", json!({"cpu": cpu}));
    used("6").passes();
    used("5").breaks(Rule::NodePoolLimit);
}

#[test]
fn minimum_values() {
    let flexible = || {
        one().pool(
            "template.spec.requirements",
            json!([{"key": "node.kubernetes.io/instance-type", "operator": "Exists", "minValues": 2}]),
        )
    };
    flexible().with_claim("instanceTypes", json!(["small", "large"])).passes();
    flexible().breaks(Rule::MinValues);
    flexible().setting("minValuesPolicy", "BestEffort".into()).passes();
}

#[test]
fn types_and_offerings() {
    one().with_claim("instanceTypes", json!([])).breaks(Rule::InstanceTypeUnavailable);
    let mut sold_out = one();
    sold_out.scenario["instanceTypes"][0]["offerings"][0]["available"] = false.into();
    sold_out.breaks(Rule::InstanceTypeUnavailable);
    let crowded = one().setting("maxInstanceTypes", json!(1));
    crowded.with_claim("instanceTypes", json!(["small", "large"])).breaks(Rule::TooManyInstanceTypes);
}

#[test]
fn prices() {
    let priced = |kind: &str, price: f64, total: f64| {
        let mut cluster = one()
            .with_claim("instanceTypes", json!(["small", "large"]))
            .with_claim("cheapestInstanceType", kind.into())
            .with_claim("cheapestPrice", price.into());
        cluster.answer["totalPricePerHour"] = total.into();
        cluster
    };
    priced("small", 1.0, 1.0).passes();
    priced("large", 1.0, 1.0).breaks(Rule::Price);
    priced("small", 0.5, 1.0).breaks(Rule::Price);
    priced("small", 1.0, 2.0).breaks(Rule::Price);
    one().with_claim("instanceTypes", json!(["large", "small"])).breaks(Rule::Price);
}

#[test]
fn reservations() {
    let reserved = |capacity: u64| {
        let mut cluster = one().pending("q", json!({})).claim("small", "a", &["q"]);
        cluster.scenario["settings"]["reservationIDLabel"] = "example.com/reservation".into();
        cluster.scenario["settings"]["wellKnownLabels"] = json!(["example.com/reservation"]);
        let kind = &mut cluster.scenario["instanceTypes"][0];
        kind["requirements"].as_array_mut().unwrap().retain(|one| one["key"] != "karpenter.sh/capacity-type");
        kind["offerings"] = json!([{
            "requirements": [
                {"key": ZONE, "operator": "In", "values": ["a"]},
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"]},
                {"key": "example.com/reservation", "operator": "In", "values": ["r-1"]},
            ],
            "price": 0.0,
            "available": true,
            "reservationCapacity": capacity,
        }]);
        cluster
    };
    reserved(2).passes();
    reserved(1).breaks(Rule::Reservation);
}
