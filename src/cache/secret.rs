//! What keys are hashed with: a secret for each table and index, so that one hash names table and key together.
//!
//! A client who could choose colliding keys could aim its writes at the stripe of another client's key, and keep that key out of
//! the cache. So hashes are keyed: randomly for each process, or in a fleet by a secret that its nodes share. There the secrets of
//! tables and indexes come from their names, and all nodes compute equal hashes, in whatever order they first use them.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::elsewhere::TableDigest;

/// Sets the hashes that derive something from a name apart from those of keys.
const OF_NAMES: u64 = 0x6e65_6172_7369_6465;

/// What all nodes of a fleet, and nobody else, know: 128 random bits, for one upstream.
#[derive(Clone, Copy)]
pub struct FleetSecret(Secret);

impl FleetSecret {
    /// The secret of these bits.
    pub fn new(bits: u128) -> Self {
        Self(Secret((bits >> 64) as u64, bits as u64))
    }
}

impl std::fmt::Debug for FleetSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FleetSecret")
    }
}

/// What keys are hashed with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) u64, pub(super) u64);

impl Secret {
    /// The standard library's own source of random keys for hash maps, asked twice.
    pub(super) fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish())
    }

    pub(super) fn hash(self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
    }

    /// One of several hashes of a name that have nothing to do with each other.
    fn of_name(self, use_of_it: NameHash, name: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0 ^ OF_NAMES, self.1);
        hasher.write_u8(use_of_it as u8);
        hasher.write(name.as_bytes());
        hasher.finish()
    }
}

/// What a hash of a name is for.
#[derive(Clone, Copy)]
enum NameHash {
    SecretHigh,
    SecretLow,
    Digest,
}

/// How the secrets of tables and of their indexes come from that of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) enum Secrets {
    /// By the order in which they are first used, which no other process repeats.
    Numbered(Secret),
    /// By name, alike in all nodes of a fleet.
    Named(Secret),
}

impl Secrets {
    /// Those of the nodes of a fleet.
    pub(super) fn of_fleet(secret: FleetSecret) -> Self {
        Self::Named(secret.0)
    }

    /// Of what belongs to the table of that number and name.
    pub(super) fn of_table(self, number: u32, name: &str) -> Self {
        match self {
            Self::Numbered(secret) => Self::Numbered(Secret(secret.0 ^ u64::from(number), secret.1)),
            Self::Named(_) => self.of_name(name),
        }
    }

    /// Of what belongs to the index of that number and name, if these are the secrets of its table.
    pub(super) fn of_index(self, number: u64, name: &str) -> Self {
        match self {
            Self::Numbered(secret) => Self::Numbered(Secret(secret.0 ^ number << 32, secret.1)),
            Self::Named(_) => self.of_name(name),
        }
    }

    fn of_name(self, name: &str) -> Self {
        let secret = self.secret();
        let part = |part| secret.of_name(part, name);
        Self::Named(Secret(part(NameHash::SecretHigh), part(NameHash::SecretLow)))
    }

    /// The digest of the table of that name, if these are the secrets of the cache. Only those of a fleet mean something elsewhere.
    pub(super) fn table_digest(self, name: &str) -> TableDigest {
        TableDigest(self.secret().of_name(NameHash::Digest, name))
    }

    /// The digest of the index of that name, if these are the secrets of its table.
    pub(super) fn index_digest(self, name: &str) -> u64 {
        self.secret().of_name(NameHash::Digest, name)
    }

    /// What keys are hashed with.
    pub(super) fn secret(self) -> Secret {
        match self {
            Self::Numbered(secret) | Self::Named(secret) => secret,
        }
    }
}
