//! What a config names and does not hold: secrets, policies, certificates. They are read with it, at the start and again.

use std::time::SystemTime;

use crate::config::{AuthMode, LoadedCallers, Resolved};
use crate::tls::{ClientCertificates, LoadedTls};

/// What the files of a config hold.
#[derive(Clone, Debug, Default)]
pub struct LoadedFiles {
    /// Who may call.
    pub callers: LoadedCallers,
    /// The certificate, if there is a TLS listener.
    pub tls: Option<LoadedTls>,
}

impl LoadedFiles {
    /// Reads every file. `in_force` is the certificate that is in force. May wait for a disk.
    ///
    /// # Errors
    /// A line for each thing that is wrong.
    pub fn read(resolved: &Resolved, in_force: Option<&LoadedTls>) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let callers = resolved.load_callers(variable).map_err(|error| error.to_string());
        let clients = match resolved.config.fixed.auth_mode {
            AuthMode::None => ClientCertificates::Required,
            AuthMode::SigV4 => ClientCertificates::Optional,
        };
        let files = &resolved.config.live.tls;
        let tls = LoadedTls::read(files, clients, SystemTime::now().into(), in_force).map_err(|fault| {
            let message = format!("server.tls.{}: {}", fault.key, fault.message);
            resolved.fault("server.tls", fault.key, message).to_string()
        });
        match (callers, tls) {
            (Ok(callers), Ok(tls)) => Ok(Self { callers, tls }),
            (Err(callers), Err(tls)) => Err(format!("{callers}\n{tls}")),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        }
    }

    /// What an operator should look at, a line for each.
    pub fn warnings(&self) -> Vec<String> {
        let of_tls = self.tls.iter().flat_map(|tls| &tls.warnings);
        self.callers.warnings.iter().chain(of_tls).cloned().collect()
    }
}
