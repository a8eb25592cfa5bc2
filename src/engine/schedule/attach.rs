//! How many volumes a node that is yet to be launched attaches.
//!
//! No CSI driver says so before the node is there. But nodes of one instance type are alike, so what those say that are there is taken for what
//! another one will.
//!
//! **Invariant:** the lowest number that any node of a type says counts: a node that attaches more than was thought does no harm, one that
//! attaches fewer leaves pods waiting.

use std::collections::BTreeMap;

use crate::model::{Str, TypeName, VolumeLimits};

/// The most volumes that CSI drivers attach to a node of each type. Where nobody says, there is no limit, as in Karpenter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachable(BTreeMap<TypeName, BTreeMap<Str, u32>>);

impl Attachable {
    /// Takes in what a node of a type says. That a driver says nothing does not mean that it attaches any number everywhere.
    pub fn learn(&mut self, instance_type: &TypeName, limits: &VolumeLimits) {
        for (driver, limit) in limits {
            let Some(limit) = *limit else { continue };
            let of_type = self.0.entry(instance_type.clone()).or_default();
            let known = of_type.entry(driver.clone()).or_insert(limit);
            *known = limit.min(*known);
        }
    }

    /// Whether no type is known to have a limit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limits of a type, by driver.
    pub(super) fn of(&self, instance_type: &TypeName) -> Option<&BTreeMap<Str, u32>> {
        self.0.get(instance_type)
    }
}
