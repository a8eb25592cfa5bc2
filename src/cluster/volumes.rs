//! PersistentVolumeClaims with what it takes to say where they can be used: PersistentVolumes and StorageClasses; and VolumeAttachments with
//! what it takes to say whose volume is attached: PersistentVolumes again.
//!
//! **Invariant:** a claim and an attachment are told once all four kinds were listed, and again whenever a volume or class of theirs comes, goes or
//! changes: so in which order they come makes no difference.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1;
use purser_api::{Storage, VolumeClaimFacts, attachment, storage_class, volume, volume_claim};
use purser_engine::model::{Labels, NodeName, PodKey, Str, VolumeAttachment};
use purser_engine::port::Observation;

use crate::shared::Shared;
use crate::tell::Told;
use crate::watching::{Key, Reader};

/// What is known of volumes, shared between the watches of the four kinds.
#[derive(Clone, Default)]
pub(crate) struct Volumes(Shared<Known>);

#[derive(Default)]
struct Known {
    storage: Storage,
    claims: BTreeMap<PodKey, VolumeClaimFacts>,
    by_volume: BTreeMap<Str, BTreeSet<PodKey>>,
    by_class: BTreeMap<Str, BTreeSet<PodKey>>,
    /// VolumeAttachments by name: the node and the volume.
    attachments: BTreeMap<Str, (NodeName, Str)>,
    attached: BTreeMap<Str, BTreeSet<Str>>,
    /// Kinds that were listed.
    listed: BTreeSet<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Claim,
    Volume,
    Class,
    Attachment,
}

const KINDS: usize = 4;

impl Known {
    fn is_complete(&self) -> bool {
        self.listed.len() == KINDS
    }

    /// Takes note of a list, and tells all once there are all.
    fn has_listed(&mut self, kind: Kind) -> Vec<Observation> {
        let news = self.listed.insert(kind) && self.is_complete();
        if !news {
            return Vec::new();
        }
        let mut all = self.tell(self.claims.keys());
        all.extend(self.tell_attachments(self.attachments.keys()));
        all
    }

    fn tell<'a>(&self, claims: impl IntoIterator<Item = &'a PodKey>) -> Vec<Observation> {
        let known = claims.into_iter().filter(|_| self.is_complete()).filter_map(|key| self.claims.get(key));
        known.map(|claim| Observation::VolumeClaim(claim.key.clone(), self.storage.resolve(claim))).collect()
    }

    fn tell_attachments<'a>(&self, names: impl IntoIterator<Item = &'a Str>) -> Vec<Observation> {
        let names = names.into_iter().filter(|_| self.is_complete());
        let resolve = |name: &Str| {
            let (node, volume) = self.attachments.get(name)?.clone();
            let claim = self.storage.volumes.get(&volume).and_then(|volume| volume.claim.clone());
            Some(Observation::VolumeAttachment(name.clone(), VolumeAttachment { node, volume, claim }))
        };
        names.filter_map(resolve).collect()
    }

    fn attach(&mut self, name: &Str, node: NodeName, volume: Str) {
        self.detach(name);
        self.attached.entry(volume.clone()).or_default().insert(name.clone());
        self.attachments.insert(name.clone(), (node, volume));
    }

    fn detach(&mut self, name: &str) {
        let Some((name, (_, volume))) = self.attachments.remove_entry(name) else { return };
        forget(&mut self.attached, Some(&volume), &name);
    }

    fn insert(&mut self, claim: VolumeClaimFacts) {
        self.remove(&claim.key);
        if let Some(volume) = &claim.volume {
            self.by_volume.entry(volume.clone()).or_default().insert(claim.key.clone());
        }
        if let Some(class) = &claim.class {
            self.by_class.entry(class.clone()).or_default().insert(claim.key.clone());
        }
        self.claims.insert(claim.key.clone(), claim);
    }

    fn remove(&mut self, key: &PodKey) {
        let Some(claim) = self.claims.remove(key) else { return };
        forget(&mut self.by_volume, claim.volume.as_ref(), key);
        forget(&mut self.by_class, claim.class.as_ref(), key);
    }

    fn of_volume(&self, name: &str) -> Vec<Observation> {
        let mut all = self.tell(self.by_volume.get(name).into_iter().flatten());
        all.extend(self.tell_attachments(self.attached.get(name).into_iter().flatten()));
        all
    }

    fn of_class(&self, name: &str) -> Vec<Observation> {
        self.tell(self.by_class.get(name).into_iter().flatten())
    }
}

fn forget<K: Ord>(index: &mut BTreeMap<Str, BTreeSet<K>>, name: Option<&Str>, key: &K) {
    if let Some(name) = name
        && let Some(keys) = index.get_mut(name)
    {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(name);
        }
    }
}

impl Reader<PersistentVolumeClaim> for Volumes {
    fn saw(&self, object: &PersistentVolumeClaim) -> Told {
        // Where it can be used does not depend on its labels.
        let claim = VolumeClaimFacts { labels: Labels::new(), ..volume_claim(object)? };
        let mut known = self.0.lock();
        let key = claim.key.clone();
        known.insert(claim);
        Ok(known.tell([&key]))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let key = key.in_namespace();
        self.0.lock().remove(&key);
        vec![Observation::NoVolumeClaim(key)]
    }

    fn listed(&self) -> Vec<Observation> {
        self.0.lock().has_listed(Kind::Claim)
    }
}

impl Reader<PersistentVolume> for Volumes {
    fn saw(&self, object: &PersistentVolume) -> Told {
        let volume = volume(object)?;
        let mut known = self.0.lock();
        if known.storage.volumes.get(&volume.name) == Some(&volume) {
            return Ok(Vec::new());
        }
        let name = volume.name.clone();
        known.storage.volumes.insert(name.clone(), volume);
        Ok(known.of_volume(&name))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let mut known = self.0.lock();
        known.storage.volumes.remove(key.name.as_str());
        known.of_volume(&key.name)
    }

    fn listed(&self) -> Vec<Observation> {
        self.0.lock().has_listed(Kind::Volume)
    }
}

impl Reader<v1::StorageClass> for Volumes {
    fn saw(&self, object: &v1::StorageClass) -> Told {
        let class = storage_class(object)?;
        let mut known = self.0.lock();
        if known.storage.classes.get(&class.name) == Some(&class) {
            return Ok(Vec::new());
        }
        let name = class.name.clone();
        known.storage.classes.insert(name.clone(), class);
        Ok(known.of_class(&name))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let mut known = self.0.lock();
        known.storage.classes.remove(key.name.as_str());
        known.of_class(&key.name)
    }

    fn listed(&self) -> Vec<Observation> {
        self.0.lock().has_listed(Kind::Class)
    }
}

impl Reader<v1::VolumeAttachment> for Volumes {
    fn saw(&self, object: &v1::VolumeAttachment) -> Told {
        let facts = attachment(object);
        // One without a volume of its own is part of a pod's spec.
        let Some(volume) = facts.volume else { return Ok(Vec::new()) };
        let name = Str::from(Key::of(object).name);
        let mut known = self.0.lock();
        known.attach(&name, facts.node, volume);
        Ok(known.tell_attachments([&name]))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        self.0.lock().detach(&key.name);
        vec![Observation::NoVolumeAttachment(key.name.as_str().into())]
    }

    fn listed(&self) -> Vec<Observation> {
        self.0.lock().has_listed(Kind::Attachment)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn saw<K: serde::de::DeserializeOwned>(volumes: &Volumes, object: Value) -> Vec<Observation>
    where
        Volumes: Reader<K>,
    {
        Reader::<K>::saw(volumes, &serde_json::from_value(object).unwrap()).unwrap()
    }

    fn claim(volume: Option<&str>, class: &str) -> Value {
        let bound = json!({"pv.kubernetes.io/bind-completed": "yes"});
        let annotations = if volume.is_some() { bound } else { json!({}) };
        json!({"metadata": {"namespace": "shop", "name": "data", "annotations": annotations},
            "spec": {"volumeName": volume.unwrap_or_default(), "storageClassName": class}})
    }

    /// Topologies and problem of the one claim that is told.
    fn told(all: &[Observation]) -> (String, Option<String>) {
        let [Observation::VolumeClaim(key, claim)] = all else { panic!("{all:?}") };
        assert_eq!(key.to_string(), "shop/data");
        let places: Vec<String> = claim.topologies.iter().map(ToString::to_string).collect();
        (places.join("; "), claim.problem.as_ref().map(ToString::to_string))
    }

    fn key(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The volume that is attached by the one VolumeAttachment that is told, and its claim.
    fn attached(all: &[Observation]) -> (String, Option<String>) {
        let [Observation::VolumeAttachment(name, attachment)] = all else { panic!("{all:?}") };
        assert_eq!((&**name, attachment.node.as_str()), ("csi-1", "n"));
        (attachment.volume.to_string(), attachment.claim.as_ref().map(ToString::to_string))
    }

    #[test]
    fn an_attachment_is_told_with_the_claim_of_its_volume() {
        let volumes = Volumes::default();
        let of = |source: Value| {
            json!({"metadata": {"name": "csi-1"},
            "spec": {"attacher": "csi", "nodeName": "n", "source": source}})
        };
        assert_eq!(saw::<v1::VolumeAttachment>(&volumes, of(json!({"persistentVolumeName": "pv"}))), []);
        Reader::<v1::VolumeAttachment>::listed(&volumes);
        Reader::<PersistentVolumeClaim>::listed(&volumes);
        Reader::<v1::StorageClass>::listed(&volumes);
        let told = attached(&Reader::<PersistentVolume>::listed(&volumes));
        assert_eq!(told, ("pv".to_owned(), None), "its volume is not known");
        let volume = |claim: Value| json!({"metadata": {"name": "pv"}, "spec": {"claimRef": claim}});
        let told = attached(&saw::<PersistentVolume>(
            &volumes,
            volume(json!({"namespace": "shop", "name": "data"})),
        ));
        assert_eq!(told, ("pv".to_owned(), Some("shop/data".to_owned())));
        let told = attached(&saw::<PersistentVolume>(&volumes, volume(json!(null))));
        assert_eq!(told, ("pv".to_owned(), None), "it was given back");
        let told =
            attached(&saw::<v1::VolumeAttachment>(&volumes, of(json!({"persistentVolumeName": "other"}))));
        assert_eq!(told, ("other".to_owned(), None));
        assert_eq!(Reader::<PersistentVolume>::lost(&volumes, &key("", "pv")), [], "it is attached no more");
        let lost = Reader::<v1::VolumeAttachment>::lost(&volumes, &key("", "csi-1"));
        assert_eq!(lost, [Observation::NoVolumeAttachment("csi-1".into())]);
        assert!(volumes.0.lock().attachments.is_empty() && volumes.0.lock().attached.is_empty());
        let inline = json!({"inlineVolumeSpec": {}});
        assert_eq!(saw::<v1::VolumeAttachment>(&volumes, of(inline)), []);
    }

    #[test]
    fn a_claim_is_told_once_all_is_listed_and_again_with_what_it_depends_on() {
        let volumes = Volumes::default();
        assert_eq!(saw::<PersistentVolumeClaim>(&volumes, claim(None, "zonal")), []);
        assert_eq!(Reader::<PersistentVolumeClaim>::listed(&volumes), []);
        assert_eq!(Reader::<PersistentVolume>::listed(&volumes), []);
        assert_eq!(Reader::<v1::VolumeAttachment>::listed(&volumes), []);
        let (_, problem) = told(&Reader::<v1::StorageClass>::listed(&volumes));
        assert!(problem.unwrap().contains("does not exist"));
        let class = json!({"metadata": {"name": "zonal"}, "provisioner": "csi", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["b"]}]}]});
        let (places, problem) = told(&saw::<v1::StorageClass>(&volumes, class.clone()));
        assert_eq!((places.as_str(), problem), ("topology.kubernetes.io/zone In [b]", None));
        assert_eq!(saw::<v1::StorageClass>(&volumes, class), [], "nothing about it changed");

        let (_, problem) = told(&saw::<PersistentVolumeClaim>(&volumes, claim(Some("pv"), "zonal")));
        assert!(problem.unwrap().contains("PersistentVolume pv"));
        let terms = json!([{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["c"]}]}]);
        let volume = json!({"metadata": {"name": "pv"},
            "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}});
        let (places, problem) = told(&saw::<PersistentVolume>(&volumes, volume));
        assert_eq!((places.as_str(), problem), ("topology.kubernetes.io/zone In [c]", None));
        let lost = Reader::<PersistentVolume>::lost(&volumes, &key("", "pv"));
        assert!(told(&lost).1.is_some());
        let lost = Reader::<PersistentVolumeClaim>::lost(&volumes, &key("shop", "data"));
        assert_eq!(lost, [Observation::NoVolumeClaim(PodKey::new("shop", "data"))]);
        assert!(volumes.0.lock().by_volume.is_empty() && volumes.0.lock().by_class.is_empty());
    }
}
