//! Who may have what of the admin listener: the one gate of its routes.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::config::SecretBytes;

/// How long a scheme and the space behind it are.
const SCHEME: &[u8] = b"bearer ";

/// The token that `[admin] token_file` names. It may change while requests come.
pub struct AdminToken {
    token: ArcSwap<Option<SecretBytes>>,
    items: ItemsAreFor,
}

/// Who may see and write items over the admin listener, where there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemsAreFor {
    /// Everybody who reaches the listener: they have the items anyway. With a token, it is asked for.
    Everybody,
    /// Nobody.
    TheToken,
}

/// What a route asks of a request. Every route says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing: it shows figures and health.
    Open,
    /// The token, where there is one: it shows names of machines.
    TokenIfSet,
    /// The token, and a node without one is closed: it changes state, or shows keys.
    Token,
    /// It shows items: what [`ItemsAreFor`] says.
    Data,
}

/// Why a request may not have a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// There is no token, so nobody can have it.
    NoToken,
    /// The request has not the token.
    Unauthorized,
}

impl AdminToken {
    /// A listener with that token, or without one.
    pub fn new(token: Option<SecretBytes>, items: ItemsAreFor) -> Arc<Self> {
        Arc::new(Self { token: ArcSwap::from_pointee(token), items })
    }

    /// True if there is a token.
    pub fn is_set(&self) -> bool {
        self.token.load().is_some()
    }

    /// Requests need that token from now on.
    pub fn replace(&self, token: Option<SecretBytes>) {
        self.token.store(Arc::new(token));
    }

    /// Decides whether a request with these headers may have a route.
    ///
    /// # Errors
    /// [`Closed`], if it may not.
    pub(super) fn admit(&self, guard: Guard, headers: &HeaderMap) -> Result<(), Closed> {
        let token = self.token.load();
        let guard = match (guard, self.items) {
            (Guard::Data, ItemsAreFor::Everybody) => Guard::TokenIfSet,
            (Guard::Data, ItemsAreFor::TheToken) => Guard::Token,
            (guard, _) => guard,
        };
        match (guard, token.as_ref()) {
            (Guard::Open, _) | (Guard::TokenIfSet, None) => Ok(()),
            (Guard::Token | Guard::Data, None) => Err(Closed::NoToken),
            (Guard::TokenIfSet | Guard::Token | Guard::Data, Some(token)) => {
                let is_same = |sent: &[u8]| verify_slices_are_equal(token.expose(), sent).is_ok();
                match bearer(headers).is_some_and(is_same) {
                    true => Ok(()),
                    false => Err(Closed::Unauthorized),
                }
            }
        }
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AdminToken(..)")
    }
}

/// The token of `Authorization: Bearer TOKEN`, which must stand in the request once.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_token_stands_once_behind_its_scheme() {
        let token =
            AdminToken::new(Some(SecretBytes::from("0123456789abcdef".to_owned())), ItemsAreFor::Everybody);
        let admit = |values: &[&str]| token.admit(Guard::Token, &headers(values));
        for good in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "BEARER  0123456789abcdef"] {
            assert_eq!(admit(&[good]), Ok(()), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
            "Bearer0123456789abcdef",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcdef, Bearer 0123456789abcdef",
        ] {
            assert_eq!(admit(&[bad]), Err(Closed::Unauthorized), "{bad}");
        }
        assert_eq!(admit(&["Bearer 0123456789abcdef"; 2]), Err(Closed::Unauthorized));
        assert_eq!(admit(&[]), Err(Closed::Unauthorized));
        assert_eq!(format!("{token:?}"), "AdminToken(..)");
    }

    #[test]
    fn another_token_counts_from_the_next_request_on() {
        let token = AdminToken::new(None, ItemsAreFor::Everybody);
        let admit = |guard, value: &str| token.admit(guard, &headers(&[value]));
        assert_eq!(admit(Guard::Token, "Bearer one"), Err(Closed::NoToken));
        assert_eq!(admit(Guard::TokenIfSet, "x"), Ok(()));
        for (next, other) in [("one", "two"), ("two", "one")] {
            token.replace(Some(SecretBytes::from(next.to_owned())));
            for guard in [Guard::Token, Guard::TokenIfSet] {
                assert_eq!(admit(guard, &format!("Bearer {next}")), Ok(()));
                assert_eq!(admit(guard, &format!("Bearer {other}")), Err(Closed::Unauthorized));
            }
            assert_eq!(admit(Guard::Open, "x"), Ok(()));
        }
    }

    #[test]
    fn items_are_shown_without_a_token_only_to_those_who_have_them_anyway() {
        for (items, without) in
            [(ItemsAreFor::Everybody, Ok(())), (ItemsAreFor::TheToken, Err(Closed::NoToken))]
        {
            let token = AdminToken::new(None, items);
            assert_eq!(token.admit(Guard::Data, &headers(&[])), without);
            token.replace(Some(SecretBytes::from("0123456789abcdef".to_owned())));
            assert_eq!(token.admit(Guard::Data, &headers(&[])), Err(Closed::Unauthorized));
            assert_eq!(token.admit(Guard::Data, &headers(&["Bearer 0123456789abcdef"])), Ok(()));
        }
    }
}
