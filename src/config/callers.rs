//! The keys and principals of `[auth]`: who may call under `mode = "sigv4"`, where their secrets are, and what they may do.
//!
//! A principal is a caller by name. It may have several keys, so that one can be replaced by another without a gap. Secrets are not
//! part of the config: [`Callers::load`] reads them, together with the policies, each time that the config is read. Rights are parsed
//! no further than into lists here; they are judged elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Fault, Origin};
use super::list_places::ListPlaces;
use super::role::{self, PlacedRole, RoleDraft, WrittenRole};
use super::secret::{SecretBytes, read_key_secret};
use super::tls::CertificateName;
use crate::call::PrincipalRole;
use crate::model::Timestamp;

/// The most characters of an access key id, and of the name of a principal.
const NAME_CHARS_MAX: usize = 128;

/// The most bytes of a policy. IAM takes 10,240 for all policies of a role together.
const POLICY_BYTES_MAX: u64 = 256 * 1024;

/// A secret that is shorter can be guessed by someone who has seen one signed request.
const SECRET_CHARS_MIN: usize = 16;

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Callers {
    /// The keys, in the order of the file. No two have one access key id.
    pub keys: Vec<CallerKey>,
    /// The principals with a section of their own, in the order of the file. No two have one name.
    pub principals: Vec<CallerPrincipal>,
}

/// A key that callers sign with.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerKey {
    /// Its public part.
    pub access_key_id: String,
    /// Where its secret is.
    pub secret: SecretPlace,
    /// The session token that each request must carry; without one, a request must carry none.
    pub session_token: Option<SecretBytes>,
    /// Whose key it is.
    pub principal: String,
    /// When it stops to be valid.
    pub not_after: Option<Timestamp>,
    /// The rights of its principal, if they stand with the key.
    pub rights: Option<ShortRights>,
    /// The role of its principal, if it stands with the key.
    pub role: Option<WrittenRole>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Variable(String),
}

/// A principal with a section of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerPrincipal {
    /// Its name.
    pub name: String,
    /// The name in client certificates that stands for it.
    pub certificate: Option<CertificateName>,
    /// What it may do.
    pub rights: WrittenRights,
    /// The role under which its requests go to a remote upstream; without one, under the node's own.
    pub role: Option<WrittenRole>,
}

/// What a principal may do, as the config has it.
#[derive(Clone, Debug, PartialEq)]
pub enum WrittenRights {
    /// Nothing: nobody wrote anything of its rights.
    Nothing,
    /// What lists say.
    Short(ShortRights),
    /// What the IAM policy in a file says.
    PolicyFile(PathBuf),
}

/// Rights written as lists. Each allows what it names and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortRights {
    /// Names of tables, with wildcards; not empty.
    pub tables: Vec<String>,
    /// Names of their indexes, with wildcards; `None` for all.
    pub indexes: Option<Vec<String>>,
    /// Actions, such as `GetItem` and `dynamodb:*`; not empty.
    pub actions: Vec<String>,
    /// Values and prefixes of partition keys; `None` for any.
    pub leading_keys: Option<Vec<String>>,
    /// Names of attributes; `None` for any.
    pub attributes: Option<Vec<String>>,
}

/// A principal as it is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// The role under which its requests go to a remote upstream.
    pub role: Option<Arc<PrincipalRole>>,
}

/// What a principal may do. What is not allowed is denied.
#[derive(Clone, Debug, PartialEq)]
pub enum Rights {
    /// Nothing.
    Nothing,
    /// What lists say.
    Short {
        /// The lists.
        lists: ShortRights,
        /// Where they stand, for errors.
        places: ListPlaces,
    },
    /// What an IAM policy says. It is parsed where rights are judged.
    Policy {
        /// The file that it comes from, for errors.
        file: PathBuf,
        /// The document.
        text: String,
    },
}

/// A key with its secret.
#[derive(Clone, Debug)]
pub struct LoadedKey {
    /// Its public part.
    pub access_key_id: String,
    /// Its secret: text without spaces.
    pub secret: SecretBytes,
    /// The session token that each request must carry, if it has one.
    pub session_token: Option<SecretBytes>,
    /// When it stops to be valid.
    pub not_after: Option<Timestamp>,
    /// Whose key it is.
    pub principal: Arc<Principal>,
}

/// Every key with its secret, and every principal that has a key or a certificate.
#[derive(Clone, Debug, Default)]
pub struct LoadedCallers {
    /// The keys.
    pub keys: Vec<LoadedKey>,
    /// The principals that have certificates, by a name in these. No two have one name.
    pub certificates: Vec<(CertificateName, Arc<Principal>)>,
    /// What an operator should look at, a line for each.
    pub warnings: Vec<String>,
}

impl LoadedCallers {
    /// Every principal, each once.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        let of_keys = self.keys.iter().map(|key| &key.principal);
        let all = of_keys.chain(self.certificates.iter().map(|(_, principal)| principal));
        let by_name: BTreeMap<&str, &Principal> =
            all.map(|principal| (principal.name.as_str(), &**principal)).collect();
        by_name.into_values()
    }
}

impl Callers {
    /// Every file that is read for the keys and principals.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.keys.iter().filter_map(|key| match &key.secret {
            SecretPlace::File(file) => Some(file.as_path()),
            SecretPlace::Variable(_) => None,
        });
        let policies = self.principals.iter().filter_map(|principal| match &principal.rights {
            WrittenRights::PolicyFile(file) => Some(file.as_path()),
            WrittenRights::Nothing | WrittenRights::Short(_) => None,
        });
        secrets.chain(policies)
    }

    /// Every role. None if a section has a fault: that was reported, and places would be mistaken.
    pub(super) fn roles<'c>(&'c self, places: &'c CallerPlaces) -> impl Iterator<Item = PlacedRole<'c>> {
        let are_whole = places.are_of(self);
        let of_principals = self.principals.iter().zip(&places.principals);
        let of_keys = self.keys.iter().zip(&places.keys);
        of_principals
            .filter_map(|(principal, place)| Some((principal.name.as_str(), principal.role.as_ref()?, place)))
            .chain(
                of_keys.filter_map(|(key, place)| Some((key.principal.as_str(), key.role.as_ref()?, place))),
            )
            .filter(move |_| are_whole)
    }

    /// Reads every secret and policy. May wait for a disk.
    ///
    /// # Errors
    /// A fault for each that is missing or invalid, at its place in `places`.
    pub(super) fn load(
        &self,
        places: &CallerPlaces,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<LoadedCallers, Vec<Fault>> {
        let (mut loaded, mut faults) = (LoadedCallers::default(), Vec::new());
        let principals = self.load_principals(places, &mut loaded.warnings, &mut faults);
        for (key, place) in self.keys.iter().zip(&places.keys) {
            match key.read_secret(&variable, &mut loaded.warnings) {
                Ok(secret) => loaded.keys.push(LoadedKey {
                    access_key_id: key.access_key_id.clone(),
                    secret,
                    session_token: key.session_token.clone(),
                    not_after: key.not_after,
                    principal: Arc::clone(&principals[&key.principal]),
                }),
                Err(message) => faults.push(Fault { origin: place.clone(), message }),
            }
        }
        for principal in &self.principals {
            let Some(name) = &principal.certificate else { continue };
            loaded.certificates.push((name.clone(), Arc::clone(&principals[&principal.name])));
        }
        if faults.is_empty() { Ok(loaded) } else { Err(faults) }
    }

    /// Every principal that has a key or a certificate, by its name.
    fn load_principals(
        &self,
        places: &CallerPlaces,
        warnings: &mut Vec<String>,
        faults: &mut Vec<Fault>,
    ) -> BTreeMap<String, Arc<Principal>> {
        let mut written: BTreeMap<&str, Rights> = BTreeMap::new();
        let roles: BTreeMap<&str, &WrittenRole> =
            self.roles(places).map(|(principal, role, _)| (principal, role)).collect();
        let places_of = |all: &[ListPlaces], nth: usize| all.get(nth).cloned().unwrap_or_default();
        for (nth, key) in self.keys.iter().enumerate() {
            match key.rights.clone() {
                Some(lists) => {
                    let rights = Rights::Short { lists, places: places_of(&places.key_lists, nth) };
                    written.insert(&key.principal, rights);
                }
                None => drop(written.entry(&key.principal).or_insert(Rights::Nothing)),
            }
        }
        for (nth, (principal, place)) in self.principals.iter().zip(&places.principals).enumerate() {
            let name = &principal.name;
            if principal.certificate.is_some() {
                written.entry(name).or_insert(Rights::Nothing);
            }
            let Some(rights) = written.get_mut(name.as_str()) else {
                warnings
                    .push(format!("the principal {name:?} of [auth.principals] has no key and no certificate, so nobody is it"));
                continue;
            };
            match principal.load_rights(places_of(&places.principal_lists, nth)) {
                Ok(loaded) => *rights = loaded,
                Err(message) => faults.push(Fault { origin: place.clone(), message }),
            }
        }
        let named = |(name, rights): (&str, Rights)| {
            if rights == Rights::Nothing {
                warnings.push(format!(
                    "the principal {name:?} has no rights, so all that it asks is denied; write tables and actions with its key, or \
                     a section [[auth.principals]]"
                ));
            }
            let role = roles.get(name).map(|role| Arc::new(role.of(name)));
            (name.to_owned(), Arc::new(Principal { name: name.to_owned(), rights, role }))
        };
        written.into_iter().map(named).collect()
    }
}

impl CallerKey {
    fn read_secret(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
    ) -> Result<SecretBytes, String> {
        let (secret, key) = match &self.secret {
            SecretPlace::File(file) => {
                let (secret, open) =
                    read_key_secret(file).map_err(|error| format!("auth.keys.secret_file: {error}"))?;
                warnings.extend(open.map(|open| format!("auth.keys.secret_file: {open}")));
                (secret, "secret_file")
            }
            SecretPlace::Variable(name) => {
                let text = variable(name).filter(|text| !text.is_empty());
                let text =
                    text.ok_or_else(|| format!("auth.keys.secret_env: the variable {name} is not set"))?;
                (SecretBytes::from(text), "secret_env")
            }
        };
        let is_word = |byte: &u8| byte.is_ascii_graphic();
        if secret.expose().is_empty() || !secret.expose().iter().all(is_word) {
            let (what, place) = match &self.secret {
                SecretPlace::File(file) => ("file", file.display().to_string()),
                SecretPlace::Variable(name) => ("variable", name.clone()),
            };
            let wrong = if secret.expose().is_empty() { "is empty" } else { "is not one word in ASCII" };
            return Err(format!(
                "auth.keys.{key}: the {what} {place} {wrong}; write the secret access key of {:?}",
                self.access_key_id
            ));
        }
        if secret.expose().len() < SECRET_CHARS_MIN {
            warnings.push(format!(
                "auth.keys.{key}: the secret of {:?} has fewer than {SECRET_CHARS_MIN} characters and can be guessed; make one with: \
                 openssl rand -base64 30",
                self.access_key_id
            ));
        }
        Ok(secret)
    }
}

impl CallerPrincipal {
    fn load_rights(&self, places: ListPlaces) -> Result<Rights, String> {
        Ok(match &self.rights {
            WrittenRights::Nothing => Rights::Nothing,
            WrittenRights::Short(rights) => Rights::Short { lists: rights.clone(), places },
            WrittenRights::PolicyFile(file) => {
                let text = read_policy(file).map_err(|reason| {
                    format!("auth.principals.policy_file: cannot read {}: {reason}", file.display())
                })?;
                Rights::Policy { file: file.clone(), text }
            }
        })
    }
}

fn read_policy(file: &Path) -> Result<String, String> {
    // Looked at before it is opened: a pipe would wait for its writer.
    let about = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if about.len() > POLICY_BYTES_MAX {
        return Err("it is larger than 256 KiB".to_owned());
    }
    std::fs::read_to_string(file).map_err(|error| error.to_string())
}

/// Where each key and each principal was written, in the order of [`Callers`].
#[derive(Clone, Debug, Default)]
pub(super) struct CallerPlaces {
    pub(super) keys: Vec<Origin>,
    pub(super) principals: Vec<Origin>,
    /// Those of their lists of rights, in the same order.
    pub(super) key_lists: Vec<ListPlaces>,
    pub(super) principal_lists: Vec<ListPlaces>,
}

impl CallerPlaces {
    /// True if each place is that of a key or principal: none was left out for a fault.
    pub(super) fn are_of(&self, callers: &Callers) -> bool {
        self.keys.len() == callers.keys.len() && self.principals.len() == callers.principals.len()
    }
}

/// A section `[[auth.keys]]` while it is read. What is `None` was not written.
#[derive(Debug, Default)]
pub(super) struct KeyDraft {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) secret_env: Option<String>,
    pub(super) session_token: Option<SecretBytes>,
    pub(super) principal: Option<String>,
    pub(super) not_after: Option<Timestamp>,
    pub(super) rights: RightsDraft,
    pub(super) role: RoleDraft,
}

/// A section `[[auth.principals]]` while it is read.
#[derive(Debug, Default)]
pub(super) struct PrincipalDraft {
    pub(super) name: Option<String>,
    pub(super) certificate: Option<CertificateName>,
    pub(super) policy_file: Option<PathBuf>,
    pub(super) rights: RightsDraft,
    pub(super) role: RoleDraft,
}

/// Lists of rights while they are read.
#[derive(Debug, Default)]
pub(super) struct RightsDraft {
    pub(super) tables: Option<Vec<String>>,
    pub(super) indexes: Option<Vec<String>>,
    pub(super) actions: Option<Vec<String>>,
    pub(super) leading_keys: Option<Vec<String>>,
    pub(super) attributes: Option<Vec<String>>,
}

impl KeyDraft {
    /// # Errors
    /// What is missing or contradicts itself.
    pub(super) fn resolve(self) -> Result<CallerKey, String> {
        let access_key_id = self
            .access_key_id
            .ok_or_else(|| "auth.keys.access_key_id is missing in this [[auth.keys]]".to_owned())?;
        let secret = match (self.secret_file, self.secret_env) {
            (Some(file), None) => SecretPlace::File(file),
            (None, Some(variable)) => SecretPlace::Variable(variable),
            (None, None) => {
                return Err(format!(
                    "auth.keys: the key {access_key_id:?} has no secret; write secret_file = \"…\", or secret_env = \"…\""
                ));
            }
            (Some(_), Some(_)) => {
                return Err(format!(
                    "auth.keys: the key {access_key_id:?} has secret_file and secret_env; leave one of them out"
                ));
            }
        };
        let rights = self.rights.resolve().map_err(|message| format!("auth.keys: {message}"))?;
        let role = self.role.resolve().map_err(|message| format!("auth.keys: {message}"))?;
        Ok(CallerKey {
            principal: self.principal.unwrap_or_else(|| access_key_id.clone()),
            access_key_id,
            secret,
            session_token: self.session_token,
            not_after: self.not_after,
            rights,
            role,
        })
    }
}

impl PrincipalDraft {
    /// # Errors
    /// What is missing or contradicts itself.
    pub(super) fn resolve(self) -> Result<CallerPrincipal, String> {
        let name = self
            .name
            .ok_or_else(|| "auth.principals.name is missing in this [[auth.principals]]".to_owned())?;
        let short = self.rights.resolve().map_err(|message| format!("auth.principals: {message}"))?;
        let role = self.role.resolve().map_err(|message| format!("auth.principals: {message}"))?;
        let rights = match (self.policy_file, short) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "auth.principals: the principal {name:?} has policy_file and lists of rights; leave one of them out"
                ));
            }
            (Some(file), None) => WrittenRights::PolicyFile(file),
            (None, Some(short)) => WrittenRights::Short(short),
            (None, None) => WrittenRights::Nothing,
        };
        Ok(CallerPrincipal { name, certificate: self.certificate, rights, role })
    }
}

impl RightsDraft {
    /// The rights, if any list of them was written. Tables and actions must both be there: one without the other would look like
    /// rights and be none.
    fn resolve(self) -> Result<Option<ShortRights>, String> {
        let Self { tables, indexes, actions, leading_keys, attributes } = self;
        let (Some(tables), Some(actions)) = (tables.as_ref(), actions.as_ref()) else {
            let written = [
                ("tables", &tables),
                ("actions", &actions),
                ("indexes", &indexes),
                ("leading_keys", &leading_keys),
                ("attributes", &attributes),
            ];
            let lacks =
                written[..2].iter().find(|(_, list)| list.is_none()).map_or("tables", |(name, _)| name);
            return match written.iter().find(|(_, list)| list.is_some()) {
                None => Ok(None),
                Some((name, _)) => {
                    Err(format!("{name} stands without {lacks}; rights need tables and actions"))
                }
            };
        };
        if tables.is_empty() || actions.is_empty() {
            let empty = if tables.is_empty() { "tables" } else { "actions" };
            return Err(format!("{empty} = [] allows nothing; name some, or leave the rights out"));
        }
        for (name, list) in [("leading_keys", &leading_keys), ("attributes", &attributes)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                return Err(format!(
                    "{name} = [] allows nothing; name some, or leave {name} out to allow all"
                ));
            }
        }
        let (tables, actions) = (tables.clone(), actions.clone());
        Ok(Some(ShortRights { tables, indexes, actions, leading_keys, attributes }))
    }
}

/// Faults between keys and principals: names that stand twice, and rights and roles that do.
pub(super) fn contradictions(callers: &Callers, places: &CallerPlaces) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |origin: &Origin, message| faults.push(Fault { origin: origin.clone(), message });
    let mut with_rights: BTreeMap<&str, &Origin> = BTreeMap::new();
    for (nth, (principal, place)) in callers.principals.iter().zip(&places.principals).enumerate() {
        if let Some(first) = callers.principals[..nth].iter().position(|other| other.name == principal.name) {
            let message = format!(
                "auth.principals: the principal {:?} has a section already, at {}",
                principal.name, places.principals[first]
            );
            fault(place, message);
        }
        with_rights.insert(&principal.name, place);
        let same = |other: &CallerPrincipal| {
            principal.certificate.is_some() && other.certificate == principal.certificate
        };
        if let Some(first) = callers.principals[..nth].iter().position(same) {
            let message = format!(
                "auth.principals: the certificate of the principal {:?} is that of another one already, at {}",
                principal.name, places.principals[first]
            );
            fault(place, message);
        }
    }
    for (nth, (key, place)) in callers.keys.iter().zip(&places.keys).enumerate() {
        let same = |other: &CallerKey| other.access_key_id == key.access_key_id;
        if let Some(first) = callers.keys[..nth].iter().position(same) {
            let message = format!(
                "auth.keys: the access key id {:?} stands already at {}",
                key.access_key_id, places.keys[first]
            );
            fault(place, message);
        }
        if key.rights.is_some()
            && let Some(other) = with_rights.insert(&key.principal, place)
        {
            let message = format!(
                "auth.keys: the rights of the principal {:?} stand already at {other}; write them once",
                key.principal
            );
            fault(place, message);
        }
    }
    faults.extend(role::contradictions(&callers.roles(places).collect::<Vec<_>>()));
    faults
}

/// An access key id, or the name of a principal.
///
/// # Errors
/// Words that say what one is.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=@".contains(&byte);
    match (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("{text:?} is not a name; write 1 to {NAME_CHARS_MAX} of A-Z, a-z, 0-9, \"._-+=@\""))
        }
    }
}

/// The number of an account.
///
/// # Errors
/// Words that say what one is.
pub(super) fn account(text: &str) -> Result<String, String> {
    match text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not an account; write its 12 digits in quotes, such as \"123456789012\""
        )),
    }
}

/// The name of an environment variable.
///
/// # Errors
/// Words that say what one is.
pub(super) fn variable_name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is not the name of a variable; write it without a $, such as \"SHOP_SECRET\""
        )),
    }
}

/// A session token.
///
/// # Errors
/// Words that say what one is, without the token.
pub(super) fn session_token(text: &str) -> Result<SecretBytes, String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(SecretBytes::from(text.to_owned())),
        false => Err("a session token is one word in ASCII".to_owned()),
    }
}
