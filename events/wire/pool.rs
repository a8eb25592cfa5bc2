//! NodePools.
//!
//! Invariant: the reasons of a budget are in the order of their codes, each once.

use std::collections::BTreeSet;

use purser_engine::model::{
    Budget, BudgetNodes, BudgetSchedule, ClassName, Disruption, DisruptionReason, Limits, NodePool,
    NodeTemplate, Str,
};
use serde::{Deserialize, Serialize};

use super::code::{BudgetUnit, ConsolidationCode, DisruptionCode};
use super::convert::{Reject, Wire, strictly_ascending};
use super::map::LabelsV1;
use super::requirement::RequirementsV1;
use super::taint::TaintV1;

frozen! {
    /// A NodePool.
    NodePoolV1 = NodePool {
        name: String,
        weight: u32,
        template: NodeTemplateV1,
        disruption: DisruptionV1,
        limits: LimitsV1,
        replicas: Option<u32>,
        hash: String,
        ready: bool,
    }

    /// What the nodes of a pool are like.
    NodeTemplateV1 = NodeTemplate {
        labels: LabelsV1,
        taints: Vec<TaintV1>,
        startup_taints: Vec<TaintV1>,
        requirements: RequirementsV1,
        class: Option<ClassRefV1>,
        termination_grace_us: Option<i64> = termination_grace,
        expire_after_us: Option<i64> = expire_after,
    }

    /// How nodes of a pool may be removed.
    DisruptionV1 = Disruption {
        policy: ConsolidationCode,
        consolidate_after_us: Option<i64> = consolidate_after,
        budgets: Vec<BudgetV1>,
    }

    /// How many nodes may be disrupted at once.
    BudgetV1 = Budget { reasons: Option<BudgetReasonsV1>, nodes: BudgetNodesV1, schedule: Option<BudgetScheduleV1> }

    /// What the nodes of a pool may sum up to.
    LimitsV1 = Limits { resources: Vec<AmountV1>, nodes: Option<u32> }
}

/// A node class by kind and name.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClassRefV1 {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// For which reasons a budget holds, by code.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BudgetReasonsV1(pub(crate) Vec<DisruptionCode>);

/// The number of nodes that a budget allows.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BudgetNodesV1 {
    pub(crate) unit: BudgetUnit,
    pub(crate) value: u32,
}

/// When a budget holds: the cron expression as it was written.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BudgetScheduleV1 {
    pub(crate) cron: String,
    pub(crate) duration_us: i64,
}

/// An amount of one resource, in the unit of the resource.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AmountV1 {
    pub(crate) resource: String,
    pub(crate) amount: i64,
}

// === impl ClassRefV1 ===

impl Wire<(Str, ClassName)> for ClassRefV1 {
    fn from_domain((kind, name): &(Str, ClassName)) -> Self {
        Self { kind: Wire::from_domain(kind), name: Wire::from_domain(name) }
    }

    fn into_domain(self) -> Result<(Str, ClassName), Reject> {
        Ok((self.kind.into_domain()?, self.name.into_domain()?))
    }
}

// === impl BudgetReasonsV1 ===

impl Wire<BTreeSet<DisruptionReason>> for BudgetReasonsV1 {
    fn from_domain(domain: &BTreeSet<DisruptionReason>) -> Self {
        let mut codes: Vec<DisruptionCode> = domain.iter().map(Wire::from_domain).collect();
        codes.sort_unstable();
        Self(codes)
    }

    fn into_domain(self) -> Result<BTreeSet<DisruptionReason>, Reject> {
        if !strictly_ascending(&self.0) {
            return Err(Reject::new("the reasons are not in order"));
        }
        self.0.into_iter().map(Wire::into_domain).collect()
    }
}

// === impl BudgetNodesV1 ===

impl Wire<BudgetNodes> for BudgetNodesV1 {
    fn from_domain(domain: &BudgetNodes) -> Self {
        match *domain {
            BudgetNodes::Count(value) => Self { unit: BudgetUnit::Nodes, value },
            BudgetNodes::Percent(value) => Self { unit: BudgetUnit::Percent, value },
        }
    }

    fn into_domain(self) -> Result<BudgetNodes, Reject> {
        Ok(match self.unit {
            BudgetUnit::Nodes => BudgetNodes::Count(self.value),
            BudgetUnit::Percent => BudgetNodes::Percent(self.value),
        })
    }
}

// === impl BudgetScheduleV1 ===

impl Wire<BudgetSchedule> for BudgetScheduleV1 {
    fn from_domain(domain: &BudgetSchedule) -> Self {
        Self { cron: Wire::from_domain(&domain.text), duration_us: domain.duration.0 }
    }

    fn into_domain(self) -> Result<BudgetSchedule, Reject> {
        BudgetSchedule::parse(&self.cron, self.duration_us.into_domain()?)
            .map_err(|reason| Reject::new(reason).within("cron"))
    }
}

// === impl AmountV1 ===

impl Wire<(Str, i64)> for AmountV1 {
    fn from_domain((resource, amount): &(Str, i64)) -> Self {
        Self { resource: Wire::from_domain(resource), amount: *amount }
    }

    fn into_domain(self) -> Result<(Str, i64), Reject> {
        Ok((self.resource.into_domain()?, self.amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_pool_has_is_refused() {
        let twice = BudgetReasonsV1(vec![DisruptionCode::Empty, DisruptionCode::Empty]);
        assert!(twice.into_domain().is_err());
        let schedule = BudgetScheduleV1 { cron: "whenever".to_owned(), duration_us: 1 };
        assert!(schedule.into_domain().unwrap_err().to_string().starts_with("cron: \"whenever\" is not"));
    }
}
