//! One record of a change, as it is stored and as GetRecords tells it.
//!
//! Stored are the event, who made it, the sizes of keys and images as the service counts them, and their JSON texts, ready to
//! be sent. An image that the stream does not show is not stored.

use md5::{Digest, Md5};

use crate::local::answer::ObjectWriter;
use crate::local::rows;
use crate::local::set_order::write_hashed;
use crate::local::store::StoreError;
use crate::model::Item;
use crate::model::placement::HASH_BYTES;
use crate::model::value::item_size_bytes;
use crate::wire::attribute::write_item;
use crate::wire::json::write_string;

use super::definition::{SequenceNumber, ViewType};

/// The bytes before the texts: event, actor, three sizes, two lengths.
const HEAD_BYTES: usize = 2 + 5 * 4;

/// Who changed an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A client.
    Client,
    /// The service, since the item's time was over.
    Expiry,
}

/// A change of an item. One of the rows is there at least.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// The item's store key, which begins with the hash that chooses the shard.
    pub(crate) store_key: &'a [u8],
    /// The item's key attributes.
    pub(crate) keys: &'a Item,
    /// The stored form of the item that was there.
    pub(crate) old_row: Option<&'a [u8]>,
    /// The stored form of the item that is there now.
    pub(crate) new_row: Option<&'a [u8]>,
    /// Who changed it.
    pub(crate) actor: Actor,
}

impl Change<'_> {
    /// The hash of the item's partition.
    pub(in crate::local) fn hash(&self) -> u32 {
        self.store_key.iter().take(HASH_BYTES).fold(0, |hash, byte| hash << 8 | u32::from(*byte))
    }

    /// The stored form, with what the view shows.
    pub(in crate::local) fn encode(&self, view: ViewType) -> Vec<u8> {
        let old = self.old_row.filter(|_| view.has_old());
        let new = self.new_row.filter(|_| view.has_new());
        let images = old.map_or(0, <[u8]>::len) + new.map_or(0, <[u8]>::len);
        let mut out = Vec::with_capacity(HEAD_BYTES + 128 + images);
        out.push(match (self.old_row, self.new_row) {
            (None, _) => b'I',
            (Some(_), Some(_)) => b'M',
            (Some(_), None) => b'R',
        });
        out.push(match self.actor {
            Actor::Client => b'C',
            Actor::Expiry => b'E',
        });
        let size = |row: Option<&[u8]>| row.map_or(0, rows::size_bytes);
        let text = |row: Option<&[u8]>| row.map_or(0, |row| rows::json_text(row).len());
        for number in [item_size_bytes(self.keys), size(new), size(old), 0, text(new)] {
            out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        write_item(self.keys, &mut out);
        let keys_bytes = u32::try_from(out.len() - HEAD_BYTES).unwrap_or(u32::MAX);
        out[HEAD_BYTES - 8..HEAD_BYTES - 4].copy_from_slice(&keys_bytes.to_le_bytes());
        for row in [new, old].into_iter().flatten() {
            out.extend_from_slice(rows::json_text(row));
        }
        out
    }
}

/// A stored record.
#[derive(Clone, Copy, Debug)]
pub(in crate::local) struct Record<'a> {
    event: u8,
    actor: u8,
    /// The size of keys and images, as the service counts it.
    pub(in crate::local) size_bytes: usize,
    keys: &'a [u8],
    new_image: &'a [u8],
    old_image: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a stored record.
    ///
    /// # Errors
    /// [`StoreError`] when it is not one.
    pub(in crate::local) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let broken = || StoreError("a record of a stream is unreadable".to_owned());
        let (head, texts) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(broken)?;
        let number = |position: usize| {
            let at = 2 + 4 * position;
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let (keys, images) = texts.split_at_checked(number(3)).ok_or_else(broken)?;
        let (new_image, old_image) = images.split_at_checked(number(4)).ok_or_else(broken)?;
        let size_bytes = number(0) + number(1) + number(2);
        Ok(Self { event: head[0], actor: head[1], size_bytes, keys, new_image, old_image })
    }

    /// The item's key attributes, as JSON.
    pub(in crate::local) fn keys_json(&self) -> &'a [u8] {
        self.keys
    }

    /// The item after the change, as JSON; empty when the stream does not show it.
    pub(in crate::local) fn new_image_json(&self) -> &'a [u8] {
        self.new_image
    }

    /// True when no item was left by the change.
    pub(in crate::local) fn is_removal(&self) -> bool {
        self.event == b'R'
    }

    /// Appends the record as GetRecords tells it.
    pub(in crate::local) fn write_json(
        &self,
        number: SequenceNumber,
        space: u64,
        view: ViewType,
        region: &str,
        out: &mut Vec<u8>,
    ) {
        let mut change = ObjectWriter::with_capacity(256 + self.keys.len() + self.new_image.len());
        let mut digits = itoa::Buffer::new();
        let seconds = number.ms() / 1000;
        change.member("ApproximateCreationDateTime").extend_from_slice(digits.format(seconds).as_bytes());
        change.member("Keys").extend_from_slice(self.keys);
        for (name, image) in [("NewImage", self.new_image), ("OldImage", self.old_image)] {
            if !image.is_empty() {
                write_hashed(image, change.member(name));
            }
        }
        write_string(&number.to_string(), change.member("SequenceNumber"));
        change.member("SizeBytes").extend_from_slice(digits.format(self.size_bytes).as_bytes());
        write_string(view.name(), change.member("StreamViewType"));
        let mut record = ObjectWriter::with_capacity(512);
        write_string(&event_id(number, space), record.member("eventID"));
        write_string(self.event_name(), record.member("eventName"));
        write_string("1.1", record.member("eventVersion"));
        write_string("aws:dynamodb", record.member("eventSource"));
        write_string(region, record.member("awsRegion"));
        record.member("dynamodb").extend_from_slice(&change.finish());
        if self.actor == b'E' {
            record
                .member("userIdentity")
                .extend_from_slice(br#"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#);
        }
        out.extend_from_slice(&record.finish());
    }

    fn event_name(&self) -> &'static str {
        match self.event {
            b'I' => "INSERT",
            b'R' => "REMOVE",
            _ => "MODIFY",
        }
    }
}

/// The same for the same record whenever it is read, and no other's.
fn event_id(number: SequenceNumber, space: u64) -> String {
    let mut digest = Md5::new();
    digest.update(space.to_be_bytes());
    digest.update(number.key());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
