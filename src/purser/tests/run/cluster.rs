//! A control plane with our custom resources, for cases that start and kill controllers themselves.

use super::*;

/// A control plane with our custom resources and the class `default`.
pub(super) struct Cluster {
    pub(super) plane: Plane,
    pub(super) client: Client,
    folder: tempfile::TempDir,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let (plane, client) = plane(&[]).await;
        let cluster = Self { plane, client, folder: tempfile::tempdir().unwrap() };
        cluster.class("default", json!({})).await;
        cluster
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn claims(&self) -> Api<DynamicObject> {
        any(&self.client, "karpenter.sh", "v1", "NodeClaim")
    }

    pub(super) fn classes(&self) -> Api<DynamicObject> {
        any(&self.client, "karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass")
    }

    pub(super) async fn class(&self, name: &str, spec: Value) {
        let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
            "metadata": {"name": name}, "spec": spec});
        create(&self.classes(), class).await;
    }

    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        until(what, self.folder(), holds).await;
    }
}
