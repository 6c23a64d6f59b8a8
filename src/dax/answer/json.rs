//! The members of answers in JSON, as texts.

use std::borrow::Cow;

use crate::dax::cbor::Malformed;
use crate::dax::scanner::Scanner;

/// The members of an object.
#[derive(Debug, Default)]
pub(super) struct Members<'j>(Vec<(Cow<'j, str>, &'j str)>);

impl<'j> Members<'j> {
    /// Takes an object apart. The values are not looked at but for where they end.
    pub(super) fn read(text: &'j str) -> Result<Self, Malformed> {
        let mut members = Vec::new();
        let mut scanner = Scanner::new(text);
        let mut goes_on = scanner.open(b'{', b'}')?;
        while goes_on {
            members.push((scanner.name()?.text()?, scanner.skip()?));
            goes_on = scanner.goes_on(b'}')?;
        }
        scanner.end()?;
        Ok(Self(members))
    }

    /// Adds a member behind those that are there.
    pub(super) fn push(&mut self, name: Cow<'j, str>, value: &'j str) {
        self.0.push((name, value));
    }

    /// The member of that name; `None` if it is `null`, too.
    pub(super) fn get(&self, name: &str) -> Option<&'j str> {
        let member = self.0.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| *value).filter(|value| *value != "null")
    }

    /// The member of that name, an object; empty if there is none.
    pub(super) fn object(&self, name: &str) -> Result<Self, Malformed> {
        self.get(name).map_or(Ok(Self(Vec::new())), Self::read)
    }

    /// The member of that name, a list; empty if there is none.
    pub(super) fn list(&self, name: &str) -> Result<Vec<&'j str>, Malformed> {
        self.get(name).map_or(Ok(Vec::new()), elements)
    }

    /// The member of that name, a string.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'j, str>>, Malformed> {
        self.get(name).map(|value| Scanner::new(value).string()?.text()).transpose()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'j str)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The elements of a list.
pub(super) fn elements(text: &str) -> Result<Vec<&str>, Malformed> {
    let mut elements = Vec::new();
    let mut scanner = Scanner::new(text);
    let mut goes_on = scanner.open(b'[', b']')?;
    while goes_on {
        elements.push(scanner.skip()?);
        goes_on = scanner.goes_on(b']')?;
    }
    scanner.end()?;
    Ok(elements)
}

/// A number.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Result<N, Malformed> {
    text.parse().map_err(|_| Malformed::Invalid("a number was expected"))
}
