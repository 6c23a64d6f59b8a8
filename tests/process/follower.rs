//! Follows a table's stream over restarts: what its records say that the items are now.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::client::Client;

/// A reader of a stream that remembers how far it has come.
#[derive(Default)]
pub(crate) struct Follower {
    /// For each shard the number of the last record that was read.
    positions: HashMap<String, String>,
    /// For each item the counter that its last record shows.
    counters: HashMap<String, u64>,
}

impl Follower {
    /// Reads what is new in the stream of a table. Every record must show a greater counter of its item than the one before.
    pub(crate) fn follow(&mut self, client: &mut Client, table: &str) {
        let described = call(client, "DescribeTable", &json!({ "TableName": table }));
        let arn = &described["Table"]["LatestStreamArn"];
        let stream = call(client, "DescribeStream", &json!({ "StreamArn": arn }));
        for shard in stream["StreamDescription"]["Shards"].as_array().unwrap() {
            self.read_shard(client, arn, shard["ShardId"].as_str().unwrap());
        }
    }

    /// The counter that the stream says the item has; 0 when it never told of the item.
    pub(crate) fn counter(&self, id: &str) -> u64 {
        self.counters.get(id).copied().unwrap_or(0)
    }

    fn read_shard(&mut self, client: &mut Client, arn: &Value, shard: &str) {
        let mut request = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        if let Some(position) = self.positions.get(shard) {
            request["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
            request["SequenceNumber"] = json!(position);
        }
        let mut iterator = call(client, "GetShardIterator", &request)["ShardIterator"].clone();
        while iterator.is_string() {
            let page = call(client, "GetRecords", &json!({ "ShardIterator": iterator }));
            let records = page["Records"].as_array().unwrap();
            if records.is_empty() {
                break;
            }
            records.iter().for_each(|record| self.note(&record["dynamodb"], shard));
            iterator = page["NextShardIterator"].clone();
        }
    }

    fn note(&mut self, change: &Value, shard: &str) {
        let number = change["SequenceNumber"].as_str().unwrap();
        let former = self.positions.insert(shard.to_owned(), number.to_owned());
        assert!(former.is_none_or(|former| former.as_str() < number), "numbers rise: {change}");
        let id = change["Keys"]["id"]["S"].as_str().unwrap().to_owned();
        let counter: u64 = change["NewImage"]["n"]["N"].as_str().unwrap().parse().unwrap();
        let former = self.counters.insert(id, counter).unwrap_or(0);
        assert!(counter > former, "a change is told once, in order: {former}, then {change}");
    }
}

fn call(client: &mut Client, operation: &str, body: &Value) -> Value {
    serde_json::from_str(&client.must(operation, &body.to_string())).unwrap()
}
