//! Operations on tables and what belongs to them, and operations that this program has no name for.

use super::{Check, Decide, Subject, Wanted};
use crate::model::Operation;
use crate::rights::action::Action;
use crate::rights::denial::Denial;
use crate::rights::resource::Resource;
use crate::wire::Json;
use crate::wire::named::{Named, tables_named};

/// What whoever fills a table by a restore or a replica must be allowed on it, too.
const FILLING: [Action; 7] = [
    Action::BATCH_WRITE_ITEM,
    Action::DELETE_ITEM,
    Action::GET_ITEM,
    Action::PUT_ITEM,
    Action::QUERY,
    Action::SCAN,
    Action::UPDATE_ITEM,
];

/// The checks of an operation of the table of operations, in their turn.
struct Turn<'s, 'd> {
    subject: Subject<'s>,
    decide: Decide<'d>,
}

/// Every operation that neither reads nor writes items by their keys.
pub(super) fn each(subject: Subject<'_>, action: Action, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let mut turn = Turn { subject, decide };
    use Operation::*;
    match subject.operation {
        ListTables
        | ListStreams
        | ListBackups
        | ListExports
        | ListImports
        | ListGlobalTables
        | ListContributorInsights
        | DescribeLimits
        | DescribeEndpoints => turn.check(action, Resource::Account),
        DescribeStream | GetShardIterator => turn.arn(action, "StreamArn"),
        GetRecords => turn.records(action),
        TagResource | UntagResource | ListTagsOfResource | GetResourcePolicy | PutResourcePolicy
        | DeleteResourcePolicy => turn.arn(action, "ResourceArn"),
        DescribeBackup | DeleteBackup => turn.arn(action, "BackupArn"),
        DescribeExport => turn.arn(action, "ExportArn"),
        DescribeImport => turn.arn(action, "ImportArn"),
        ExportTableToPointInTime => turn.arn(action, "TableArn"),
        ImportTable => turn.import(action),
        RestoreTableFromBackup => turn.restore(action),
        RestoreTableToPointInTime => turn.restore_to_point(action),
        CreateTable => turn.create(action),
        UpdateTable => turn.update(action),
        DescribeContributorInsights | UpdateContributorInsights => turn.with_index(action),
        CreateGlobalTable | UpdateGlobalTable | UpdateGlobalTableSettings => {
            turn.global(action)?;
            turn.table(action, "GlobalTableName")
        }
        DescribeGlobalTable | DescribeGlobalTableSettings => turn.global(action),
        StartBulkPutItems
        | DescribeBulkOperation
        | ListBulkOperations
        | CancelBulkOperation
        | SearchVectors => unknown(subject, Wanted::Action(action), turn.decide),
        _ => turn.table(action, "TableName"),
    }
}

impl<'s> Turn<'s, '_> {
    fn check(&mut self, action: Action, resource: Resource<'_>) -> Result<(), Box<Denial>> {
        (self.decide)(&Check::unconditional(Wanted::Action(action), resource))
    }

    fn text(&self, member: &str) -> Option<&'s str> {
        self.subject.body.get(member).and_then(Json::text)
    }

    /// The resource of a name; one that is missing is not known.
    fn resource_of(&self, spelling: Option<&'s str>) -> Resource<'s> {
        spelling.map_or(Resource::Unknown, |spelling| Resource::table(self.subject.place, spelling, None))
    }

    fn table(&mut self, action: Action, member: &str) -> Result<(), Box<Denial>> {
        self.check(action, self.resource_of(self.text(member)))
    }

    fn arn(&mut self, action: Action, member: &str) -> Result<(), Box<Denial>> {
        let place = self.subject.place;
        self.check(action, self.text(member).map_or(Resource::Unknown, |arn| Resource::arn(place, arn)))
    }

    fn global(&mut self, action: Action) -> Result<(), Box<Denial>> {
        let name = self.text("GlobalTableName");
        let place = self.subject.place;
        self.check(action, name.map_or(Resource::Unknown, |name| Resource::global_table(place, name)))
    }

    /// An iterator begins with the ARN of its stream, as in the service.
    fn records(&mut self, action: Action) -> Result<(), Box<Denial>> {
        let iterator = self.text("ShardIterator").and_then(|iterator| iterator.split_once('|'));
        let place = self.subject.place;
        self.check(action, iterator.map_or(Resource::Unknown, |(arn, _)| Resource::arn(place, arn)))
    }

    /// On the table and on the index, if there is one.
    fn with_index(&mut self, action: Action) -> Result<(), Box<Denial>> {
        self.table(action, "TableName")?;
        let Some(index) = self.subject.body.get("IndexName") else { return Ok(()) };
        let resource = match (self.text("TableName"), index.text()) {
            (Some(table), Some(index)) => Resource::table(self.subject.place, table, Some(index)),
            _ => Resource::Unknown,
        };
        self.check(action, resource)
    }

    fn import(&mut self, action: Action) -> Result<(), Box<Denial>> {
        let created = self.subject.body.get("TableCreationParameters");
        let name = created.and_then(|table| table.get("TableName")?.text());
        self.check(action, self.resource_of(name))
    }

    fn restore(&mut self, action: Action) -> Result<(), Box<Denial>> {
        self.arn(action, "BackupArn")?;
        self.fill(action, "TargetTableName")
    }

    fn restore_to_point(&mut self, action: Action) -> Result<(), Box<Denial>> {
        for member in ["SourceTableName", "SourceTableArn"] {
            if self.subject.body.get(member).is_some() {
                self.table(action, member)?;
            }
        }
        self.fill(action, "TargetTableName")
    }

    /// The action, and what fills a table.
    fn fill(&mut self, action: Action, member: &str) -> Result<(), Box<Denial>> {
        self.table(action, member)?;
        FILLING.into_iter().try_for_each(|action| self.table(action, member))
    }

    fn create(&mut self, action: Action) -> Result<(), Box<Denial>> {
        self.table(action, "TableName")?;
        if self.subject.body.get("Tags").is_some() {
            self.table(Action::TAG_RESOURCE, "TableName")?;
        }
        if self.subject.body.get("ResourcePolicy").is_some() {
            self.table(Action::PUT_RESOURCE_POLICY, "TableName")?;
        }
        if self.subject.body.get("GlobalTableSourceArn").is_some() {
            self.arn(Action::ASSOCIATE_TABLE_REPLICA, "GlobalTableSourceArn")?;
            self.fill(Action::CREATE_TABLE_REPLICA, "TableName")?;
        }
        Ok(())
    }

    fn update(&mut self, action: Action) -> Result<(), Box<Denial>> {
        self.table(action, "TableName")?;
        for (member, kind, asked) in [
            ("ReplicaUpdates", "Create", Action::CREATE_TABLE_REPLICA),
            ("ReplicaUpdates", "Delete", Action::DELETE_TABLE_REPLICA),
            ("GlobalTableWitnessUpdates", "Create", Action::CREATE_WITNESS),
            ("GlobalTableWitnessUpdates", "Delete", Action::DELETE_WITNESS),
        ] {
            let updates = self.subject.body.get(member).and_then(Json::elements).unwrap_or_default();
            if !updates.iter().any(|update| update.get(kind).is_some()) {
                continue;
            }
            self.table(asked, "TableName")?;
            if asked == Action::CREATE_TABLE_REPLICA {
                self.fill(Action::CREATE_TABLE, "TableName")?;
            }
        }
        Ok(())
    }
}

/// An operation whose body has no known form: the action on every table and every ARN that stands anywhere in it. Nothing else is
/// known of it, so conditions allow nothing.
pub(super) fn unknown(
    subject: Subject<'_>,
    action: Wanted<'_>,
    decide: Decide<'_>,
) -> Result<(), Box<Denial>> {
    let names = match tables_named(Operation::Unknown, subject.body) {
        Named::One(name) => vec![name],
        Named::Several(names) => names,
        Named::None | Named::Unreadable => {
            return decide(&Check::unreadable(action, Resource::Unknown));
        }
    };
    let index = subject.body.get("IndexName").and_then(Json::text);
    for name in &names {
        decide(&Check::unreadable(action, Resource::table(subject.place, name, None)))?;
        if index.is_some() {
            decide(&Check::unreadable(action, Resource::table(subject.place, name, index)))?;
        }
    }
    let mut arns = Vec::new();
    collect_arns(subject.body, &mut arns);
    arns.into_iter().try_for_each(|arn| decide(&Check::unreadable(action, Resource::arn(subject.place, arn))))
}

fn collect_arns<'a>(json: &'a Json<'_>, arns: &mut Vec<&'a str>) {
    if let Some(text) = json.text().filter(|text| text.starts_with("arn:")) {
        arns.push(text);
    }
    json.elements().unwrap_or_default().iter().for_each(|element| collect_arns(element, arns));
    json.members().unwrap_or_default().iter().for_each(|(_, value)| collect_arns(value, arns));
}
