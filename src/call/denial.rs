//! Whether a request may be served, and why not, with the one spelling of each reason.

/// What was decided of a request before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Its caller may do what it asks.
    Allowed,
    /// Its caller may not, or is not known.
    Denied(DenialReason),
    /// Nothing: it is no request that could be judged, because its body or its target could not be read.
    Unjudged,
}

impl Verdict {
    /// Its word in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied(_) => "denied",
            Self::Unjudged => "unjudged",
        }
    }

    /// Why the request was denied, if it was.
    pub fn denial(self) -> Option<DenialReason> {
        match self {
            Self::Denied(reason) => Some(reason),
            Self::Allowed | Self::Unjudged => None,
        }
    }
}

/// Why a request was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// It carries no credentials.
    Missing,
    /// Its credentials lack a part, or are of another algorithm.
    Incomplete,
    /// It is signed in a way that is not accepted: in the query string, or not over all that matters.
    Form,
    /// It was signed more than 15 minutes ago, or will be.
    Clock,
    /// It was signed for another region, service or day.
    Scope,
    /// Its access key is not known.
    UnknownKey,
    /// Its signature is not that of the key.
    Signature,
    /// Its session token is not that of the key.
    Token,
    /// Its key has expired.
    ExpiredKey,
    /// Its caller has no right to it.
    Rights,
}

impl DenialReason {
    /// Every reason, in the order of their definition.
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Incomplete,
        Self::Form,
        Self::Clock,
        Self::Scope,
        Self::UnknownKey,
        Self::Signature,
        Self::Token,
        Self::ExpiredKey,
        Self::Rights,
    ];

    /// Its label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Incomplete => "incomplete",
            Self::Form => "form",
            Self::Clock => "clock",
            Self::Scope => "scope",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Token => "token",
            Self::ExpiredKey => "expired_key",
            Self::Rights => "rights",
        }
    }
}
