//! What is printed and written: each number beside what it is compared with, and the goal.

use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) countersign: f64,
    /// The same of the flow written by hand, or of whatever it is compared with.
    pub(crate) bare: Option<f64>,
    /// Of the medians.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: String,
    /// How many times better than the goal it is, which is met at 1. None if there is no goal.
    pub(crate) of_goal: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// A number that is compared with that of bare.
    pub(crate) fn beside(&mut self, what: &str, unit: &'static str, of: (f64, f64), goal: Goal) {
        let (countersign, bare) = of;
        self.add(what, unit, countersign, Some(bare), Some(countersign / bare), goal);
    }

    /// A number that is held against a goal of its own.
    pub(crate) fn alone(&mut self, what: &str, unit: &'static str, of: f64, goal: Goal) {
        self.add(what, unit, of, None, None, goal);
    }

    fn add(
        &mut self,
        what: &str,
        unit: &'static str,
        countersign: f64,
        bare: Option<f64>,
        ratio: Option<f64>,
        goal: Goal,
    ) {
        let held = ratio.unwrap_or(countersign);
        let of = if ratio.is_some() { " × bare" } else { "" };
        let (goal, of_goal) = match goal {
            Goal::AtLeast(least) => (format!("at least {least}{of}"), Some(held / least)),
            // What is next to nothing is no reason to divide by it.
            Goal::AtMost(most) => (format!("at most {most}{of}"), Some(most / held.max(most / 1_000.0))),
            Goal::None => (String::new(), None),
        };
        let row = Row { what: what.to_owned(), unit, countersign, bare, ratio, goal, of_goal };
        println!("{}", row.line());
        self.0.push(row);
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.0
    }

    pub(crate) fn head() {
        println!("{:<52} {:>10} {:>10} {:>7}  goal", "", "here", "bare", "ratio");
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Row {
    fn line(&self) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), short);
        let is_met = match self.of_goal {
            Some(times) if times >= 1.0 => "met",
            Some(_) => "NOT MET",
            None => "",
        };
        let what = format!("{} [{}]", self.what, self.unit);
        let (here, bare, ratio) = (short(self.countersign), number(self.bare), number(self.ratio));
        format!("{what:<52} {here:>10} {bare:>10} {ratio:>7}  {:<22} {is_met}", self.goal)
    }
}

/// Three digits, as far as there are.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
