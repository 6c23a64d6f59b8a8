//! Heads that were read lately. A client sends almost the same head with each call, so most heads need not be read, only compared.
//!
//! A head that is kept has fixed parts and variable ones, such as a signature or a date. Another head is like it if it is as long,
//! has the same bytes in all fixed parts, and in each variable part only bytes that mean nothing to any reader of HTTP, nor of
//! credentials. Then it says the same, but for the length of the body. Everything else is read.
//!
//! The heads are the thread's. What varies of them is not kept, and nothing of them is ever shown.

use std::cell::RefCell;
use std::ops::Range;

use super::head::is_same_name;
use super::plain_request::{Call, Message, Sight, body_length, fields_of, read};
use crate::call::Attempt;
use crate::model::Operation;

/// How many heads a thread keeps. Each call may be compared with all of them.
const KEPT_MAX: usize = 8;

/// One in so many heads that were read is kept. Where no head comes twice, nearly nothing is spent on keeping them.
const READ_PER_KEPT: u32 = 8;

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { heads: Vec::new(), read: 0 }) };
}

/// Looks at bytes with which a message begins: the very sight that [`read`] gives.
pub(super) fn look(bytes: &[u8]) -> Sight<'_> {
    RECENT.with_borrow_mut(|recent| recent.look(bytes))
}

/// The heads of one thread.
#[derive(Default)]
pub(super) struct Recent {
    /// One that is met moves forward.
    heads: Vec<KnownHead>,
    /// How many were read.
    read: u32,
}

impl Recent {
    pub(super) fn look<'a>(&mut self, bytes: &'a [u8]) -> Sight<'a> {
        if let Some(message) = self.meet(bytes) {
            return Sight::Message(message);
        }
        let sight = read(bytes);
        if let Sight::Message(Message { call: Some(call), .. }) = &sight {
            self.read = self.read.wrapping_add(1);
            if self.read % READ_PER_KEPT == 1 {
                self.keep(KnownHead::of(bytes, call));
            }
        }
        sight
    }

    /// The message that begins with these bytes, if it has a head like one that is kept.
    pub(super) fn meet<'a>(&mut self, bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut heads = self.heads.iter().enumerate();
        let (place, message) = heads.find_map(|(place, head)| Some((place, head.meet(bytes)?)))?;
        if place > 0 {
            self.heads.swap(place, place - 1);
        }
        Some(message)
    }

    /// Keeps a head in place of the one that has not been met for longest, or nearly so.
    fn keep(&mut self, head: KnownHead) {
        self.heads.truncate(KEPT_MAX - 1);
        self.heads.push(head);
    }
}

/// A head that was read.
struct KnownHead {
    /// Its bytes. Those of the variable parts are zero.
    bytes: Vec<u8>,
    /// In their order.
    variable: Vec<Variable>,
    /// Where the number of the body's bytes stands, which varies as well.
    body_length: Range<usize>,
    host: Range<usize>,
    operation: Operation,
    attempt: Attempt,
}

/// A part of a head that is different with each call.
struct Variable {
    place: Range<usize>,
    alphabet: Alphabet,
}

/// The bytes that may stand in a variable part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    /// The digits of a number, of which the first is not zero.
    Number,
    /// Letters and digits, and the hyphens of an identifier.
    Words,
}

impl Alphabet {
    fn has(self, text: &[u8]) -> bool {
        // Not `all`, which would stop at the first and so look at one byte at a time.
        let is_digit = |byte: u8| byte.wrapping_sub(b'0') <= 9;
        match self {
            Self::Number => {
                text.first() != Some(&b'0') && text.iter().fold(true, |fit, byte| fit & is_digit(*byte))
            }
            Self::Words => text.iter().fold(true, |fit, byte| {
                let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
                fit & (is_letter | is_digit(*byte) | (*byte == b'-'))
            }),
        }
    }

    /// That of a header's value, or of its end, and how much of it is fixed.
    fn of(name: &[u8], value: &[u8]) -> Option<(Self, usize)> {
        const SIGNATURE: &[u8] = b"Signature=";
        let is = |other| name.len() == str::len(other) && is_same_name(name, other);
        if is("content-length") {
            Some((Self::Number, 0))
        } else if is("x-amz-date") || is("amz-sdk-invocation-id") || is("x-amz-content-sha256") {
            Some((Self::Words, 0))
        } else if is("authorization") {
            // A signature that is not the last of the value stays fixed, and such heads are read each time.
            let fixed = memchr::memmem::rfind(value, SIGNATURE)? + SIGNATURE.len();
            Some((Self::Words, fixed))
        } else {
            None
        }
    }
}

impl KnownHead {
    /// What is kept of the head of a call, with which `bytes` begin.
    fn of(bytes: &[u8], call: &Call<'_>) -> Self {
        let place_of = |part: &[u8]| {
            let start = part.as_ptr().addr() - bytes.as_ptr().addr();
            start..start + part.len()
        };
        let (mut variable, mut body_length) = (Vec::new(), 0..0);
        for (name, value) in fields_of(call.lines) {
            let Some((alphabet, fixed)) = Alphabet::of(name, value) else { continue };
            let varying = &value[fixed..];
            if varying.is_empty() || !alphabet.has(varying) {
                continue;
            }
            if alphabet == Alphabet::Number {
                body_length = place_of(varying);
            }
            variable.push(Variable { place: place_of(varying), alphabet });
        }
        let mut kept = bytes[..bytes.len() - call.body.len()].to_vec();
        for Variable { place, .. } in &variable {
            kept[place.clone()].fill(0);
        }
        let (operation, attempt, host) = (call.operation, call.attempt, place_of(call.host.as_bytes()));
        Self { bytes: kept, variable, body_length, host, operation, attempt }
    }

    /// The message that begins with these bytes, if it has a head like this one.
    fn meet<'a>(&self, bytes: &'a [u8]) -> Option<Message<'a>> {
        let head = bytes.get(..self.bytes.len())?;
        let mut at = 0;
        for Variable { place, alphabet } in &self.variable {
            if head[at..place.start] != self.bytes[at..place.start] || !alphabet.has(&head[place.clone()]) {
                return None;
            }
            at = place.end;
        }
        if head[at..] != self.bytes[at..] {
            return None;
        }
        let text = |place: &Range<usize>| str::from_utf8(&head[place.clone()]).ok();
        let body_bytes = body_length(text(&self.body_length)?)?;
        let call =
            Call::alone(bytes, head.len(), body_bytes, self.operation, self.attempt, text(&self.host)?);
        Some(Message { length: head.len() + body_bytes, call })
    }
}
