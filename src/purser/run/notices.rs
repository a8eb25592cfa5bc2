//! What Kubernetes Events there are: a function of a record and of the State before it.
//!
//! **Invariant:** this is the only place that says so. A warning that a pod has no place is held back for as long as Karpenter would
//! gather pods at most, so that none is told of a pod that gets its node after all.

use purser_cluster::{About, Kind, Notice};
use purser_engine::event::{Decision, Event, Fact, LaunchFailure, Seq, Target};
use purser_engine::model::{ClaimName, DisruptionReason, NodeName, PodKey, Span, Time};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::state::{Claim, State};

/// How long a warning that a pod has no place is held back.
const HOLD: Span = Span::secs(10);

/// What a record gives reason to tell, and what not to tell after all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) notices: Vec<Notice>,
    pub(super) withdrawn: Vec<About>,
}

impl Told {
    fn say(&mut self, about: About, warning: bool, reason: &'static str, message: String, decision: Seq) {
        let once_in = match reason {
            "FailedScheduling" => Span::mins(5),
            "DisruptionBlocked" if about.kind == Kind::NodePool => Span::mins(1),
            _ => Span::mins(2),
        };
        let hold = if reason == "FailedScheduling" { HOLD } else { Span::ZERO };
        self.notices.push(Notice { about, warning, reason, message, decision, once_in, hold });
    }

    /// The same about a claim and its node, if it has one.
    fn say_of_both(
        &mut self,
        state: &State,
        claim: &ClaimName,
        warning: bool,
        reason: &'static str,
        say: &Saying<'_>,
        decision: Seq,
    ) {
        if let Some(node) = state.claims.get(claim).and_then(|claim| claim.node.as_ref()) {
            self.say(of_node(node), warning, reason, say("Node"), decision);
        }
        self.say(of_claim(claim), warning, reason, say("NodeClaim"), decision);
    }
}

/// A message about a node or a claim.
type Saying<'a> = dyn Fn(&str) -> String + 'a;

/// What is to be told because of a record.
pub(super) fn told(state: &State, seq: Seq, event: &Event) -> Told {
    let mut told = Told::default();
    match event {
        Event::Decision(decision) => of_decision(state, seq, decision, &mut told),
        Event::Fact(fact) => of_fact(state, seq, fact, &mut told),
        Event::Control(_) => {}
    }
    told
}

fn of_decision(state: &State, seq: Seq, decision: &Decision, told: &mut Told) {
    match decision {
        Decision::Launch { claim, pods, .. } => {
            nominated(state, seq, pods, &format!("nodeclaim/{claim}"), told);
        }
        Decision::Nominate { target, pods } => nominated(state, seq, pods, &target_name(state, target), told),
        Decision::Unschedulable { pods, reason } => {
            for pod in pods {
                let message = format!("Failed to schedule pod, {}", sentence(reason));
                told.say(of_pod(state, pod), true, "FailedScheduling", message, seq);
            }
        }
        Decision::Register { claim, .. } => transitioned(claim, "Registered", seq, told),
        Decision::Initialize { claim, .. } => transitioned(claim, "Initialized", seq, told),
        Decision::Disrupt { reason, candidates, replacements, .. } => {
            if let Some((reason, what)) = given_up(*reason) {
                for claim in candidates {
                    let say = |of: &str| format!("{of} is given up: {what}");
                    told.say_of_both(state, claim, true, reason, &say, seq);
                }
                return;
            }
            let reason = title(reason.as_str());
            for claim in replacements {
                let message = format!("Launching NodeClaim: {reason}");
                told.say(of_claim(claim), false, "DisruptionLaunching", message, seq);
            }
            for claim in candidates {
                let say = |what: &str| format!("Disrupting {what}: {reason}");
                told.say_of_both(state, claim, false, "DisruptionTerminating", &say, seq);
            }
        }
        Decision::RejectCandidate { claim, reason } | Decision::AbandonDisruption { claim, reason } => {
            if reason.id == ReasonId::BudgetExhausted
                && let Some(claim) = state.claims.get(claim)
                && let Some(pool) = &claim.pool
            {
                let pool = About { kind: Kind::NodePool, name: pool.to_string(), ..of_claim(&claim.name) };
                let message = "No allowed disruptions due to blocking budget".to_owned();
                told.say(pool, false, "DisruptionBlocked", message, seq);
            }
            told.say_of_both(state, claim, false, "DisruptionBlocked", &|_| sentence(reason), seq);
        }
        Decision::Drain { claim, deadline: Some(deadline) } => {
            let say = |_: &str| format!("All pods will be deleted by {}", moment(*deadline));
            told.say_of_both(state, claim, true, "TerminationGracePeriodExpiring", &say, seq);
        }
        Decision::AwaitDetachment { claim, attached } => {
            if let Some(node) = state.claims.get(claim).and_then(|claim| claim.node.as_ref()) {
                let message = format!("Awaiting deletion of bound volumeattachments ({attached})");
                told.say(of_node(node), false, "AwaitingVolumeDetachment", message, seq);
            }
        }
        Decision::Evict { claim, pod, force, .. } => {
            let claim = state.claims.get(claim);
            let about = of_pod(state, pod);
            match force {
                true => {
                    let deadline = claim.and_then(Claim::removal_deadline);
                    let deadline = deadline.map_or_else(|| "now".to_owned(), moment);
                    let message = format!(
                        "Deleting the pod, since its node has to be gone by {deadline}: PodDisruptionBudgets and karpenter.sh/do-not-disrupt are passed over"
                    );
                    told.say(about, false, "Disrupted", message, seq);
                }
                false => {
                    let removal = claim.and_then(|claim| claim.disrupting.as_ref());
                    let reason = removal.map_or_else(
                        || "Forceful Termination".to_owned(),
                        |removal| title(removal.reason.as_str()),
                    );
                    told.say(about, false, "Evicted", format!("Evicted pod: {reason}"), seq);
                }
            }
        }
        _ => {}
    }
}

/// The reason and the words for a claim that comes to nothing.
const fn given_up(reason: DisruptionReason) -> Option<(&'static str, &'static str)> {
    match reason {
        DisruptionReason::LaunchTimeout => Some(("LaunchTimeout", "no instance was started for it in time")),
        DisruptionReason::RegistrationTimeout => {
            Some(("RegistrationTimeout", "its node did not register in time"))
        }
        _ => None,
    }
}

fn of_fact(state: &State, seq: Seq, fact: &Fact, told: &mut Told) {
    match fact {
        Fact::PodBound { pod, .. } | Fact::PodDeleted { pod } => told.withdrawn.push(of_pod(state, pod)),
        Fact::PodObserved { pod, node: Some(_), .. } => told.withdrawn.push(of_pod(state, pod)),
        Fact::InstanceLaunched { claim, .. } => transitioned(claim, "Launched", seq, told),
        Fact::LaunchFailed { claim, failure } => {
            let (reason, message) = match failure {
                LaunchFailure::InsufficientCapacity { offerings } => (
                    "InsufficientCapacityError",
                    format!("none of the {} offerings that were asked for has capacity", offerings.len()),
                ),
                LaunchFailure::Rejected { message } => ("LaunchFailed", message.to_string()),
                LaunchFailure::Unknown { .. } => return,
            };
            told.say(of_claim(claim), true, reason, format!("NodeClaim {claim} event: {message}"), seq);
        }
        Fact::EvictionBlocked { pod, by } => {
            if let Some(node) = state.pods.get(pod).and_then(|pod| pod.node.as_ref()) {
                let message = format!("Failed to drain node, pod {pod} is waiting to be evicted: {by}");
                told.say(of_node(node), true, "FailedDraining", message, seq);
            }
        }
        _ => {}
    }
}

fn nominated(state: &State, seq: Seq, pods: &[PodKey], target: &str, told: &mut Told) {
    for pod in pods {
        let about = of_pod(state, pod);
        told.withdrawn.push(about.clone());
        told.say(about, false, "Nominated", format!("Pod should schedule on: {target}"), seq);
    }
}

/// As Karpenter tells of conditions.
fn transitioned(claim: &ClaimName, condition: &'static str, seq: Seq, told: &mut Told) {
    let message = format!(
        "Status condition transitioned, Type: {condition}, Status: Unknown -> True, Reason: {condition}"
    );
    told.say(of_claim(claim), false, condition, message, seq);
}

fn target_name(state: &State, target: &Target) -> String {
    match target {
        Target::Node(node) => format!("node/{node}"),
        Target::Claim(claim) => match state.claims.get(claim).and_then(|claim| claim.node.as_ref()) {
            Some(node) => format!("nodeclaim/{claim}, node/{node}"),
            None => format!("nodeclaim/{claim}"),
        },
    }
}

/// A reason in words, with what it is about.
fn sentence(reason: &Reason) -> String {
    let meaning = reason.id.meaning().trim().trim_end_matches('.');
    match reason.params.is_empty() {
        true => meaning.to_owned(),
        false => {
            let params: Vec<String> =
                reason.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{meaning} ({})", params.join(", "))
        }
    }
}

fn title(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn moment(time: Time) -> String {
    let moment = chrono::DateTime::from_timestamp_micros(time.0);
    moment.map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).unwrap_or_default()
}

fn of_pod(state: &State, pod: &PodKey) -> About {
    About {
        kind: Kind::Pod,
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        uid: state.pods.get(pod).map(|pod| pod.uid),
    }
}

fn of_claim(claim: &ClaimName) -> About {
    About { kind: Kind::NodeClaim, namespace: String::new(), name: claim.to_string(), uid: None }
}

fn of_node(node: &NodeName) -> About {
    About { kind: Kind::Node, namespace: String::new(), name: node.to_string(), uid: None }
}

#[cfg(test)]
mod tests {
    use purser_engine::model::Price;

    use super::*;

    fn reasons(told: &Told) -> Vec<(Kind, &str)> {
        told.notices.iter().map(|notice| (notice.about.kind, notice.reason)).collect()
    }

    #[test]
    fn a_pod_without_a_place_is_warned_of_later_or_not_at_all() {
        let (state, pod) = (State::default(), PodKey::new("a", "p"));
        let reason = Reason::new(ReasonId::NoNodePool, []);
        let failed = Decision::Unschedulable { pods: vec![pod.clone()], reason };
        let said = told(&state, Seq(3), &failed.into());
        assert_eq!(reasons(&said), [(Kind::Pod, "FailedScheduling")]);
        assert!(said.notices[0].warning && said.notices[0].hold > Span::ZERO);
        assert_eq!(
            said.notices[0].message,
            "Failed to schedule pod, There is no NodePool that may launch nodes"
        );

        let target = Target::Node(NodeName::new("n"));
        let found = told(&state, Seq(4), &Decision::Nominate { target, pods: vec![pod] }.into());
        assert_eq!(found.withdrawn, [said.notices[0].about.clone()]);
        assert_eq!(found.notices[0].message, "Pod should schedule on: node/n");
        assert!(!found.notices[0].warning && found.notices[0].hold == Span::ZERO);
    }

    #[test]
    fn a_disruption_is_told_of_its_claims() {
        let disrupt = Decision::Disrupt {
            reason: DisruptionReason::Empty,
            candidates: vec![ClaimName::new("a")],
            replacements: vec![ClaimName::new("b")],
            savings: Price(1),
            allowed: None,
            used: 0,
        };
        let said = told(&State::default(), Seq(5), &disrupt.into());
        let wanted = [(Kind::NodeClaim, "DisruptionLaunching"), (Kind::NodeClaim, "DisruptionTerminating")];
        assert_eq!(reasons(&said), wanted);
        assert_eq!(said.notices[1].message, "Disrupting NodeClaim: Empty");
        assert_eq!(said.notices[1].decision, Seq(5));
    }

    #[test]
    fn a_claim_that_is_given_up_is_warned_of() {
        let lost = Decision::Disrupt {
            reason: DisruptionReason::RegistrationTimeout,
            candidates: vec![ClaimName::new("a")],
            replacements: Vec::new(),
            savings: Price(0),
            allowed: None,
            used: 0,
        };
        let said = told(&State::default(), Seq(6), &lost.into());
        assert_eq!(reasons(&said), [(Kind::NodeClaim, "RegistrationTimeout")]);
        assert!(said.notices[0].warning);
    }
}
