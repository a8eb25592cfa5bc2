//! What can go wrong between the controller and the API server.

use k8s_openapi::jiff;

/// Why something could not be done in the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server said no, or could not be asked.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object is not what it must be.
    #[error("{0}")]
    Invalid(String),
    /// A field of an object is not what it must be.
    #[error("an object cannot be read: {0}")]
    Field(#[from] purser_api::FieldError),
    /// A moment that cannot be written.
    #[error("a time cannot be written: {0}")]
    Time(#[from] jiff::Error),
}

impl ClusterError {
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// The status code of the API server's answer, if it gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => code(source),
            Self::Invalid(_) | Self::Field(_) | Self::Time(_) => None,
        }
    }

    /// Whether to ask again has a chance: somebody was quicker, what was known is too old, the server is busy, or nobody answered.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Api { .. } => {
                self.code().is_none_or(|code| matches!(code, 401 | 408..=410 | 429) || code >= 500)
            }
            Self::Invalid(_) | Self::Field(_) | Self::Time(_) => false,
        }
    }
}

/// The status code of an answer of the API server.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
