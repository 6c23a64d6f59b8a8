//! The canonical bytes of a page.

use crate::model::canonical::{write_key_value, write_length, write_list, write_optional, write_text};
use crate::model::expr::Condition;
use crate::model::key::Direction;
use crate::model::placement::Segment;
use crate::model::schema::TableSchema;
use crate::model::{Key, KeySchema};

use super::{Output, PageRange, PageRequest, RowSource, StartKey, source_key};

impl PageRequest {
    /// Appends canonical bytes of the page within its table: requests of equal bytes mean the same page, however they were
    /// written. `schema` must be the one that the request was read with.
    ///
    /// What is asked of consistency and capacity does not belong to the page. The index stands there by its name, and what is
    /// read with the names of its key attributes: positions and values alone would mean something else under a later schema.
    ///
    /// The bytes are about as many as the request's own; the service's limits leave room for megabytes of them.
    pub fn write_fingerprint(&self, schema: &TableSchema, out: &mut Vec<u8>) {
        // Taken apart whole, so that a new member cannot be forgotten here.
        let Self { index, range, filter, output, rows, limit, direction, start, consistent: _, consumed: _ } =
            self;
        let index = index.and_then(|position| schema.indexes.get(position));
        write_optional(index, out, |index, out| write_text(&index.name, out));
        write_names(source_key(schema, index), out);
        write_range(range, out);
        write_optional(filter.as_ref(), out, Condition::write_canonical);
        write_output(output, out);
        out.push(match rows {
            RowSource::Itself => b'i',
            RowSource::Table => b't',
        });
        write_optional(*limit, out, write_length);
        out.push(match direction {
            Direction::Forward => b'f',
            Direction::Backward => b'b',
        });
        write_optional(start.as_ref(), out, |start, out| {
            let StartKey { table, index } = start;
            write_key(table, out);
            write_optional(index.as_ref(), out, write_key);
        });
    }
}

fn write_names(key: &KeySchema, out: &mut Vec<u8>) {
    write_list(&key.partition, out, |attribute, out| write_text(&attribute.name, out));
    write_list(&key.sort, out, |attribute, out| write_text(&attribute.name, out));
}

fn write_range(range: &PageRange, out: &mut Vec<u8>) {
    match range {
        PageRange::Query(interval) => {
            out.push(b'q');
            interval.write_canonical(out);
        }
        PageRange::Scan(segment) => {
            out.push(b's');
            write_optional(*segment, out, |Segment { segment, total }, out| {
                out.extend_from_slice(&segment.to_le_bytes());
                out.extend_from_slice(&total.to_le_bytes());
            });
        }
    }
}

fn write_output(output: &Output, out: &mut Vec<u8>) {
    match output {
        Output::Count => out.push(b'c'),
        Output::Rows => out.push(b'r'),
        Output::Paths(paths) => {
            out.push(b'p');
            paths.write_canonical(out);
        }
    }
}

fn write_key(key: &Key, out: &mut Vec<u8>) {
    write_list(key.partition(), out, write_key_value);
    write_list(key.sort(), out, write_key_value);
}
