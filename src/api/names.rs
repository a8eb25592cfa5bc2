//! What names, label keys and label values may look like, and which labels are Karpenter's own.
//!
//! **Invariant:** what passes here is accepted by the API server (k8s.io/apimachinery/pkg/util/validation), and what is
//! refused here is refused there or by Karpenter.

use purser_engine::model::label;

use crate::error::{At, FieldError};

const VALUE_REMEDY: &str =
    "write at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit";
const KEY_REMEDY: &str = "write name or domain/name; the name has at most 63 letters, digits, '-', '_' and '.', the \
                          domain is a lower-case DNS name";

/// Labels of Karpenter's AWS provider that NodePools and pods may use, in the domain `karpenter.k8s.aws`.
///
/// Source: aws/karpenter-provider-aws, pkg/apis/v1/labels.go and pkg/providers/instancetype/types.go.
pub(crate) const AWS_LABELS: [&str; 28] = [
    "capacity-reservation-id",
    "capacity-reservation-interruptible",
    "capacity-reservation-type",
    "instance-accelerator-count",
    "instance-accelerator-manufacturer",
    "instance-accelerator-name",
    "instance-capability-flex",
    "instance-category",
    "instance-cpu",
    "instance-cpu-manufacturer",
    "instance-cpu-sustained-clock-speed-mhz",
    "instance-ebs-bandwidth",
    "instance-encryption-in-transit-supported",
    "instance-family",
    "instance-generation",
    "instance-gpu-count",
    "instance-gpu-manufacturer",
    "instance-gpu-memory",
    "instance-gpu-name",
    "instance-hypervisor",
    "instance-local-nvme",
    "instance-memory",
    "instance-network-bandwidth",
    "instance-size",
    "instance-tenancy",
    "nitro-sandbox",
    "placement-group-id",
    "placement-group-partition",
];

/// Labels of Karpenter's kwok provider, in the domain `karpenter.kwok.sh`.
pub(crate) const KWOK_LABELS: [&str; 4] =
    ["instance-cpu", "instance-family", "instance-memory", "instance-size"];

/// 1 to 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit.
fn is_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// A DNS name in lower case, of at most 253 letters.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// Checks the name of an object.
pub(crate) fn object(at: &At<'_>, name: &str) -> Result<(), FieldError> {
    if is_subdomain(name) {
        return Ok(());
    }
    // A name may be a megabyte long.
    let shown: String = name.chars().take(80).collect();
    Err(at.error(
        format!("{shown:?} ({} characters) cannot name an object", name.chars().count()),
        "write at most 253 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
    ))
}

/// Checks a qualified name, as label keys and taint keys are.
pub(crate) fn qualified(at: &At<'_>, name: &str) -> Result<(), FieldError> {
    let valid = match name.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_name(name),
        None => is_name(name),
    };
    match valid {
        true => Ok(()),
        false => Err(at.error(format!("{name:?} is not a qualified name"), KEY_REMEDY)),
    }
}

/// Checks a label value.
pub(crate) fn value(at: &At<'_>, value: &str) -> Result<(), FieldError> {
    match value.is_empty() || is_name(value) {
        true => Ok(()),
        false => Err(at.error(format!("{value:?} is not a label value"), VALUE_REMEDY)),
    }
}

/// Whether `domain` is `of` or below it.
fn is_within(domain: &str, of: &str) -> bool {
    domain.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Checks that a NodePool or NodeClaim may set or ask for a label.
///
/// Source: Karpenter's `IsRestrictedLabel` (pkg/apis/v1/labels.go), with the domains that its AWS and kwok providers add.
pub(crate) fn unrestricted(at: &At<'_>, key: &str) -> Result<(), FieldError> {
    let (domain, name) = key.split_once('/').unwrap_or(("", key));
    let allowed = match domain {
        _ if key == label::HOSTNAME => false,
        "karpenter.k8s.aws" => AWS_LABELS.contains(&name),
        "karpenter.kwok.sh" => KWOK_LABELS.contains(&name),
        _ if label::is_well_known(key) => true,
        _ => {
            !["karpenter.sh", "karpenter.k8s.aws", "karpenter.kwok.sh"].iter().any(|of| is_within(domain, of))
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(at.error(
            format!("label {key:?} is restricted: Karpenter or the cloud provider sets it"),
            "use a well-known label, or one in a domain of your own",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_as_kubernetes_has_them() {
        let at = At::ROOT.field("key");
        for name in ["a", "a.b/c", "example.com/A_b.c-d", "nvidia.com/gpu", "0"] {
            assert!(qualified(&at, name).is_ok(), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", "/a", "a/", "a/b/c", "A.com/x", "-a", "a-", "a b", "é", &long] {
            assert!(qualified(&at, name).is_err(), "{name}");
        }
        assert!(value(&at, "").is_ok());
        assert_eq!(
            value(&at, "a b").unwrap_err().to_string(),
            "key: \"a b\" is not a label value: write at most 63 letters, digits, '-', '_' and '.', beginning and ending \
             with a letter or digit"
        );
    }

    #[test]
    fn labels_of_the_provider_are_restricted() {
        let at = At::ROOT.field("key");
        for key in [
            "team",
            "example.com/team",
            "kubernetes.io/arch",
            "node.kubernetes.io/custom",
            "karpenter.sh/capacity-type",
            "karpenter.k8s.aws/instance-cpu",
            "karpenter.kwok.sh/instance-size",
            "topology.k8s.aws/zone-id",
            "notkarpenter.sh/x",
        ] {
            assert!(unrestricted(&at, key).is_ok(), "{key}");
        }
        for key in [
            "kubernetes.io/hostname",
            "karpenter.sh/initialized",
            "karpenter.sh/custom",
            "sub.karpenter.sh/custom",
            "karpenter.k8s.aws/custom",
            "karpenter.kwok.sh/custom",
        ] {
            assert!(unrestricted(&at, key).is_err(), "{key}");
        }
        assert_eq!(
            unrestricted(&at, "karpenter.sh/x").unwrap_err().to_string(),
            "key: label \"karpenter.sh/x\" is restricted: Karpenter or the cloud provider sets it: use a well-known \
             label, or one in a domain of your own"
        );
    }
}
