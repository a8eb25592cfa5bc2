//! What device selectors are evaluated on: a device, quantities and versions as values of CEL.
//!
//! Source: Kubernetes' documentation of `CELDeviceSelector` (resource.k8s.io/v1) and of its CEL libraries for quantities and versions.
//!
//! **Invariant:** as in Kubernetes, a domain of which a device has nothing is an empty map, and an attribute that it does not have is an error.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::HashMap;

use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelBool, CelInt, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};
use purser_engine::model::DeviceAmount;
use semver::Version;

static QUANTITY: Type = Type::new_unspecified_type("kubernetes.Quantity");
static SEMVER: Type = Type::new_unspecified_type("kubernetes.Semver");
static DEVICE: Type = Type::new_unspecified_type("kubernetes.Device");
static DOMAINS: Type = Type::new_unspecified_type("kubernetes.DeviceDomains");

/// An owned value.
pub(super) type Owned = Box<dyn Val>;

/// A quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CelQuantity(pub DeviceAmount);

/// A semantic version; what it was built from is of no account.
#[derive(Debug, Clone)]
pub(super) struct CelSemver(pub Version);

/// A device: its driver, whether it can be shared, and what it has by domain.
#[derive(Debug)]
pub(super) struct CelDevice {
    pub driver: String,
    pub shared: bool,
    pub attributes: Domains,
    pub capacity: Domains,
}

/// Attributes or capacities by domain.
#[derive(Debug, Default)]
pub(super) struct Domains {
    by_domain: HashMap<String, CelMap<'static>>,
    none: CelMap<'static>,
}

impl Domains {
    pub(super) fn new(entries: HashMap<String, HashMap<CelMapKey<'static>, Owned>>) -> Self {
        let by_domain = entries.into_iter().map(|(domain, all)| (domain, CelMap::from(all))).collect();
        Self { by_domain, none: CelMap::default() }
    }

    fn domain(key: &dyn Val) -> Result<&str, ExecutionError> {
        let text = key.downcast_ref::<CelString<'_>>().map(CelString::inner);
        text.ok_or_else(|| ExecutionError::UnexpectedType {
            got: key.get_type().name().to_owned(),
            want: "string".to_owned(),
        })
    }

    fn copy(&self) -> Self {
        let copied = self.by_domain.iter().map(|(domain, all)| {
            let all = all.inner().iter().map(|(key, value)| (key.clone(), value.clone_as_boxed()));
            (domain.clone(), CelMap::from(all.collect::<HashMap<_, _>>()))
        });
        Self { by_domain: copied.collect(), none: CelMap::default() }
    }
}

/// What every type of value here says of itself.
macro_rules! of_type {
    ($type:ident, $copy:expr) => {
        fn get_type(&self) -> &Type {
            &$type
        }
        fn cel_type() -> &'static Type {
            &$type
        }
        fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
        where
            Self: 'v,
        {
            Box::new($copy(self))
        }
        fn as_any(&self) -> Option<&dyn Any> {
            Some(self)
        }
    };
}

impl Val for CelQuantity {
    of_type!(QUANTITY, |own: &Self| *own);

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }
}

impl Val for CelSemver {
    of_type!(SEMVER, Self::clone);

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| self.order(other).is_eq())
    }
}

impl CelSemver {
    fn order(&self, other: &Self) -> Ordering {
        self.0.cmp_precedence(&other.0)
    }
}

impl Val for Domains {
    of_type!(DOMAINS, Self::copy);

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
}

impl Container for Domains {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.by_domain.contains_key(Self::domain(key)?))
    }
}

impl Indexer for Domains {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(CowVal::Borrowed(self.by_domain.get(Self::domain(key)?).unwrap_or(&self.none)))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let mut own = self;
        let domain = Self::domain(key)?;
        Ok(Box::new(own.by_domain.remove(domain).unwrap_or_default()))
    }
}

impl Val for CelDevice {
    of_type!(DEVICE, |own: &Self| Self {
        driver: own.driver.clone(),
        shared: own.shared,
        attributes: own.attributes.copy(),
        capacity: own.capacity.copy(),
    });

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
}

impl Indexer for CelDevice {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match Domains::domain(key)? {
            "driver" => Ok(CowVal::owned(CelString::from(self.driver.clone()))),
            "allowMultipleAllocations" => Ok(CowVal::owned(CelBool::from(self.shared))),
            "attributes" => Ok(CowVal::Borrowed(&self.attributes)),
            "capacity" => Ok(CowVal::Borrowed(&self.capacity)),
            // Kubernetes knows the fields of a device before it evaluates anything.
            other => Err(ExecutionError::UndeclaredReference(format!("device.{other}").into())),
        }
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let value: Box<dyn Val + 'v> = self.get(key)?.as_ref().clone_as_boxed();
        Ok(value)
    }
}

impl StaticVal for CelQuantity {}
impl StaticVal for CelSemver {}
impl StaticVal for CelDevice {}
impl StaticVal for Domains {}

fn failed(function: &str, message: String) -> ExecutionError {
    ExecutionError::FunctionError { function: function.to_owned(), message }
}

fn quantity(text: &CelString<'_>) -> Result<CelQuantity, ExecutionError> {
    let read = DeviceAmount::parse(text.inner());
    read.map(CelQuantity).map_err(|error| failed("quantity", error.to_string()))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    DeviceAmount::parse(text.inner()).is_ok().into()
}

fn semver(text: &CelString<'_>) -> Result<CelSemver, ExecutionError> {
    let read = Version::parse(text.inner());
    read.map(CelSemver).map_err(|error| failed("semver", format!("{:?}: {error}", text.inner())))
}

fn is_semver(text: &CelString<'_>) -> CelBool {
    Version::parse(text.inner()).is_ok().into()
}

fn major(version: &CelSemver) -> CelInt {
    CelInt::from(i64::try_from(version.0.major).unwrap_or(i64::MAX))
}

fn minor(version: &CelSemver) -> CelInt {
    CelInt::from(i64::try_from(version.0.minor).unwrap_or(i64::MAX))
}

fn patch(version: &CelSemver) -> CelInt {
    CelInt::from(i64::try_from(version.0.patch).unwrap_or(i64::MAX))
}

fn sign(quantity: &CelQuantity) -> CelInt {
    CelInt::from(quantity.0.0.signum() as i64)
}

const UNIT: i128 = 1_000_000_000;

fn is_integer(quantity: &CelQuantity) -> CelBool {
    (quantity.0.0 % UNIT == 0 && i64::try_from(quantity.0.0 / UNIT).is_ok()).into()
}

fn as_integer(quantity: &CelQuantity) -> Result<CelInt, ExecutionError> {
    let whole = (quantity.0.0 % UNIT == 0).then(|| i64::try_from(quantity.0.0 / UNIT).ok()).flatten();
    let error = || failed("asInteger", "the quantity is not a whole number that CEL can hold".to_owned());
    whole.map(CelInt::from).ok_or_else(error)
}

fn add(one: &CelQuantity, other: &CelQuantity) -> CelQuantity {
    CelQuantity(DeviceAmount(one.0.0.saturating_add(other.0.0)))
}

fn sub(one: &CelQuantity, other: &CelQuantity) -> CelQuantity {
    CelQuantity(DeviceAmount(one.0.0.saturating_sub(other.0.0)))
}

/// Comparisons of two values of a type.
macro_rules! comparisons {
    ($env:ident, $type:ident, $module:ident, $order:expr) => {
        mod $module {
            use super::*;

            pub(super) fn compare_to(one: &$type, other: &$type) -> CelInt {
                CelInt::from($order(one, other) as i64)
            }
            pub(super) fn is_greater_than(one: &$type, other: &$type) -> CelBool {
                $order(one, other).is_gt().into()
            }
            pub(super) fn is_less_than(one: &$type, other: &$type) -> CelBool {
                $order(one, other).is_lt().into()
            }
            pub(super) fn declare($env: &mut Env) -> Result<(), cel::DeclarationError> {
                cel::add_member_overload!($env, fn compare_to: ($type, $type) -> CelInt)?;
                cel::add_member_overload!($env, fn is_greater_than: ($type, $type) -> CelBool)?;
                cel::add_member_overload!($env, fn is_less_than: ($type, $type) -> CelBool)
            }
        }
    };
}

comparisons!(env, CelQuantity, quantities, |one: &CelQuantity, other: &CelQuantity| one.cmp(other));
comparisons!(env, CelSemver, versions, |one: &CelSemver, other: &CelSemver| one.order(other));

/// Declares what Kubernetes adds to CEL for quantities and versions.
pub(super) fn extension(env: &mut Env) -> Result<(), cel::DeclarationError> {
    quantities::declare(env)?;
    versions::declare(env)?;
    cel::add_overload!(env, fn quantity: (CelString) -> Result<CelQuantity>)?;
    cel::add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    cel::add_overload!(env, fn semver: (CelString) -> Result<CelSemver>)?;
    cel::add_overload!(env, fn is_semver: (CelString) -> CelBool)?;
    cel::add_member_overload!(env, fn major: (CelSemver) -> CelInt)?;
    cel::add_member_overload!(env, fn minor: (CelSemver) -> CelInt)?;
    cel::add_member_overload!(env, fn patch: (CelSemver) -> CelInt)?;
    cel::add_member_overload!(env, fn sign: (CelQuantity) -> CelInt)?;
    cel::add_member_overload!(env, fn is_integer: (CelQuantity) -> CelBool)?;
    cel::add_member_overload!(env, fn as_integer: (CelQuantity) -> Result<CelInt>)?;
    cel::add_member_overload!(env, fn add: (CelQuantity, CelQuantity) -> CelQuantity)?;
    cel::add_member_overload!(env, fn sub: (CelQuantity, CelQuantity) -> CelQuantity)
}
