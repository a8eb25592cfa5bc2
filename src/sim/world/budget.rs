//! PodDisruptionBudgets, as the disruption controller and the eviction API keep them.
//!
//! Source: k8s.io/kubernetes, pkg/controller/disruption and pkg/registry/core/pod/storage/eviction.go.
//!
//! **Invariant:** the number of healthy pods is that of the pods that are ready and not being deleted, and an
//! eviction is granted only when it leaves as many as the budget wants.

use purser_engine::model::PodPhase;
use purser_engine::port::Observation;

use super::World;
use super::outbox::Subject;
use super::pod::Owner;
use super::workload::Kind;
use crate::scenario::{DisruptionBudget, Threshold};

/// A budget and its counts.
#[derive(Debug)]
pub(super) struct BudgetState {
    pub(super) facts: DisruptionBudget,
    pub(super) live: bool,
    pub(super) healthy: u32,
    /// Replicas wanted by services.
    wanted: u32,
    /// Other pods that it selects.
    others: u32,
    told: Option<u32>,
}

impl BudgetState {
    pub(super) fn new(facts: DisruptionBudget) -> Self {
        Self { facts, live: true, healthy: 0, wanted: 0, others: 0, told: None }
    }

    /// How many pods must be healthy.
    fn desired(&self) -> u32 {
        let expected = self.wanted + self.others;
        match self.facts.threshold {
            Threshold::MinAvailable(amount) => amount.of(expected),
            Threshold::MaxUnavailable(amount) => expected.saturating_sub(amount.of(expected)),
        }
    }

    /// How many healthy pods may go.
    fn allowed(&self) -> u32 {
        self.healthy.saturating_sub(self.desired())
    }
}

impl World {
    /// A pod of a class became ready, or ceased to be.
    pub(super) fn health_changed(&mut self, class: u32, more: bool) {
        for at in 0..self.classes.all[class as usize].budgets.len() {
            let number = self.classes.all[class as usize].budgets[at];
            let budget = &mut self.budgets[number as usize];
            budget.healthy = if more { budget.healthy + 1 } else { budget.healthy - 1 };
            self.budget_changed(number);
        }
    }

    /// A pod that belongs to no service came, or goes.
    pub(super) fn other_member(&mut self, pod: u32, more: bool) {
        let own = &self.pods[pod as usize];
        if matches!(own.owner, Owner::Service(..) | Owner::Daemon(_)) {
            return;
        }
        let class = own.class as usize;
        for at in 0..self.classes.all[class].budgets.len() {
            let number = self.classes.all[class].budgets[at];
            let budget = &mut self.budgets[number as usize];
            budget.others = if more { budget.others + 1 } else { budget.others.saturating_sub(1) };
            self.budget_changed(number);
        }
    }

    /// The number of replicas that services want changed.
    pub(super) fn recount_wanted(&mut self) {
        for number in 0..self.budgets.len() {
            let wanted = self.workloads.iter().filter_map(|workload| match &workload.kind {
                Kind::Service(service) => {
                    let selected =
                        self.classes.all[service.class as usize].budgets.contains(&(number as u32));
                    selected.then_some(service.desired)
                }
                Kind::Batch(_) => None,
            });
            self.budgets[number].wanted = wanted.sum();
            self.budget_changed(number as u32);
        }
    }

    fn budget_changed(&mut self, number: u32) {
        let budget = &mut self.budgets[number as usize];
        let allowed = Some(budget.allowed());
        if budget.live && budget.told != allowed {
            budget.told = allowed;
            self.tell(Subject::Budget(number), None);
        }
    }

    /// How a budget is.
    pub(super) fn budget_observation(&self, number: u32) -> Observation {
        let budget = &self.budgets[number as usize];
        if !budget.live {
            return Observation::NoDisruptionBudget(budget.facts.key.clone());
        }
        Observation::DisruptionBudget {
            budget: budget.facts.key.clone(),
            selector: budget.facts.selector.clone(),
            disruptions_allowed: budget.allowed(),
            always_allow_unhealthy: budget.facts.always_allow_unhealthy,
        }
    }

    /// The budget that does not allow the eviction of a pod, if one does not.
    pub(super) fn forbidding_budget(&self, pod: u32) -> Option<u32> {
        let own = &self.pods[pod as usize];
        if own.phase != PodPhase::Bound {
            return None;
        }
        let selecting = &self.classes.all[own.class as usize].budgets;
        let mut selecting = selecting.iter().copied().filter(|number| self.budgets[*number as usize].live);
        let number = selecting.next()?;
        if selecting.next().is_some() {
            // The API refuses to choose between several.
            return Some(number);
        }
        let budget = &self.budgets[number as usize];
        let (desired, healthy) = (budget.desired(), budget.healthy);
        let unhealthy =
            !own.ready && (budget.facts.always_allow_unhealthy || (desired > 0 && healthy >= desired));
        (!unhealthy && budget.allowed() == 0).then_some(number)
    }
}
