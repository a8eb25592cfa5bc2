//! Why something was not done: stable ids that logs, manuals and programs can refer to.
//!
//! **Invariant:** an id, once released, keeps its number, its text and its meaning; it is never used again for another.

use std::fmt;

use crate::model::Str;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $id:literal, $remedy:literal;)*) => {
        /// A reason from the registry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ReasonId {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl ReasonId {
            /// The whole registry, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable text, such as `limit-reached`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)* }
            }

            /// What can be done about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }

            /// The reason with this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// There is no NodePool that may launch nodes.
    NoNodePool = 1, "no-nodepool", "Create a NodePool, or see why none is ready: kubectl describe nodepool.";
    /// The pod does not tolerate a taint of the NodePool's nodes.
    TaintNotTolerated = 2, "taint-not-tolerated", "Add a toleration to the pod, or a NodePool without the taint.";
    /// The pod's node selector or required affinity conflicts with what the NodePool allows.
    RequirementsConflict = 3, "requirements-conflict", "Compare the pod's nodeSelector and nodeAffinity with the NodePool's requirements and labels.";
    /// No instance type that the NodePool allows is large enough for the pod and the daemon pods beside it.
    TooLarge = 4, "too-large", "Ask for less, or allow larger instance types in the NodePool.";
    /// Instance types would fit, but none of their offerings has capacity at the moment, or a price.
    NoCapacity = 5, "no-capacity", "Allow more instance types, zones or capacity types; the offerings are tried again by themselves.";
    /// A limit of the NodePool would be exceeded.
    LimitReached = 6, "limit-reached", "Raise spec.limits of the NodePool, or remove what uses it up.";
    /// The pod has a required constraint that this version does not evaluate, and so no node is launched for it.
    ConstraintNotEvaluated = 7, "constraint-not-evaluated", "Make the constraint a preference, or wait for a version that evaluates it.";
    /// A pod came to the node before it could be removed.
    NoLongerEmpty = 8, "no-longer-empty", "Nothing: the node stays.";
    /// The NodePool's disruption budget allows no more nodes at the moment.
    BudgetExhausted = 9, "budget-exhausted", "Wait, or raise spec.disruption.budgets of the NodePool.";
    /// The node, or a pod on it, carries karpenter.sh/do-not-disrupt.
    DoNotDisrupt = 10, "do-not-disrupt", "Remove the annotation when the work is done.";
    /// A topology spread constraint allows no more of these pods on any node that could take it.
    SpreadExceeded = 11, "spread-exceeded", "Raise maxSkew, or allow more nodes.";
    /// Another pod on the node has the host port.
    HostPortTaken = 12, "host-port-taken", "Use another host port, or none.";
    /// The pod was expected on a node and did not come: the scheduler saw it otherwise.
    NotBoundInTime = 13, "not-bound-in-time", "Compare the scheduler's events on the pod with the node; the pod is looked at again.";
    /// A PodDisruptionBudget allows no eviction at the moment.
    DisruptionBudgetBlocks = 14, "pdb-blocks", "Wait for the pods to become healthy, or loosen the PodDisruptionBudget.";
    /// The node is registered but was not set up in time; until it is, no pod is sent there.
    SetUpOverdue = 15, "set-up-overdue", "See why the node is not ready: kubectl describe node; delete it if it cannot be helped.";
    /// No domain that the pod can reach has the pods that its affinity asks to be near to.
    AffinityUnmet = 16, "affinity-unmet", "See whether the pods that podAffinity selects run, and where; a pod may select itself.";
    /// In every domain that the pod can reach are pods that it may not be beside, or that do not want it beside them.
    AntiAffinity = 17, "anti-affinity", "Allow more domains (zones, nodes), or loosen podAntiAffinity.";
    /// The instance types that are left have fewer different values than minValues asks for.
    MinValuesUnmet = 18, "min-values-unmet", "Lower minValues in the NodePool, allow more instance types, or set the policy for minValues to BestEffort.";
    /// The node, or any that could be launched, attaches too few volumes of a driver.
    VolumeLimit = 19, "volume-limit", "Nothing: another node is used; spread pods with many volumes.";
    /// Not all pods of the group that are wanted together have a place, and so none of them gets one.
    GroupIncomplete = 20, "group-incomplete", "See why the others of the group have no place; launch for fewer of them, or raise the limits.";
    /// A volume that the pod uses cannot be used.
    VolumeUnusable = 21, "volume-unusable", "Create the PersistentVolumeClaim, its StorageClass or its volume, or mend them.";
    /// The node holds room that a CapacityBuffer asks for.
    HoldsBuffer = 22, "holds-buffer", "Nothing: the node stays; lower the buffer's replicas or percentage if it is not wanted.";
    /// The pod's priority is below the cut-off for expendable pods: it uses what is there, and nothing is launched for it.
    Expendable = 23, "expendable", "Raise the pod's priority, or lower or remove the cut-off, if it should have a node.";
    /// An object that a resource claim of the pod rests on is not there.
    DeviceObjectMissing = 40, "device-object-missing", "Create the ResourceClaim, ResourceClaimTemplate or DeviceClass.";
    /// A device selector that a resource claim of the pod rests on is wrong.
    DeviceSelectorInvalid = 41, "device-selector-invalid", "Mend the CEL expression: it must be about `device` and say true or false.";
    /// A resource claim of the pod asks for something that is not supported.
    DeviceFeatureUnsupported = 42, "device-feature-unsupported", "Leave the feature out of the claim, or make the node another way.";
    /// The devices that a resource claim of the pod asks for are not there, or not free.
    DevicesUnavailable = 43, "devices-unavailable", "Compare the claim and its DeviceClass with the ResourceSlices of nodes and instance types.";
    /// Whether there are devices for a resource claim of the pod would take too long to find out.
    DeviceSearchTooLong = 44, "device-search-too-long", "Ask for fewer devices at once, or split the claim.";
    /// A resource claim of the pod is allocated elsewhere, or is for pods that are elsewhere.
    ClaimElsewhere = 45, "claim-elsewhere", "Give each pod a claim of its own with a ResourceClaimTemplate, or make room where the claim is.";
}

impl fmt::Display for ReasonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A reason with what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    /// Which.
    pub id: ReasonId,
    /// Names and values, such as `nodepool` and `default`.
    pub params: Vec<(Str, Str)>,
}

impl Reason {
    /// A reason with its parameters.
    pub fn new<'a>(id: ReasonId, params: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        Self { id, params: params.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if !self.params.is_empty() {
            let params: Vec<String> =
                self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(f, " ({})", params.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_unique_and_lead_back() {
        let mut texts: Vec<_> = ReasonId::ALL.iter().map(|id| id.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), ReasonId::ALL.len());
        for id in ReasonId::ALL {
            assert_eq!(ReasonId::from_number(*id as u16), Some(*id));
        }
        assert_eq!(ReasonId::from_number(0), None);
    }
}
