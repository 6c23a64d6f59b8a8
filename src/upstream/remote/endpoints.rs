//! Which host an operation goes to.

use crate::endpoint::Endpoint;
use crate::model::Operation;

/// Which of the service's hosts in a region are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsHosts {
    /// Hosts with IPv6 addresses too.
    pub dual_stack: bool,
    /// Hosts with validated cryptography.
    pub fips: bool,
    /// The account whose own host is used, where the region has such hosts.
    pub account_id: Option<String>,
}

/// The endpoints of an upstream, by what they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// Each host once.
    pub(super) hosts: Vec<Endpoint>,
    streams: usize,
    search: usize,
}

impl Endpoints {
    /// One endpoint for everything.
    pub(super) fn single(endpoint: Endpoint) -> Self {
        Self { hosts: vec![endpoint], streams: 0, search: 0 }
    }

    /// Those of the service in a region.
    pub(super) fn aws(region: &str, hosts: &AwsHosts) -> Self {
        let (plain_suffix, dual_stack_suffix) = suffixes(region);
        let suffix = if hosts.dual_stack { dual_stack_suffix } else { plain_suffix };
        let fips = if hosts.fips { "-fips" } else { "" };
        let tables = match &hosts.account_id {
            // Accounts have hosts of their own in the common partition, and none with validated cryptography.
            Some(account) if !hosts.fips && plain_suffix == COMMON.0 && !region.starts_with("us-gov-") => {
                format!("{account}.ddb.{region}.{suffix}")
            }
            _ => format!("dynamodb{fips}.{region}.{suffix}"),
        };
        let streams = match hosts.dual_stack {
            true => format!("streams-dynamodb{fips}.{region}.{suffix}"),
            false => format!("streams.dynamodb{fips}.{region}.{suffix}"),
        };
        let search = format!("search-dynamodb{fips}.{region}.{suffix}");
        Self {
            hosts: vec![tables, streams, search].into_iter().map(Endpoint::https).collect(),
            streams: 1,
            search: 2,
        }
    }

    /// The place in `hosts` of the one that serves an operation.
    pub(super) fn serving(&self, operation: Operation, unknown_target: Option<&str>) -> usize {
        match operation {
            Operation::ListStreams
            | Operation::DescribeStream
            | Operation::GetShardIterator
            | Operation::GetRecords => self.streams,
            Operation::SearchVectors => self.search,
            _ if unknown_target.is_some_and(|target| target.starts_with("DynamoDBStreams_")) => self.streams,
            _ => 0,
        }
    }
}

/// The ends of host names in the common partition, without and with IPv6.
const COMMON: (&str, &str) = ("amazonaws.com", "api.aws");

/// The ends of host names in the partition that a region is of.
fn suffixes(region: &str) -> (&'static str, &'static str) {
    const OTHERS: [(&str, (&str, &str)); 6] = [
        ("cn-", ("amazonaws.com.cn", "api.amazonwebservices.com.cn")),
        ("eusc-", ("amazonaws.eu", "api.amazonwebservices.eu")),
        ("us-iso-", ("c2s.ic.gov", "api.aws.ic.gov")),
        ("us-isob-", ("sc2s.sgov.gov", "api.aws.scloud")),
        ("eu-isoe-", ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk")),
        ("us-isof-", ("csp.hci.ic.gov", "api.aws.hci.ic.gov")),
    ];
    let found = OTHERS.iter().find(|(start, _)| region.starts_with(start));
    found.map_or(COMMON, |(_, suffixes)| *suffixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(region: &str, hosts: AwsHosts) -> Vec<String> {
        Endpoints::aws(region, &hosts).hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_are_named_after_region_and_kind() {
        let plain = AwsHosts::default;
        assert_eq!(
            hosts("eu-central-1", plain()),
            [
                "https://dynamodb.eu-central-1.amazonaws.com",
                "https://streams.dynamodb.eu-central-1.amazonaws.com",
                "https://search-dynamodb.eu-central-1.amazonaws.com",
            ]
        );
        assert_eq!(hosts("cn-north-1", plain())[1], "https://streams.dynamodb.cn-north-1.amazonaws.com.cn");
        let dual_stack = AwsHosts { dual_stack: true, ..plain() };
        assert_eq!(hosts("us-east-1", dual_stack.clone())[0], "https://dynamodb.us-east-1.api.aws");
        assert_eq!(hosts("us-east-1", dual_stack.clone())[1], "https://streams-dynamodb.us-east-1.api.aws");
        let fips = AwsHosts { fips: true, account_id: Some("123456789012".to_owned()), ..plain() };
        assert_eq!(hosts("us-west-2", fips)[0], "https://dynamodb-fips.us-west-2.amazonaws.com");
        let account = AwsHosts { account_id: Some("123456789012".to_owned()), ..plain() };
        assert_eq!(
            hosts("us-west-2", account.clone())[0],
            "https://123456789012.ddb.us-west-2.amazonaws.com"
        );
        assert_eq!(hosts("cn-north-1", account)[0], "https://dynamodb.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn operations_go_to_the_host_that_serves_them() {
        let endpoints = Endpoints::aws("us-east-1", &AwsHosts::default());
        assert_eq!(endpoints.serving(Operation::GetItem, None), 0);
        assert_eq!(endpoints.serving(Operation::GetRecords, None), 1);
        assert_eq!(endpoints.serving(Operation::SearchVectors, None), 2);
        assert_eq!(endpoints.serving(Operation::Unknown, Some("DynamoDBStreams_20120810.New")), 1);
        assert_eq!(endpoints.serving(Operation::Unknown, Some("DynamoDB_20120810.New")), 0);
        let single = Endpoints::single("http://127.0.0.1:8001".parse().unwrap());
        assert_eq!(single.serving(Operation::SearchVectors, None), 0);
    }
}
