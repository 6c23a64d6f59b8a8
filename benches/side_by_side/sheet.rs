//! The results: a table that grows line by line, and what of it is drawn.

use crate::load::Measured;
use crate::plot::{Bar, Group};

/// Which figure of a part is drawn.
#[derive(Clone, Copy)]
pub(crate) enum Drawn {
    Cpu,
    P99,
}

/// One side of a part: what it is called, and its rounds. The rounds of all sides of a part are in step.
pub(crate) struct Rounds {
    pub(crate) side: String,
    pub(crate) measured: Vec<Measured>,
}

/// Everything measured so far.
#[derive(Default)]
pub(crate) struct Sheet {
    groups: Vec<Group>,
}

impl Sheet {
    /// Prints the columns' names.
    pub(crate) fn begin(&self) {
        println!(
            "| {:<34} | {:<20} | {:>10} | {:>8} | {:>8} | {:>8} | {:>8} | {:>6} | {:>6} | {:>6} |",
            "", "", "requests/s", "CPU µs", "p50 µs", "p99 µs", "p99.9 µs", "hits %", "CPU ×", "p99 ×"
        );
        println!("|{}|---|---|---|---|---|---|---|---|---|", "-".repeat(36));
    }

    /// Prints a line for each side: medians over its rounds, and the medians of its ratios to the first side in the same round.
    pub(crate) fn add(&mut self, part: &str, drawn: Drawn, sides: &[Rounds]) {
        let Some(first) = sides.first() else { return };
        let mut bars = Vec::new();
        for rounds in sides {
            let figure = |read: fn(&Measured) -> f64| median(rounds.measured.iter().map(read));
            let ratio = |read: fn(&Measured) -> f64| {
                median(
                    rounds.measured.iter().zip(&first.measured).map(|(ours, first)| read(ours) / read(first)),
                )
            };
            let (cpu, p99) = (ratio(|round| round.cpu_us), ratio(|round| round.p99_us));
            println!(
                "| {part:<34} | {:<20} | {:>10.0} | {} | {:>8.0} | {:>8.0} | {:>8.0} | {} | {} | {p99:>6.2} |",
                rounds.side,
                figure(|round| round.requests_per_second),
                shown(figure(|round| round.cpu_us), 8, 2),
                figure(|round| round.p50_us),
                figure(|round| round.p99_us),
                figure(|round| round.p999_us),
                shown(figure(|round| round.hits * 100.0), 6, 1),
                shown(cpu, 6, 2),
            );
            let (figure, ratio) = match drawn {
                Drawn::Cpu => (figure(|round| round.cpu_us), cpu),
                Drawn::P99 => (figure(|round| round.p99_us), p99),
            };
            if ratio.is_finite() {
                let label = format!("{ratio:.2} × · {figure:.1} µs");
                bars.push(Bar { name: rounds.side.clone(), length: ratio, label });
            }
        }
        let what = match drawn {
            Drawn::Cpu => "CPU of the server for a request",
            Drawn::P99 => "p99 at equal load",
        };
        self.groups.push(Group { title: format!("{part}: {what}"), bars });
    }

    /// What is to be drawn.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// A figure of so many columns; a dash if it is not known.
fn shown(figure: f64, columns: usize, digits: usize) -> String {
    match figure.is_finite() {
        true => format!("{figure:>columns$.digits$}"),
        false => format!("{:>columns$}", "–"),
    }
}

/// The middle one; NaN if there is none.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
