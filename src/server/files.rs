//! What a config names and does not hold: secrets, policies, certificates. They are read with it, at the start and again.

use std::time::SystemTime;

use crate::config::{AuthMode, Resolved, SecretBytes};
use crate::frontend::KeyRing;
use crate::rights::Principal;
use crate::tls::{ClientCertificates, LoadedTls};

/// What the files of a config hold.
#[derive(Debug)]
pub struct LoadedFiles {
    /// Who may call, and what.
    pub keys: KeyRing,
    /// The token of the admin listener, if it has one.
    pub admin_token: Option<SecretBytes>,
    /// The certificate, if there is a TLS listener.
    pub tls: Option<LoadedTls>,
    of_secrets: Vec<String>,
}

impl LoadedFiles {
    /// Reads every file. `in_force` is the certificate that is in force. May wait for a disk.
    ///
    /// # Errors
    /// A line for each thing that is wrong.
    pub fn read(resolved: &Resolved, in_force: Option<&LoadedTls>) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let callers = resolved.load_callers(variable).map_err(|error| error.to_string());
        let keys = callers.and_then(|mut callers| {
            let mut warnings = std::mem::take(&mut callers.warnings);
            warnings.extend(callers.principals().flat_map(Principal::warnings));
            KeyRing::new(callers).map(|keys| (keys, warnings))
        });
        let token = resolved.load_admin_token().map_err(|error| error.to_string());
        let clients = match resolved.config.fixed.auth_mode {
            AuthMode::None => ClientCertificates::Required,
            AuthMode::SigV4 => ClientCertificates::Optional,
        };
        let files = &resolved.config.live.tls;
        let tls = LoadedTls::read(files, clients, SystemTime::now().into(), in_force).map_err(|fault| {
            let message = format!("server.tls.{}: {}", fault.key, fault.message);
            resolved.fault("server.tls", fault.key, message).to_string()
        });
        match (keys, token, tls) {
            (Ok((keys, mut of_secrets)), Ok((admin_token, open)), Ok(tls)) => {
                of_secrets.extend(open);
                Ok(Self { keys, admin_token, tls, of_secrets })
            }
            (keys, token, tls) => {
                let faults = [keys.err(), token.err(), tls.err()];
                Err(faults.into_iter().flatten().collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// What an operator should look at, a line for each.
    pub fn warnings(&self) -> Vec<String> {
        let of_tls = self.tls.iter().flat_map(|tls| &tls.warnings);
        self.of_secrets.iter().chain(of_tls).cloned().collect()
    }
}
