//! The watches of the four kinds, and what they see.
//!
//! **Invariant:** of an object no more is kept than what is asked of devices, or what there is.

use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice};
use purser_engine::port::Observation;

use super::{Devices, Kind};
use crate::tell::Told;
use crate::watching::{Key, Reader};

impl Reader<DeviceClass> for Devices {
    fn saw(&self, object: &DeviceClass) -> Told {
        let name = Key::of(object).name;
        let class = DeviceClass { metadata: Default::default(), ..object.clone() };
        Ok(self.change(|known| known.class(&name, Some(class))))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        self.change(|known| known.class(&key.name, None))
    }

    fn listed(&self) -> Vec<Observation> {
        self.change(|known| known.has_listed(Kind::Class))
    }
}

impl Reader<ResourceClaim> for Devices {
    fn saw(&self, object: &ResourceClaim) -> Told {
        let key = Key::of(object).in_namespace();
        Ok(self.change(|known| known.claim(&key, Some(object))))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        self.change(|known| known.claim(&key.in_namespace(), None))
    }

    fn listed(&self) -> Vec<Observation> {
        self.change(|known| known.has_listed(Kind::Claim))
    }
}

impl Reader<ResourceClaimTemplate> for Devices {
    fn saw(&self, object: &ResourceClaimTemplate) -> Told {
        let key = Key::of(object).in_namespace();
        Ok(self.change(|known| known.template(&key, Some(&object.spec.spec))))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        self.change(|known| known.template(&key.in_namespace(), None))
    }

    fn listed(&self) -> Vec<Observation> {
        self.change(|known| known.has_listed(Kind::Template))
    }
}

impl Reader<ResourceSlice> for Devices {
    fn saw(&self, object: &ResourceSlice) -> Told {
        let name = Key::of(object).name;
        Ok(self.change(|known| known.slice(name.as_str().into(), Some(object.spec.clone()))))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        self.change(|known| known.slice(key.name.as_str().into(), None))
    }

    fn listed(&self) -> Vec<Observation> {
        self.change(|known| known.has_listed(Kind::Slice))
    }
}
