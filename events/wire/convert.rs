//! Between wire forms and domain types, field by field.
//!
//! Invariant: `into_domain` takes back all that `from_domain` gives, and gives the same value; what `from_domain` never
//! gives (an unsorted map, an unknown code) is refused rather than put in order, so that the bytes which were hashed say
//! what the engine sees.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use purser_engine::event::{LabelSetId, Seq, SpecId};
use purser_engine::model::{
    ClaimFacts, ClaimKind, ClaimName, ClassName, DevicePool, DeviceSelector, InstanceId, InstanceType,
    KindId, Labels, NodeName, NodePool, PodSpec, PoolName, Price, ResourceName, SelectorId, Span, Str,
    TypeName, Zone,
};

/// The wire form of a domain type.
pub(crate) trait Wire<D>: Sized {
    /// The wire form of a value.
    fn from_domain(domain: &D) -> Self;

    /// The value, if the wire form is one that [`Wire::from_domain`] gives.
    fn into_domain(self) -> Result<D, Reject>;
}

/// Why a wire form stands for no value of the domain, and in which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// From the inside out.
    path: Vec<Cow<'static, str>>,
    reason: String,
}

impl Reject {
    /// Refuses what is being looked at.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    /// The same, seen from the struct that has the field.
    pub(crate) fn within(mut self, field: &'static str) -> Self {
        self.path.push(Cow::Borrowed(field));
        self
    }

    /// The same, seen from the map that has the key.
    pub(crate) fn of(mut self, key: &str) -> Self {
        self.path.push(Cow::Owned(format!("{key:?}")));
        self
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(|part| &**part).collect();
            write!(f, "{}: ", path.join("."))?;
        }
        f.write_str(&self.reason)
    }
}

/// Whether each is less than the next.
pub(crate) fn strictly_ascending<T: PartialOrd>(values: &[T]) -> bool {
    values.is_sorted_by(|a, b| a < b)
}

macro_rules! same {
    ($($ty:ty),*) => {$(
        impl Wire<$ty> for $ty {
            fn from_domain(domain: &$ty) -> Self {
                *domain
            }

            fn into_domain(self) -> Result<$ty, Reject> {
                Ok(self)
            }
        }
    )*};
}

same!(bool, u8, u16, u32, u64, i32, i64);

macro_rules! integers {
    ($($domain:ident($ty:ty)),*) => {$(
        impl Wire<$domain> for $ty {
            fn from_domain(domain: &$domain) -> Self {
                domain.0
            }

            fn into_domain(self) -> Result<$domain, Reject> {
                Ok($domain(self))
            }
        }
    )*};
}

// Times are `TimeV1`, since a moment has a readable form; a span's field says its unit, and so does a price's.
integers!(Span(i64), Price(i64), Seq(u64), SpecId(u32), LabelSetId(u32), SelectorId(u32), KindId(u32));

macro_rules! names {
    ($($domain:ident),*) => {$(
        impl Wire<$domain> for String {
            fn from_domain(domain: &$domain) -> Self {
                domain.as_str().to_owned()
            }

            fn into_domain(self) -> Result<$domain, Reject> {
                Ok($domain::new(self))
            }
        }
    )*};
}

names!(NodeName, ClaimName, PoolName, ClassName, TypeName, Zone, InstanceId, ResourceName);

impl Wire<Str> for String {
    fn from_domain(domain: &Str) -> Self {
        domain.as_ref().to_owned()
    }

    fn into_domain(self) -> Result<Str, Reject> {
        Ok(self.into())
    }
}

impl<D, W: Wire<D>> Wire<Option<D>> for Option<W> {
    fn from_domain(domain: &Option<D>) -> Self {
        domain.as_ref().map(W::from_domain)
    }

    fn into_domain(self) -> Result<Option<D>, Reject> {
        self.map(W::into_domain).transpose()
    }
}

impl<D, W: Wire<D>> Wire<Vec<D>> for Vec<W> {
    fn from_domain(domain: &Vec<D>) -> Self {
        domain.iter().map(W::from_domain).collect()
    }

    fn into_domain(self) -> Result<Vec<D>, Reject> {
        self.into_iter().map(W::into_domain).collect()
    }
}

macro_rules! shared {
    ($($domain:ident),*) => {$(
        impl<W: Wire<$domain>> Wire<Arc<$domain>> for W {
            fn from_domain(domain: &Arc<$domain>) -> Self {
                W::from_domain(&**domain)
            }

            fn into_domain(self) -> Result<Arc<$domain>, Reject> {
                W::into_domain(self).map(Arc::new)
            }
        }
    )*};
}

shared!(ClaimFacts, PodSpec, Labels, NodePool, InstanceType, DeviceSelector, ClaimKind, DevicePool);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_names_the_field_from_outside_in() {
        let reject = Reject::new("not sorted").within("other").within("requests").within("spec");
        assert_eq!(reject.to_string(), "spec.requests.other: not sorted");
        assert_eq!(Reject::new("odd").to_string(), "odd");
    }

    #[test]
    fn equals_do_not_ascend_strictly() {
        assert!(strictly_ascending::<u8>(&[]) && strictly_ascending(&[1, 2]));
        assert!(!strictly_ascending(&[1, 1]) && !strictly_ascending(&[2, 1]));
    }
}
