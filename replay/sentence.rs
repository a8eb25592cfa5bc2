//! Each event as one sentence.
//!
//! **Invariant:** a sentence says what the record says and nothing that it does not; a new kind of event does not compile before it
//! has one.

mod devices;

use purser_engine::controller::limits::{refused, refused_problem, refused_requirements, refused_selector};
use purser_engine::event::{Control, Decision, Divergence, Event, Fact, Interruption, LaunchFailure, Target};
use purser_engine::model::{ClaimFacts, Limits, NodePool, OfferingKey, PodPhase, VolumeLimits};
use purser_engine::settings::{FeatureGate, FeatureGates, MinValuesPolicy, PreferencePolicy, Settings};

use crate::text;

/// An event in words.
pub fn of(event: &Event) -> String {
    match event {
        Event::Control(control) => of_control(control),
        Event::Fact(fact) => of_fact(fact),
        Event::Decision(decision) => of_decision(decision),
    }
}

/// Where a pod is sent, in words.
pub fn target(target: &Target) -> String {
    match target {
        Target::Node(node) => format!("node {node}"),
        Target::Claim(claim) => format!("nodeclaim {claim}"),
    }
}

/// What is said of an object that was too large to record.
fn refusal(text: Option<&str>) -> String {
    text.map(|text| format!("; refused: {text}")).unwrap_or_default()
}

fn of_control(control: &Control) -> String {
    match control {
        Control::LogStarted { origin, predecessor, reason } => match predecessor {
            None => format!("log of {origin} begins: {reason}"),
            Some(_) => format!("log of {origin} begins after another: {reason}"),
        },
        Control::ControllerStarted { version, instance, term } => {
            format!("controller {instance} of version {version} starts, term {term}")
        }
        Control::ControllerStopped { reason } => format!("controller stops: {reason}"),
        Control::LeadershipAcquired { term, holder } => format!("{holder} leads, term {term}"),
        Control::LeadershipLost { term, reason } => format!("leadership of term {term} is lost: {reason}"),
        Control::JournalRecovered { kept, acknowledged, detail } => {
            format!("journal recovered: {kept} records kept of {acknowledged} acknowledged: {detail}")
        }
        Control::JournalResumed { stalled_since, waiting } => {
            let since = text::time(*stalled_since);
            format!("journal has space again, had none since {since}; {waiting} observations waited")
        }
        Control::RetentionApplied { first_kept, archived } => {
            let others = if *archived { "archived" } else { "deleted" };
            format!("records before {first_kept} {others}")
        }
        Control::Heartbeat => "nothing happened".to_owned(),
        Control::SettingsChanged { settings } => of_settings(settings),
        Control::OperatorCommand { actor, command, reason } => {
            format!("{actor} commands {command}: {reason}")
        }
        Control::Relisted { listed, changed } => {
            format!("world listed: {listed} objects, {changed} of them news")
        }
        Control::TimePassed => "a moment came that was waited for".to_owned(),
    }
}

fn of_fact(fact: &Fact) -> String {
    match fact {
        Fact::PodSpecDefined { id, spec } => {
            let asks = text::resources(&spec.requests);
            let group = spec.group.as_ref().map(|group| format!(", of pod group {}", group.name));
            let group = group.unwrap_or_default();
            format!("pod spec {}: asks for {asks}{group}{}", id.0, refusal(refused(&spec.labels)))
        }
        Fact::LabelSetDefined { id, labels } => {
            let count = text::count(labels.len(), "label");
            format!("label set {}: {count}{}", id.0, refusal(refused(labels)))
        }
        Fact::PodObserved { pod, spec, phase, node, .. } => match node {
            Some(node) => format!("pod {pod} is {} on {node}, spec {}", of_phase(*phase), spec.0),
            None => format!("pod {pod} is {}, spec {}", of_phase(*phase), spec.0),
        },
        Fact::PodBound { pod, node } => format!("pod {pod} is bound to {node}"),
        Fact::PodPhaseChanged { pod, phase, started, ends } => {
            let since = started.map(|started| format!(", runs since {started}")).unwrap_or_default();
            let until = ends.map(|ends| format!(", has to be gone by {ends}")).unwrap_or_default();
            format!("pod {pod} is now {}{since}{until}", of_phase(*phase))
        }
        Fact::PodDeleted { pod } => format!("pod {pod} is gone"),
        Fact::NodeObserved { node, instance, ready, unschedulable, deleting, taints, .. } => {
            let mut is = vec![if *ready { "ready" } else { "not ready" }.to_owned()];
            is.extend(unschedulable.then(|| "cordoned".to_owned()));
            is.extend(deleting.then(|| "being deleted".to_owned()));
            if !taints.is_empty() {
                is.push(text::count(taints.len(), "taint"));
            }
            let instance = instance.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
            format!("node {node}{instance} is {}", is.join(", "))
        }
        Fact::NodeReadinessChanged { node, ready } => {
            format!("node {node} is {}", if *ready { "ready" } else { "no longer ready" })
        }
        Fact::NodeConditionChanged { node, condition, status, since } => {
            format!("node {node} has {condition} {status} since {}", text::time(*since))
        }
        Fact::NodeDeleted { node } => format!("node {node} is gone"),
        Fact::NodeClaimObserved { claim } => of_claim(claim),
        Fact::NodeClaimDeleted { claim } => format!("nodeclaim {claim} is gone"),
        Fact::NodePoolObserved { pool } => of_pool(pool),
        Fact::NodePoolDeleted { pool } => format!("nodepool {pool} is gone"),
        Fact::NodeClassObserved { kind, class, ready, message, .. } => match ready {
            true => format!("{kind} {class} is ready"),
            false => format!("{kind} {class} is not ready: {message}"),
        },
        Fact::NodeClassDeleted { kind, class } => format!("{kind} {class} is gone"),
        Fact::NodeOverlayObserved { name, weight, .. } => format!("nodeoverlay {name} has weight {weight}"),
        Fact::NodeOverlayDeleted { name } => format!("nodeoverlay {name} is gone"),
        Fact::DaemonSetObserved { daemon_set, spec } => {
            format!("daemonset {daemon_set} has pods of spec {}", spec.0)
        }
        Fact::DaemonSetDeleted { daemon_set } => format!("daemonset {daemon_set} is gone"),
        Fact::DisruptionBudgetObserved { budget, disruptions_allowed, selector, .. } => {
            format!(
                "poddisruptionbudget {budget} allows {}{}",
                text::count(*disruptions_allowed as usize, "eviction"),
                refusal(refused_selector(selector))
            )
        }
        Fact::DisruptionBudgetDeleted { budget } => format!("poddisruptionbudget {budget} is gone"),
        Fact::VolumeClaimObserved { claim, driver, problem, .. } => {
            let of = if driver.is_empty() { "a driver that is not known" } else { driver };
            match problem.as_deref() {
                None => format!("volume claim {claim} is of {of}"),
                Some(problem) => match refused_problem(problem) {
                    None => format!("volume claim {claim} is of {of} and cannot be used: {problem}"),
                    refused => format!("volume claim {claim} is of {of}{}", refusal(refused)),
                },
            }
        }
        Fact::VolumeClaimDeleted { claim } => format!("volume claim {claim} is gone"),
        Fact::InstanceTypeObserved { instance_type } => {
            let cheapest = instance_type.offerings.iter().map(|offering| offering.price).min();
            let from = cheapest.map(|price| format!(" from {}", text::price(price))).unwrap_or_default();
            let offerings = text::count(instance_type.offerings.len(), "offering");
            let refusal = refusal(refused_requirements(&instance_type.requirements));
            format!("instance type {} has {offerings}{from}{refusal}", instance_type.name)
        }
        Fact::InstanceTypeRemoved { instance_type } => {
            format!("instance type {instance_type} is no longer offered")
        }
        Fact::CatalogueObserved { types, .. } => format!("catalogue is complete with {types} instance types"),
        Fact::PriceChanged { offering, price } => {
            format!("{} now costs {}", of_offering(offering), text::price(*price))
        }
        Fact::OfferingUnavailable { offering, until } => {
            format!("{} has no capacity; asked again {}", of_offering(offering), text::time(*until))
        }
        Fact::InstanceLaunched { claim, instance, instance_type, zone, capacity_type, price } => format!(
            "{claim} got {instance}: {instance_type} {capacity_type} in {zone} at {}",
            text::price(*price)
        ),
        Fact::LaunchFailed { claim, failure } => match failure {
            LaunchFailure::InsufficientCapacity { offerings } => {
                let tried = text::count(offerings.len(), "offering");
                format!(
                    "{claim} got no instance: no capacity in {tried} ({})",
                    text::few(offerings.iter().map(of_offering), 2)
                )
            }
            LaunchFailure::Rejected { message } => {
                format!("{claim} got no instance: request rejected: {message}")
            }
            LaunchFailure::Unknown { message } => {
                format!("{claim} may or may not have got an instance: {message}")
            }
        },
        Fact::InstanceObserved { instance, claim, instance_type, zone, .. } => match claim {
            Some(claim) => {
                format!("unknown instance {instance} ({instance_type} in {zone}) is tagged {claim}")
            }
            None => format!("unknown instance {instance} ({instance_type} in {zone}) has no claim"),
        },
        Fact::InstanceGone { instance } => format!("instance {instance} is gone"),
        Fact::InterruptionNotice { instance, kind, at } => {
            let what = match kind {
                Interruption::SpotReclaim => "will be taken back (spot)",
                Interruption::RebalanceRecommendation => "is likely to be taken back (spot)",
                Interruption::ScheduledMaintenance => "will be maintained or retired",
                Interruption::StateChange => "is being stopped or terminated",
            };
            format!("instance {instance} {what}, {}", text::time(*at))
        }
        Fact::EvictionBlocked { pod, by } => format!("eviction of {pod} was refused by {by}"),
        Fact::NodeTainted { claim } => format!("node of {claim} carries the mark that keeps new pods away"),
        Fact::EffectFailed { claim, message } => {
            format!("work on {claim} failed and is tried again: {message}")
        }
        Fact::NamespaceObserved { namespace, labels } => {
            let count = text::count(labels.len(), "label");
            format!("namespace {namespace} has {count}{}", refusal(refused(labels)))
        }
        Fact::NamespaceDeleted { namespace } => format!("namespace {namespace} is gone"),
        Fact::VolumeLimitsObserved { node, limits } => format!("node {node} attaches {}", of_limits(limits)),
        Fact::VolumeLimitsDeleted { node } => {
            format!("how many volumes node {node} attaches is no longer known")
        }
        Fact::CapacityBufferObserved { buffer, spec, replicas } => {
            let pods = text::count(*replicas as usize, "pod");
            format!("capacitybuffer {buffer} keeps room for {pods} of spec {}", spec.0)
        }
        Fact::CapacityBufferDeleted { buffer } => format!("capacitybuffer {buffer} is gone"),
        Fact::VolumeAttachmentObserved { attachment, node, volume, claim } => {
            let claim = claim.as_ref().map(|claim| format!(" of {claim}")).unwrap_or_default();
            format!("volumeattachment {attachment}: volume {volume}{claim} is attached to node {node}")
        }
        Fact::VolumeAttachmentDeleted { attachment, node } => {
            format!("volumeattachment {attachment} of node {node} is gone")
        }
        Fact::DeviceSelectorDefined { .. }
        | Fact::ClaimKindDefined { .. }
        | Fact::ResourceClaimObserved { .. }
        | Fact::ResourceClaimDeleted { .. }
        | Fact::ClaimTemplateObserved { .. }
        | Fact::ClaimTemplateDeleted { .. }
        | Fact::PodClaimsObserved { .. }
        | Fact::DevicePoolObserved { .. }
        | Fact::DevicePoolDeleted { .. }
        | Fact::WideSelectorsObserved { .. } => devices::of(fact),
    }
}

fn of_decision(decision: &Decision) -> String {
    match decision {
        Decision::Launch { claim, pods, options, considered, .. } => {
            let pods = text::count(pods.len(), "pod");
            match options.first() {
                Some(first) => format!(
                    "launch {claim}: {pods}, cheapest {} {} of {}",
                    first.instance_type,
                    text::price(first.price),
                    text::count(*considered as usize, "type")
                ),
                None => format!("launch {claim}: {pods}, no instance types"),
            }
        }
        Decision::LaunchAdopted { claim, options, considered, .. } => {
            let types = text::count(*considered as usize, "type");
            match options.first() {
                Some(first) => {
                    let price = text::price(first.price);
                    format!(
                        "launch {claim}, which was there: cheapest {} {price} of {types}",
                        first.instance_type
                    )
                }
                None => format!("launch {claim}, which was there: no instance types"),
            }
        }
        Decision::Relaunch { claim, attempt } => format!("ask again for {claim}, attempt {attempt}"),
        Decision::Nominate { target: to, pods } => format!("expect {} on {}", text::pods(pods), target(to)),
        Decision::Unschedulable { pods, reason } => format!("no place for {}: {reason}", text::pods(pods)),
        Decision::Register { claim, node } => format!("register node {node} for {claim}"),
        Decision::Initialize { claim, node } => format!("node {node} of {claim} is set up"),
        Decision::Disrupt { reason, candidates, replacements, savings, allowed, used } => {
            let mut sentence = format!("remove {} ({reason})", text::few(candidates, 3));
            if !replacements.is_empty() {
                sentence.push_str(&format!(", replaced by {}", text::few(replacements, 3)));
            }
            sentence.push_str(&format!(", saves {}", text::price(*savings)));
            if let Some(allowed) = allowed {
                sentence.push_str(&format!(", budget {allowed} with {used} used"));
            }
            sentence
        }
        Decision::AbandonDisruption { claim, reason } => format!("give up removing {claim}: {reason}"),
        Decision::RejectCandidate { claim, reason } => format!("leave {claim} alone: {reason}"),
        Decision::Taint { claim } => format!("keep new pods away from {claim}"),
        Decision::Untaint { claim } => format!("let pods come to {claim} again"),
        Decision::Drain { claim, deadline } => match deadline {
            Some(deadline) => format!("empty {claim}, by {} at the latest", text::time(*deadline)),
            None => format!("empty {claim}, without a deadline"),
        },
        Decision::Evict { claim, pod, force, .. } => match force {
            false => format!("evict {pod} from {claim}"),
            true => format!("delete {pod} on {claim}: the deadline has come"),
        },
        Decision::AwaitDetachment { claim, attached } => {
            let volumes = text::count(*attached as usize, "volume");
            format!("wait for {volumes} to be detached from {claim}")
        }
        Decision::Terminate { claim, instance, attached } => match (instance, attached) {
            (Some(instance), 0) => format!("stop {instance} of {claim}"),
            (Some(instance), attached) => {
                let volumes = text::count(*attached as usize, "volume");
                format!("stop {instance} of {claim}, with {volumes} attached: the deadline has come")
            }
            (None, _) => format!("give up {claim}, which has no instance"),
        },
        Decision::Repair { claim, condition } => format!("replace {claim}: unhealthy, {condition}"),
        Decision::Expire { claim, age } => format!("{claim} has reached its age, {}", text::span(*age)),
        Decision::Drift { claim, field, was, wanted } => {
            format!("{claim} has drifted: {field} is {was} and should be {wanted}")
        }
        Decision::Adopt { claim, instance } => match instance {
            Some(instance) => format!("take over {claim} with {instance}"),
            None => format!("take over {claim}"),
        },
        Decision::GarbageCollect { instance } => format!("stop {instance}, which has no claim"),
        Decision::BindingDiverged { pod, node, how, planned } => {
            let plan = match how {
                Divergence::OtherNode => "was planned elsewhere",
                Divergence::EqualPod => "changes places with an equal pod",
                Divergence::NoPlace => "was held to have no place",
            };
            format!("pod {pod} is on node {node}, and {plan} by {planned}")
        }
    }
}

/// A NodeClaim as it was seen.
fn of_claim(claim: &ClaimFacts) -> String {
    let pool =
        claim.pool.as_ref().map_or_else(|| "no nodepool".to_owned(), |pool| format!("nodepool {pool}"));
    let mut is = vec![format!("of {pool}")];
    is.extend(claim.instance.as_ref().map(|instance| format!("with {instance}")));
    is.extend(claim.node.as_ref().map(|node| format!("on {node}")));
    is.extend(claim.deleted.is_some().then(|| "being deleted".to_owned()));
    is.extend(claim.deadline.map(|deadline| format!("to be gone by {}", text::time(deadline))));
    format!("nodeclaim {} is there: {}", claim.name, is.join(", "))
}

/// Settings in words: those that have only one good value for most are told where they differ from it.
fn of_settings(settings: &Settings) -> String {
    let mut is = vec![
        format!("batch {} to {}", text::span(settings.batch_idle), text::span(settings.batch_max)),
        format!("{} instance types a launch", settings.max_instance_types),
    ];
    if settings.preference_policy == PreferencePolicy::Ignore {
        is.push("preferences do not count".to_owned());
    }
    if settings.min_values_policy == MinValuesPolicy::BestEffort {
        is.push("minValues as far as possible".to_owned());
    }
    if !settings.default_spread.is_empty() {
        is.push(text::count(settings.default_spread.len(), "default spread constraint"));
    }
    let default = FeatureGates::default();
    for gate in FeatureGate::ALL {
        let open = settings.feature_gates.has(gate);
        is.extend((open != default.has(gate)).then(|| format!("{}={open}", gate.as_str())));
    }
    is.extend(
        settings.expendable_below.map(|cutoff| format!("pods of a priority below {cutoff} launch nothing")),
    );
    format!("settings: {}", is.join(", "))
}

/// How many volumes a node attaches, in words.
fn of_limits(limits: &VolumeLimits) -> String {
    if limits.is_empty() {
        return "volumes of no driver".to_owned();
    }
    let one = |(driver, limit): (&purser_engine::model::Str, &Option<u32>)| match limit {
        Some(limit) => format!("{} of {driver}", text::count(*limit as usize, "volume")),
        None => format!("any number of volumes of {driver}"),
    };
    text::few(limits.iter().map(one), 3)
}

/// A NodePool in words.
fn of_pool(pool: &NodePool) -> String {
    let mut is = vec![if pool.ready { "ready".to_owned() } else { "not ready".to_owned() }];
    is.push(format!("weight {}", pool.weight));
    if pool.limits != Limits::default() {
        is.push(format!("limits {}", limits(&pool.limits)));
    }
    is.push(match pool.disruption.consolidate_after {
        Some(after) => format!("consolidateAfter {after}"),
        None => "consolidateAfter Never".to_owned(),
    });
    is.extend(pool.template.expire_after.map(|after| format!("expireAfter {after}")));
    format!("nodepool {} is {}{}", pool.name, is.join(", "), refusal(refused(&pool.template.labels)))
}

/// Limits in words.
pub fn limits(limits: &Limits) -> String {
    let nodes = limits.nodes.map(|nodes| format!("nodes {nodes}"));
    let resources =
        limits.resources.iter().map(|(name, most)| format!("{name} {}", text::amount(name, *most)));
    nodes.into_iter().chain(resources).collect::<Vec<_>>().join(" ")
}

/// A phase in a word.
pub fn of_phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "pending",
        PodPhase::Untried => "not tried by the scheduler yet",
        PodPhase::Held => "held back",
        PodPhase::Bound => "bound",
        PodPhase::Terminating => "terminating",
        PodPhase::Ended => "ended",
    }
}

fn of_offering(offering: &OfferingKey) -> String {
    format!("{} {} in {}", offering.instance_type, offering.capacity_type, offering.zone)
}
