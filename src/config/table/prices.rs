//! The keys of `[prices]`.

use super::super::key::Key;
use super::super::prices::Billing;
use super::{bare, put, quoted, word};

const BILLING: &[(&str, Billing)] =
    &[("on-demand", Billing::OnDemand), ("provisioned", Billing::Provisioned)];

pub(super) const PRICES: &[Key] = &[
    Key::live(
        "mode",
        |live, given| put(&mut live.prices.billing, given.choice(BILLING)),
        |live| word(BILLING, &live.prices.billing),
    ),
    Key::live(
        "currency",
        |live, given| put(&mut live.prices.currency, given.string().and_then(currency)),
        |live| quoted(&live.prices.currency),
    ),
    Key::live(
        "valid",
        |live, given| put(&mut live.prices.valid, given.string().and_then(validity)),
        |live| quoted(&live.prices.valid),
    ),
    Key::live(
        "read_million",
        |live, given| put(&mut live.prices.read_million, given.price()),
        |live| bare(live.prices.read_million),
    ),
    Key::live(
        "write_million",
        |live, given| put(&mut live.prices.write_million, given.price()),
        |live| bare(live.prices.write_million),
    ),
    Key::live(
        "read_unit_hour",
        |live, given| put(&mut live.prices.read_unit_hour, given.price()),
        |live| bare(live.prices.read_unit_hour),
    ),
    Key::live(
        "write_unit_hour",
        |live, given| put(&mut live.prices.write_unit_hour, given.price()),
        |live| bare(live.prices.write_unit_hour),
    ),
];

/// The longest name of a currency, and of where and when prices hold.
const NAME_CHARS_MAX: usize = 64;

fn currency(name: &str) -> Result<String, String> {
    let is_name = name.len() <= NAME_CHARS_MAX && name.chars().all(|c| c.is_ascii_alphanumeric());
    is_name.then(|| name.to_owned()).ok_or_else(|| format!("{name:?} is not a currency; write \"USD\""))
}

fn validity(words: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ,.-/".contains(c);
    let is_short = words.len() <= NAME_CHARS_MAX;
    (is_short && words.chars().all(is_plain)).then(|| words.to_owned()).ok_or_else(|| {
        format!("{words:?} does not say where and when prices hold; write \"us-east-1, 2024-11\"")
    })
}
