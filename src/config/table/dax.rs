//! The keys of `[dax]`.

use super::super::key::Key;
use super::{list, path, put, quoted};

pub(super) const DAX: &[Key] = &[
    Key::fixed(
        "listen",
        |draft, given| put(&mut draft.fixed.dax.listen, given.parsed().map(Some)),
        |fixed| fixed.dax.listen.as_ref().and_then(quoted),
    )
    .with_flag(
        "dax-listen",
        "ADDRESS",
        "Where DAX clients connect, such as 127.0.0.1:8111 [default: nowhere]",
    ),
    Key::fixed(
        "tls_listen",
        |draft, given| put(&mut draft.fixed.dax.tls_listen, given.parsed().map(Some)),
        |fixed| fixed.dax.tls_listen.as_ref().and_then(quoted),
    )
    .with_flag(
        "dax-tls-listen",
        "ADDRESS",
        "Where DAX clients connect with TLS, such as 127.0.0.1:9111 [default: nowhere]",
    ),
    Key::fixed(
        "advertise",
        |draft, given| put(&mut draft.fixed.dax.advertise, given.list("\"127.0.0.1:18111\"")),
        |fixed| list(&fixed.dax.advertise),
    )
    .with_flag(
        "dax-advertise",
        "ADDRESSES",
        "Where DAX clients are told to connect, where that is not the address that they find [default: none]",
    ),
    Key::fixed(
        "state",
        |draft, given| put(&mut draft.fixed.dax.state, given.path().map(Some)),
        |fixed| fixed.dax.state.as_deref().and_then(path),
    ),
];
