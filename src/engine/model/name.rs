//! Names: one newtype each, so that a node's name is never taken for a claim's. Cloning is cheap.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A shared, immutable string.
pub type Str = Arc<str>;

/// Labels of an object: key to value, in key order.
pub type Labels = BTreeMap<Str, Str>;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Str);

        impl $name {
            /// Takes a name as it is.
            pub fn new(name: impl Into<Str>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared text itself.
            pub fn as_shared(&self) -> &Str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }
    )*};
}

names! {
    /// The name of a Node.
    NodeName;
    /// The name of a NodeClaim.
    ClaimName;
    /// The name of a NodePool.
    PoolName;
    /// The name of a node class (an EC2NodeClass, say).
    ClassName;
    /// The name of an instance type, such as `m7g.large`.
    TypeName;
    /// An availability zone, such as `us-east-1a`.
    Zone;
    /// The cloud's id of an instance, such as `i-0123456789abcdef0`.
    InstanceId;
    /// The name of a resource, such as `cpu` or `nvidia.com/gpu`.
    ResourceName;
}

/// Label keys with a meaning of their own.
pub mod label {
    /// The NodePool of a node.
    pub const NODEPOOL: &str = "karpenter.sh/nodepool";
    /// `spot`, `on-demand` or `reserved`.
    pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
    /// Set to `true` once a node is registered.
    pub const REGISTERED: &str = "karpenter.sh/registered";
    /// Set to `true` once a node is initialized.
    pub const INITIALIZED: &str = "karpenter.sh/initialized";
    /// The availability zone.
    pub const ZONE: &str = "topology.kubernetes.io/zone";
    /// The region.
    pub const REGION: &str = "topology.kubernetes.io/region";
    /// The instance type.
    pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
    /// The processor architecture.
    pub const ARCH: &str = "kubernetes.io/arch";
    /// The operating system.
    pub const OS: &str = "kubernetes.io/os";
    /// The host name; a topology key, one domain a node.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
    /// The Windows build.
    pub const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";

    /// The stable key for a deprecated alias of it, or the key itself.
    ///
    /// Source: Karpenter's `NormalizedLabels` (pkg/apis/v1/labels.go) and its AWS provider's addition for EBS.
    pub fn normalized(key: &str) -> &str {
        match key {
            "failure-domain.beta.kubernetes.io/zone" | "topology.ebs.csi.aws.com/zone" => ZONE,
            "failure-domain.beta.kubernetes.io/region" => REGION,
            "beta.kubernetes.io/arch" => ARCH,
            "beta.kubernetes.io/os" => OS,
            "beta.kubernetes.io/instance-type" => INSTANCE_TYPE,
            other => other,
        }
    }

    /// Whether the provider itself gives nodes this label, so that a pod may ask for it though no NodePool names it.
    pub fn is_well_known(key: &str) -> bool {
        matches!(key, NODEPOOL | CAPACITY_TYPE | ZONE | REGION | INSTANCE_TYPE | ARCH | OS | WINDOWS_BUILD)
            || key == "topology.k8s.aws/zone-id"
            || key.starts_with("karpenter.k8s.aws/")
            || key.starts_with("karpenter.kwok.sh/")
    }
}
