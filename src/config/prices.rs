//! The prices of capacity units, by which savings are shown in money.

use std::fmt;

use crate::model::capacity::Units;

/// How tables are billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// By the unit.
    OnDemand,
    /// By the hour for each unit a second that is held ready.
    Provisioned,
}

/// The prices of capacity units.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// How tables are billed.
    pub billing: Billing,
    /// The name of the currency.
    pub currency: String,
    /// Where and when the prices hold, for those who read the sums.
    pub valid: String,
    /// Of a million read units, on demand.
    pub read_million: Price,
    /// Of a million write units, on demand.
    pub write_million: Price,
    /// Of a provisioned read unit for an hour.
    pub read_unit_hour: Price,
    /// Of a provisioned write unit for an hour.
    pub write_unit_hour: Price,
}

/// An amount of money: a finite number that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Price(f64);

/// A provisioned unit serves one unit a second.
const UNITS_OF_AN_HOUR: f64 = 3600.0;

impl Price {
    /// A price from a number as it is written; `None` for what is none.
    pub fn parse(written: &str) -> Option<Self> {
        let price = written.replace('_', "").parse::<f64>().ok()?;
        (price.is_finite() && price >= 0.0).then_some(Self(price))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A number of TOML has a point, or it is no float.
        write!(formatter, "{:?}", self.0)
    }
}

impl Prices {
    /// What read units cost. Of provisioned capacity it is the least that has to be held ready for them, evenly spread.
    pub fn of_reads(&self, units: Units) -> f64 {
        self.of(units, self.read_million, self.read_unit_hour)
    }

    /// What write units cost, as above.
    pub fn of_writes(&self, units: Units) -> f64 {
        self.of(units, self.write_million, self.write_unit_hour)
    }

    /// What the sums are made with: `on-demand, us-east-1, 2024-11`.
    pub fn describe(&self) -> String {
        let billing = match self.billing {
            Billing::OnDemand => "on-demand",
            Billing::Provisioned => "provisioned",
        };
        format!("{billing}, {}", self.valid)
    }

    fn of(&self, units: Units, million: Price, unit_hour: Price) -> f64 {
        let units = units.number();
        match self.billing {
            Billing::OnDemand => units / 1e6 * million.0,
            Billing::Provisioned => units / UNITS_OF_AN_HOUR * unit_hour.0,
        }
    }
}

impl Default for Prices {
    /// Those of us-east-1 for tables of the standard class: on demand since November 2024, provisioned for longer.
    fn default() -> Self {
        Self {
            billing: Billing::OnDemand,
            currency: "USD".to_owned(),
            valid: "us-east-1, 2024-11".to_owned(),
            read_million: Price(0.125),
            write_million: Price(0.625),
            read_unit_hour: Price(0.00013),
            write_unit_hour: Price(0.00065),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_cost_by_the_million_or_by_the_hours_that_they_fill() {
        let prices = Prices::default();
        let units = Units::from_halves(2 * 7_200_000);
        assert!((prices.of_reads(units) - 0.9).abs() < 1e-9);
        assert!((prices.of_writes(units) - 4.5).abs() < 1e-9);
        assert_eq!(prices.describe(), "on-demand, us-east-1, 2024-11");
        let prices = Prices { billing: Billing::Provisioned, ..prices };
        // 2,000 units a second for an hour.
        assert!((prices.of_reads(units) - 0.26).abs() < 1e-9);
        assert!((prices.of_writes(units) - 1.3).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_price_is_not_read() {
        for written in ["", "-1", "nan", "inf", "1e999", "a"] {
            assert_eq!(Price::parse(written), None, "{written}");
        }
        assert_eq!(Price::parse("0"), Some(Price(0.0)));
        assert_eq!(Price::parse("1.3e-4").map(|price| price.to_string()), Some("0.00013".to_owned()));
    }
}
