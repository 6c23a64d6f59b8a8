//! The span of one attempt to send a request, where it is recorded (feature `otlp`), and how the upstream hears of the trace.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::call::Request;
#[cfg(feature = "otlp")]
use crate::call::{CallSpan, SpanFacts};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// An attempt to send a request.
pub(super) struct AttemptSpan {
    #[cfg(feature = "otlp")]
    call: Option<CallSpan>,
}

impl AttemptSpan {
    /// An attempt that begins now.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(unused_variables, reason = "nothing is recorded without the feature")
    )]
    pub(super) fn begin(request: &Request) -> Self {
        Self {
            #[cfg(feature = "otlp")]
            call: request.trace.as_ref().and_then(|trace| trace.begin_call()),
        }
    }

    /// Names the trace of a request. Both headers stay unsigned, so that a proxy on the way may take part in the trace.
    pub(super) fn insert_headers(&self, request: &Request, headers: &mut HeaderMap) {
        let Some(trace) = &request.trace else { return };
        let parent = trace.parent_header();
        #[cfg(feature = "otlp")]
        let parent = self.call.as_ref().map_or(parent, |call| trace.parent_header_of(call));
        let parent = HeaderValue::try_from(parent).ok();
        let state = trace.state_header().and_then(|state| HeaderValue::try_from(state).ok());
        headers.extend(parent.map(|parent| (TRACE_PARENT, parent)));
        headers.extend(state.map(|state| (TRACE_STATE, state)));
    }

    /// The attempt has ended: with that status, or without an answer; and with that error.
    #[cfg(feature = "otlp")]
    pub(super) fn end(self, request: &Request, (status, error): (Option<u16>, Option<String>)) {
        let (Some(call), Some(trace)) = (self.call, &request.trace) else { return };
        let table = super::table_of(&request.body);
        let table = (!table.is_empty()).then_some(table);
        let operation = request.operation;
        trace.end_call(call, SpanFacts { operation, table, status, error, source: None, request_id: None });
    }
}
