//! Resources: what a request is about, and the patterns that policies write of them.
//!
//! A resource is judged by its ARN. A request that names a table by its name alone is about a table of the region and the account
//! of this node; where the account is not known, every account in a policy is this one.

use std::fmt;

use super::pattern::{Pattern, Template};
use super::truth::Truth;
use crate::model::arn::Arn;

/// The longest part of an ARN behind the account that is judged: a table and an index of the longest names, and some more.
const PATH_BYTES_MAX: usize = 544;

/// The longest name of a table or an index.
const NAME_BYTES_MAX: usize = 255;

/// What stands for an account that is not known.
pub(super) const NO_ACCOUNT: &str = "000000000000";

/// Where the tables are that requests name without an ARN.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The region of the upstream.
    pub region: &'a str,
    /// The account's number. Where it is `None`, policies may write any account.
    pub account: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The account of an ARN. The one that no account has stands for ours: the local backend writes it.
    fn account_of(&self, arn: &Arn<'a>) -> Option<&'a str> {
        if arn.account == NO_ACCOUNT { self.account } else { Some(arn.account) }
    }

    fn partition(&self) -> &'static str {
        match self.region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// The ARN of a user.
    pub(super) fn user_arn(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:user/{name}", self.partition(), self.account.unwrap_or(NO_ACCOUNT))
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource<'a> {
    /// A table or something that belongs to one.
    Known(Located<'a>),
    /// The account: operations that name no resource ask for `*`.
    Account,
    /// Something that cannot be told.
    Unknown,
}

/// An ARN in its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<'a> {
    partition: &'a str,
    region: &'a str,
    account: Option<&'a str>,
    path: Path<'a>,
}

/// The part of an ARN behind the account.
#[derive(Clone, Copy, Debug)]
enum Path<'a> {
    Table(&'a str),
    Index { table: &'a str, index: &'a str },
    GlobalTable(&'a str),
    Whole(&'a str),
}

impl Path<'_> {
    /// The text in pieces.
    fn pieces(&self) -> [&str; 4] {
        match self {
            Self::Table(table) => ["table/", table, "", ""],
            Self::Index { table, index } => ["table/", table, "/index/", index],
            Self::GlobalTable(name) => ["global-table/", name, "", ""],
            Self::Whole(path) => [path, "", "", ""],
        }
    }

    /// The name of the table in it.
    fn table(&self) -> Option<&str> {
        match self {
            Self::Table(table) | Self::Index { table, .. } => Some(table),
            Self::GlobalTable(_) => None,
            Self::Whole(path) => path.strip_prefix("table/")?.split('/').next(),
        }
    }
}

impl<'a> Resource<'a> {
    /// The table of that name or ARN, or an index of it.
    pub(super) fn table(place: &Place<'a>, spelling: &'a str, index: Option<&'a str>) -> Self {
        if index.is_some_and(|index| !is_name(index)) {
            return Self::Unknown;
        }
        let (name, located) = match Arn::parse(spelling) {
            Some(arn) if arn.service == "dynamodb" => match arn.resource.strip_prefix("table/") {
                Some(name) => (name, (arn.partition, arn.region, place.account_of(&arn))),
                None => return Self::Unknown,
            },
            Some(_) => return Self::Unknown,
            None => (spelling, (place.partition(), place.region, place.account)),
        };
        if !is_name(name) {
            return Self::Unknown;
        }
        let path = match index {
            None => Path::Table(name),
            Some(index) => Path::Index { table: name, index },
        };
        Self::located(located, path)
    }

    /// The global table of that name.
    pub(super) fn global_table(place: &Place<'a>, name: &'a str) -> Self {
        match is_name(name) {
            true => Self::located((place.partition(), "", place.account), Path::GlobalTable(name)),
            false => Self::Unknown,
        }
    }

    /// What an ARN names: a table, or an index, a stream, a backup, an export or an import of one.
    pub(super) fn arn(place: &Place<'a>, text: &'a str) -> Self {
        let Some(arn) = Arn::parse(text).filter(|arn| arn.service == "dynamodb") else {
            return Self::Unknown;
        };
        let Some(path) = arn.resource.strip_prefix("table/") else { return Self::Unknown };
        if !is_name(path.split('/').next().unwrap_or_default()) || arn.resource.len() > PATH_BYTES_MAX {
            return Self::Unknown;
        }
        Self::located((arn.partition, arn.region, place.account_of(&arn)), Path::Whole(arn.resource))
    }

    fn located((partition, region, account): (&'a str, &'a str, Option<&'a str>), path: Path<'a>) -> Self {
        Self::Known(Located { partition, region, account, path })
    }

    /// The resource of that name at the node's own place, if it was named by an ARN of another one. Whoever answers the request may
    /// look at the name alone, so both must be allowed.
    #[inline]
    pub(super) fn namesake(&self, place: &Place<'a>) -> Option<Self> {
        let Self::Known(located) = *self else { return None };
        let own = (place.partition(), place.region, place.account);
        let is_own = (located.partition, located.region, located.account) == own;
        let has_no_region = matches!(located.path, Path::GlobalTable(_));
        (!is_own && !has_no_region).then(|| Self::located(own, located.path))
    }
}

/// As the service's errors name it. Nothing else that a client wrote is in it.
impl fmt::Display for Resource<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Located { partition, region, account, path }) => {
                let account = account.unwrap_or(NO_ACCOUNT);
                write!(formatter, "arn:{partition}:dynamodb:{region}:{account}:")?;
                path.pieces().into_iter().try_for_each(|piece| formatter.write_str(piece))
            }
            Self::Account | Self::Unknown => formatter.write_str("*"),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_of_names)
}

/// What an element of `Resource` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResourcePattern {
    /// `*`
    Any,
    /// Resources of another service.
    Foreign,
    /// Resources of DynamoDB.
    Arn(Box<ArnPattern>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArnPattern {
    partition: Pattern,
    region: Pattern,
    account: Pattern,
    path: PathPattern,
}

/// A pattern of the part of an ARN behind the account.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPattern {
    /// As IAM has it: a `*` in the name of a table goes on into its indexes.
    Whole(Pattern),
    /// A table by its name, or what belongs to it: `index`, `stream`, … and its name.
    Named { table: Pattern, part: Option<(&'static str, Pattern)> },
}

impl PathPattern {
    /// The name of the table, if it is the same in all that matches.
    fn table(&self) -> Option<&str> {
        match self {
            Self::Whole(pattern) => {
                let (head, is_whole) = pattern.head();
                let name = head.strip_prefix("table/")?;
                name.split_once('/').map(|(name, _)| name).or_else(|| is_whole.then_some(name))
            }
            Self::Named { table, .. } => {
                let (name, is_whole) = table.head();
                is_whole.then_some(name)
            }
        }
    }

    #[inline]
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Whole(pattern) => pattern.matches(path),
            Self::Named { table, part } => {
                let Some(rest) = path.strip_prefix("table/") else { return false };
                match (rest.split_once('/'), part) {
                    (None, None) => table.matches(rest),
                    (Some((name, rest)), Some((kind, part))) => {
                        let of_kind = rest.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
                        of_kind.is_some_and(|rest| part.matches(rest)) && table.matches(name)
                    }
                    _ => false,
                }
            }
        }
    }
}

impl ResourcePattern {
    /// Reads an ARN with wildcards in any of its parts. A `*` at the end of one that has fewer parts stands for all of them.
    /// `None` for what is no ARN.
    pub(super) fn of(template: &Template, user_name: &str) -> Option<Self> {
        let parts = template.splitn(6, ':');
        let mut patterns: Vec<Pattern> = parts.iter().map(|part| part.pattern(user_name)).collect();
        if let [only] = patterns.as_slice() {
            return only.is_any().then_some(Self::Any);
        }
        if patterns.len() < 6 && !parts.last()?.text("").ends_with('*') {
            return None;
        }
        patterns.resize(6, Pattern::any());
        let [arn, partition, service, region, account, path] = <[Pattern; 6]>::try_from(patterns).ok()?;
        if !arn.matches("arn") {
            return None;
        }
        if !service.matches("dynamodb") {
            return Some(Self::Foreign);
        }
        let path = PathPattern::Whole(path);
        Some(Self::Arn(Box::new(ArnPattern { partition, region, account, path })))
    }

    /// Tables of any account and region by their names, or what belongs to them. Wildcards end with a name.
    pub(super) fn of_names(table: &str, part: Option<(&'static str, &str)>) -> Self {
        let any = Pattern::any;
        let part = part.map(|(kind, name)| (kind, Pattern::glob(name)));
        let path = PathPattern::Named { table: Pattern::glob(table), part };
        Self::Arn(Box::new(ArnPattern { partition: any(), region: any(), account: any(), path }))
    }

    /// Why it can name nothing, if it can not.
    pub(super) fn idle_reason(&self) -> Option<&'static str> {
        let Self::Arn(arn) = self else { return None };
        let PathPattern::Whole(path) = &arn.path else { return None };
        if !["aws", "aws-cn", "aws-us-gov"].iter().any(|partition| arn.partition.matches(partition)) {
            return Some("the partition is one of aws, aws-cn and aws-us-gov");
        }
        let (account, is_whole) = arn.account.head();
        if is_whole && !(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())) {
            return Some("an account has 12 digits");
        }
        let (head, is_whole) = path.head();
        let is_path = |kind: &str| match head.strip_prefix(kind) {
            Some(name) => !is_whole || !name.is_empty(),
            None => !is_whole && kind.starts_with(head),
        };
        if !is_path("table/") && !is_path("global-table/") {
            return Some("behind the account stands table/ or global-table/ and a name");
        }
        let (kind, name) = head.split_once('/')?;
        let (name, part) = name.split_once('/').map_or((name, None), |(name, part)| (name, Some(part)));
        if !name.is_empty() && !is_name(name) {
            return Some("a name has 1 to 255 of a-z, A-Z, 0-9, '_', '.' and '-'");
        }
        let is_kind = |part: &str| {
            let kinds = ["index/", "stream/", "backup/", "export/", "import/"];
            kinds.iter().any(|kind| part.starts_with(kind) || (!is_whole && kind.starts_with(part)))
        };
        if part.is_some_and(|part| !is_kind(part)) {
            return Some("behind a table stands index/, stream/, backup/, export/ or import/ and a name");
        }
        (kind == "table" && arn.region.head() == ("", true)).then_some("a table has a region")
    }

    /// Whether it names the resource.
    #[inline]
    fn matches(&self, subject: &Subject<'_>) -> Truth {
        match (self, &subject.resource) {
            (Self::Any, _) => Truth::Yes,
            (Self::Foreign, _) | (Self::Arn(_), Resource::Account) => Truth::No,
            (Self::Arn(_), Resource::Unknown) => Truth::Unknown,
            (Self::Arn(pattern), Resource::Known(located)) => {
                let is_it = pattern.path.matches(subject.path())
                    && pattern.region.matches(located.region)
                    && pattern.partition.matches(located.partition)
                    && located.account.is_none_or(|account| pattern.account.matches(account));
                is_it.into()
            }
        }
    }
}

/// The resources of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resources {
    patterns: Vec<ResourcePattern>,
    /// `NotResource`
    is_complement: bool,
    /// The slots of the tables that may be among them. Most statements are about tables that a request is not about, and are left out
    /// by one look.
    tables: Slots,
}

/// A set of tables by the slots of their names, of which there are 64.
type Slots = u64;

/// The slot of a table.
#[inline]
fn slot(table: &str) -> Slots {
    let bytes = table.as_bytes();
    let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or_default());
    let mixed =
        bytes.len() * 5 + byte(0) * 7 + byte(bytes.len() / 2) * 11 + byte(bytes.len().wrapping_sub(1)) * 13;
    1 << (mixed % 64)
}

/// A resource with its path as text, as patterns are matched with it.
pub(super) struct Subject<'r> {
    resource: Resource<'r>,
    path: [u8; PATH_BYTES_MAX],
    path_length: usize,
    /// The slot of its table, or all of them.
    table: Slots,
}

impl<'r> Subject<'r> {
    pub(super) fn of(resource: Resource<'r>) -> Self {
        let mut subject = Self { resource, path: [0; PATH_BYTES_MAX], path_length: 0, table: Slots::MAX };
        if let Resource::Known(located) = &resource {
            for piece in located.path.pieces() {
                let end = subject.path_length + piece.len();
                subject.path[subject.path_length..end].copy_from_slice(piece.as_bytes());
                subject.path_length = end;
            }
            subject.table = located.path.table().map_or(Slots::MAX, slot);
        }
        subject
    }

    fn path(&self) -> &str {
        std::str::from_utf8(&self.path[..self.path_length]).expect("it was put together from texts")
    }
}

impl Resources {
    /// Those that match a pattern, or for `NotResource` all others.
    pub(super) fn of(patterns: Vec<ResourcePattern>, is_complement: bool) -> Self {
        let slots = patterns.iter().map(|pattern| match pattern {
            ResourcePattern::Any => Slots::MAX,
            ResourcePattern::Foreign => 0,
            ResourcePattern::Arn(pattern) => pattern.path.table().map_or(Slots::MAX, slot),
        });
        let tables = if is_complement { Slots::MAX } else { slots.fold(0, |all, one| all | one) };
        Self { patterns, is_complement, tables }
    }

    /// Whether the resource is one of them.
    #[inline]
    pub(super) fn contain(&self, subject: &Subject<'_>) -> Truth {
        if self.tables & subject.table == 0 {
            return Truth::No;
        }
        let named = is_named(&self.patterns, subject);
        if self.is_complement { !named } else { named }
    }

    /// True if they are all that there are.
    pub(super) fn is_everything(&self) -> bool {
        match self.is_complement {
            false => self.patterns.contains(&ResourcePattern::Any),
            true => self.patterns.iter().all(|pattern| *pattern == ResourcePattern::Foreign),
        }
    }

    /// True if none of DynamoDB is among them.
    pub(super) fn is_nothing(&self) -> bool {
        match self.is_complement {
            false => self.patterns.iter().all(|pattern| *pattern == ResourcePattern::Foreign),
            true => self.patterns.contains(&ResourcePattern::Any),
        }
    }
}

#[inline]
fn is_named(patterns: &[ResourcePattern], subject: &Subject<'_>) -> Truth {
    let mut named = Truth::No;
    for pattern in patterns {
        match pattern.matches(subject) {
            Truth::Yes => return Truth::Yes,
            Truth::Unknown => named = Truth::Unknown,
            Truth::No => {}
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { region: "us-east-1", account: Some("123456789012") };

    fn matches(pattern: &str, resource: &Resource<'_>) -> Truth {
        let pattern = ResourcePattern::of(&Template::plain(pattern), "").unwrap();
        Resources::of(vec![pattern], false).contain(&Subject::of(*resource))
    }

    #[test]
    fn a_name_and_its_arn_are_one_resource() {
        let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders";
        for spelling in ["Orders", arn] {
            let table = Resource::table(&HERE, spelling, None);
            assert_eq!(table.to_string(), arn);
            let index = Resource::table(&HERE, spelling, Some("byTime"));
            assert_eq!(index.to_string(), format!("{arn}/index/byTime"));
            assert_eq!(matches(arn, &table), Truth::Yes);
            assert_eq!(matches(arn, &index), Truth::No, "an index is a resource of its own");
        }
        assert_eq!(
            Resource::global_table(&HERE, "G").to_string(),
            "arn:aws:dynamodb::123456789012:global-table/G"
        );
    }

    #[test]
    fn wildcards_stand_within_the_parts_of_an_arn() {
        let index = Resource::table(&HERE, "Orders", Some("byTime"));
        for pattern in [
            "*",
            "arn:aws:dynamodb:*",
            "arn:*:dynamodb:us-*-1:*:table/*",
            "arn:aws:dynamodb:us-east-1:123456789012:table/Ord*",
            "arn:aws:dynamodb:*:*:table/*/index/by????",
            "arn:aws:*",
        ] {
            assert_eq!(matches(pattern, &index), Truth::Yes, "{pattern}");
        }
        for pattern in [
            "arn:aws:dynamodb:us-east-2:*:table/*",
            "arn:aws:dynamodb:us-east-1:999999999999:table/*",
            "arn:aws-cn:dynamodb:*:*:table/*",
            "arn:aws:s3:::*",
            "arn:aws:dynamodb:*:*:table/orders*",
        ] {
            assert_eq!(matches(pattern, &index), Truth::No, "{pattern}");
        }
        for text in ["table/Orders", "Orders*", "arn:aws:dynamodb:us-east-1:table/Orders", "", "x:*"] {
            assert_eq!(ResourcePattern::of(&Template::plain(text), ""), None, "{text}");
        }
    }

    #[test]
    fn an_account_that_is_not_known_is_every_account() {
        let place = Place { account: None, ..HERE };
        let pattern = "arn:aws:dynamodb:us-east-1:111122223333:table/T";
        assert_eq!(matches(pattern, &Resource::table(&place, "T", None)), Truth::Yes);
        let foreign = "arn:aws:dynamodb:us-east-1:999999999999:table/T";
        assert_eq!(matches(pattern, &Resource::table(&place, foreign, None)), Truth::No);
        assert_eq!(
            Resource::table(&place, "T", None).to_string(),
            "arn:aws:dynamodb:us-east-1:000000000000:table/T"
        );
    }

    #[test]
    fn names_that_no_table_has_are_not_known() {
        let long = "a".repeat(256);
        for spelling in [
            "",
            "a/index/b",
            "a b",
            "a*",
            &long,
            "arn:x:table/a",
            "arn:aws:s3:a:b:table/a",
            "arn:aws:dynamodb:a:b:table/a/index/b",
            "arn:aws:dynamodb:a:b:table/",
        ] {
            let resource = Resource::table(&HERE, spelling, None);
            assert!(matches!(resource, Resource::Unknown), "{spelling}");
            assert_eq!(matches("arn:aws:dynamodb:*:*:table/*", &resource), Truth::Unknown);
            assert_eq!(matches("*", &resource), Truth::Yes);
        }
        assert!(matches!(Resource::table(&HERE, "a", Some("b/c")), Resource::Unknown));
        assert_eq!(matches("arn:aws:dynamodb:*:*:*", &Resource::Account), Truth::No);
        let stream = "arn:aws:dynamodb:us-east-1:1:table/T/stream/2026-11-21T08:09:10.000";
        assert_eq!(Resource::arn(&HERE, stream).to_string(), stream);
        assert_eq!(
            matches("arn:aws:dynamodb:*:*:table/T/stream/*", &Resource::arn(&HERE, stream)),
            Truth::Yes
        );
    }
}
