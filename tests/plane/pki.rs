//! Keys, certificates and tokens of a control plane.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::PlaneError;

/// The token of those who may do everything.
pub(crate) const TOKEN: &str = "plane-admin";

/// Where the files are.
pub(crate) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes them in a folder.
    pub(crate) fn make(folder: &Path) -> Result<Self, PlaneError> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
        let server_key = KeyPair::generate()?;
        let accounts_key = KeyPair::generate()?;
        let server = CertificateParams::new(names)?.signed_by(&server_key, &authority)?;
        let pki = Self { folder: folder.to_owned() };
        // The group is the one that no rule holds for; the controller manager has no rights of its own.
        let tokens = format!("{TOKEN},plane-admin,plane-admin,system:masters\n");
        for (path, text) in [
            (pki.authority(), authority.pem()),
            (pki.server(), server.pem()),
            (pki.server_key(), server_key.serialize_pem()),
            (pki.accounts_key(), accounts_key.serialize_pem()),
            (pki.accounts_public_key(), accounts_key.public_key_pem()),
            (pki.tokens(), tokens),
        ] {
            fs::write(&path, text).map_err(PlaneError::io(format!("writing {}", path.display())))?;
        }
        Ok(pki)
    }

    /// The certificate that clients trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The API server's certificate.
    pub(crate) fn server(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// Its key.
    pub(crate) fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// The key that tokens of service accounts are signed with.
    pub(crate) fn accounts_key(&self) -> PathBuf {
        self.folder.join("accounts.key")
    }

    /// The key that such tokens are checked with.
    pub(crate) fn accounts_public_key(&self) -> PathBuf {
        self.folder.join("accounts.pub")
    }

    /// Who comes with which token.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }
}
