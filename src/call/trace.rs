//! The trace that a request is a part of, as W3C's Trace Context has it: taken from a client, passed to a remote upstream, written in
//! log lines.
//!
//! Clients may write anything in the two headers. What is not valid counts as not there, so nothing else gets into log lines or into
//! what is sent upstream.

use std::fmt;
#[cfg(feature = "otlp")]
use std::time::{Duration, SystemTime};

#[cfg(feature = "otlp")]
use super::span::{self, CallSpan, Recording, Span, SpanFacts, SpanSide, SpanSink};

/// The most bytes of a `tracestate` that is passed on. Every party of a trace must pass on at least so many.
const STATE_BYTES_MAX: usize = 512;

/// The flag that says that the caller may have recorded its part.
const SAMPLED: u8 = 1;

/// The length of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;

/// A trace, and a place in it: of who sent a request, or of the span under which it is recorded here. Neither id is zero.
#[derive(Debug)]
pub struct Trace {
    id: TraceId,
    parent: u64,
    flags: u8,
    state: Option<Box<str>>,
    #[cfg(feature = "otlp")]
    recording: Option<Recording>,
}

/// The id of a trace, as it stands in log lines: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl Trace {
    /// The trace that a `traceparent` names, with what `tracestate` says beside it. `None` for one that is not valid.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        // Counted in bytes, and cut only where these are digits.
        let bytes = parent.as_bytes();
        let (head, rest) = bytes.split_at_checked(PARENT_BYTES)?;
        let version = digits(&head[..2])?;
        let is_cut = [2, 35, 52].iter().all(|&place| head[place] == b'-');
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            // A later version may add to the end.
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let (id, parent) = (digits(&head[3..35])?, digits(&head[36..52])?);
        let flags = digits(&head[53..])?;
        if !is_cut || !is_whole || id == 0 || parent == 0 {
            return None;
        }
        // Of a later version only this flag is known to mean the same.
        let flags = if version == 0 { flags } else { flags & u128::from(SAMPLED) };
        Some(Self {
            id: TraceId(id),
            parent: u64::try_from(parent).ok()?,
            flags: u8::try_from(flags).ok()?,
            state: state.filter(|state| is_sendable(state)).map(Box::from),
            #[cfg(feature = "otlp")]
            recording: None,
        })
    }

    /// Its id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The `traceparent` for the upstream.
    pub fn parent_header(&self) -> String {
        self.header_under(self.parent)
    }

    fn header_under(&self, parent: u64) -> String {
        format!("00-{}-{parent:016x}-{:02x}", self.id, self.flags)
    }

    /// The `tracestate` for the upstream.
    pub fn state_header(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

#[cfg(feature = "otlp")]
impl Trace {
    /// The trace of a request that is recorded here, under a span of its own: that which it came with, or a new one.
    pub fn recorded(received: Option<Self>, sink: SpanSink) -> Self {
        let recording = Some(Recording { sink, parent: received.as_ref().map(|trace| trace.parent) });
        let parent = span::random_id();
        match received {
            Some(trace) => Self { parent, flags: trace.flags | SAMPLED, recording, ..trace },
            None => Self { id: TraceId(fastrand::u128(1..)), parent, flags: SAMPLED, state: None, recording },
        }
    }

    /// True if its sender may have recorded its part.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The request has its answer, after so long.
    pub fn end(&self, took: Duration, facts: SpanFacts) {
        if let Some(recording) = &self.recording {
            let (begun, ended) = span::since(took);
            let (id, parent, side) = (self.parent, recording.parent, SpanSide::Server);
            let state = self.state.clone();
            recording.sink.put(Span { trace: self.id.0, id, parent, side, state, begun, ended, facts });
        }
    }

    /// A call of the upstream begins; `None` if the trace is not recorded here.
    pub fn begin_call(&self) -> Option<CallSpan> {
        self.recording.is_some().then(CallSpan::begin)
    }

    /// The call has ended.
    pub fn end_call(&self, call: CallSpan, facts: SpanFacts) {
        if let Some(recording) = &self.recording {
            let (trace, parent, side) = (self.id.0, Some(self.parent), SpanSide::Client);
            let (state, ended) = (self.state.clone(), SystemTime::now());
            let CallSpan { id, begun } = call;
            recording.sink.put(Span { trace, id, parent, side, state, begun, ended, facts });
        }
    }

    /// The `traceparent` of that call.
    pub fn parent_header_of(&self, call: &CallSpan) -> String {
        self.header_under(call.id)
    }
}

/// A number in lower-case hexadecimal digits, of which there are at most 32.
fn digits(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number, byte| match byte {
        b'0'..=b'9' => Some(number << 4 | u128::from(byte - b'0')),
        b'a'..=b'f' => Some(number << 4 | u128::from(byte - b'a' + 10)),
        _ => None,
    })
}

/// True for a `tracestate` that may be passed on. Its members are not looked at: they belong to other parties.
fn is_sendable(state: &str) -> bool {
    let is_visible = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
    (1..=STATE_BYTES_MAX).contains(&state.len()) && state.bytes().all(is_visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_header_is_passed_on_as_it_came() {
        let trace = Trace::parse(PARENT, Some("congo=t61rcWkgMzE,rojo=1")).unwrap();
        assert_eq!(trace.parent_header(), PARENT);
        assert_eq!(trace.id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.state_header(), Some("congo=t61rcWkgMzE,rojo=1"));
        for flags in ["00", "01", "03", "ff"] {
            let parent = format!("{}{flags}", &PARENT[..53]);
            assert_eq!(Trace::parse(&parent, None).unwrap().parent_header(), parent);
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for tail in ["", "-", "-more-of-it"] {
            let parent = format!("cc{}ff{tail}", &PARENT[2..53]);
            assert_eq!(Trace::parse(&parent, None).unwrap().parent_header(), PARENT, "{parent}");
        }
    }

    #[test]
    fn what_is_not_valid_is_not_there() {
        let zeros =
            |from: usize, to: usize| format!("{}{}{}", &PARENT[..from], "0".repeat(to - from), &PARENT[to..]);
        for parent in [
            "",
            "00",
            "nonsense",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &format!("{PARENT}-"),
            &format!("{PARENT}0"),
            &format!("cc{}0", &PARENT[2..]),
            &format!("ff{}", &PARENT[2..]),
            &format!(" {PARENT}"),
            &PARENT.replace('-', "_"),
            &PARENT.replace("4b", "4g"),
            &PARENT.replace("4b", "+b"),
            &PARENT.replace("4b", "é"),
            &zeros(3, 35),
            &zeros(36, 52),
        ] {
            assert!(Trace::parse(parent, None).is_none(), "{parent}");
        }
    }

    #[test]
    fn a_state_that_no_header_can_carry_or_that_is_too_long_is_left_out() {
        for state in ["", "a=\n", "a=é", &"a".repeat(513)] {
            assert_eq!(Trace::parse(PARENT, Some(state)).unwrap().state_header(), None, "{state}");
        }
        assert!(Trace::parse(PARENT, Some(&"a".repeat(512))).unwrap().state_header().is_some());
    }
}
