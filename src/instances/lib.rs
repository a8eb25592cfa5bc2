//! EC2 instance types as data: labels, capacity, overhead, prices; the built-in catalogue.
//!
//! Start at [`Catalogue`]: it is [built in](Catalogue::built_in) or [read from a file](Catalogue::read), and gives the
//! instance types that the scheduler chooses from, and the [rows](Catalogue::rows) that `purser catalogue` shows.
//! A caller with node classes of its own takes the [`Facts`] and makes an instance type per class with
//! [`instance_type`].
//!
//! **Invariant:** only raw facts are stored. Labels, capacity, overhead and spot prices are computed from them, in
//! integers, by the formulas that Karpenter's AWS provider uses; so the same facts and settings give the same types.

mod capacity;
mod catalogue;
mod error;
mod facts;
mod json;
mod labels;
mod price;
mod rows;
mod settings;
mod table;

pub use capacity::{capacity, overhead};
pub use catalogue::{Catalogue, Site, built_in_facts, instance_type};
pub use error::CatalogueError;
pub use facts::{Accelerator, Arch, Facts, Gpu, Hypervisor, TypeNameParts};
pub use json::parse_instance_types;
pub use labels::requirements;
pub use price::{SpotModel, price_text};
pub use rows::{CatalogueRow, OfferingRow, quantity_text};
pub use settings::{NodeSettings, Threshold};
pub use table::parse_catalogue;
