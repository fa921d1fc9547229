//! What one execution may use, and what one tenant may: every limit by its name, with its default and its bounds. Pure.
//!
//! *Limits* are of one execution. They are recorded with it when it starts, so that a replay has the same. *Quotas* are
//! of a tenant, count over all of its executions, and take effect at once. A tenant's settings are a JSON object of the
//! names below; what it does not name has its default. An agent may lower the limits of its tenant, never raise them.

use serde_json::{Map, Value};

use crate::execution::Failure;
use crate::json;

/// One limit or quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// In settings, in `usage`, and in the message of who reaches it.
    pub name: &'static str,
    pub unit: &'static str,
    pub about: &'static str,
    pub default: u64,
    /// What it may be set to.
    pub min: u64,
    pub max: u64,
}

/// A setting that is not taken. Says which, and what it may be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadLimit {
    #[error("there is no limit {0:?}; docs/limits.md lists them")]
    Unknown(String),
    #[error("{} is a whole number of {}, {} to {}", .0.name, .0.unit, .0.min, .0.max)]
    OutOfBounds(Bound),
    #[error("limits are a JSON object of names and numbers")]
    NotAnObject,
}

/// A struct of limits, and the table of them, made from one list.
macro_rules! bounds {
    ($(#[$doc:meta])* $name:ident {
        $( $(#[doc = $about:literal])+ $field:ident: $unit:literal = $default:expr, $min:expr, $max:expr; )*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        // What was recorded before a limit had a name has that one's default.
        #[serde(default)]
        pub struct $name {
            $( $(#[doc = $about])+ pub $field: u64, )*
        }

        impl $name {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Bound] = &[$( Bound {
                name: stringify!($field), unit: $unit, about: concat!($($about),+).trim_ascii(),
                default: $default, min: $min, max: $max,
            }, )*];

            /// The value of the limit of this name.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $( stringify!($field) => Some(self.$field), )*
                    _ => None,
                }
            }

            fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $( stringify!($field) => Some(&mut self.$field), )*
                    _ => None,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }
    };
}

bounds! {
    /// What one execution may use. It fails by itself if it wants more; nothing else happens.
    Limits {
        /// Linear memory of one instance, summed over all its memories. `memory.grow` beyond it returns -1.
        memory_bytes: "bytes" = 128 << 20, 1 << 20, 4 << 30;
        /// Elements of all tables of one instance together. `table.grow` beyond it returns -1.
        table_elements: "elements" = 20_000, 0, 1_000_000;
        /// What a guest may pass to the host in one call.
        host_call_bytes: "bytes" = 2 << 20, 64 << 10, 16 << 20;
        /// Handles that a guest holds at once.
        handles: "handles" = 1_000, 10, 10_000;
        /// CPU time between two answers.
        slice_cpu_ms: "milliseconds" = 10_000, 10, 600_000;
        /// CPU time of one attempt beyond its journal: replay does not count.
        attempt_cpu_ms: "milliseconds" = 60_000, 10, 3_600_000;
        /// Asks in all.
        asks: "asks" = 10_000, 1, 200_000;
        /// Asks that are open at once.
        open_asks: "asks" = 1_000, 1, 1_000;
        /// Pauses in all.
        pauses: "pauses" = 1_000, 0, 200_000;
        /// How deep calls may nest, counted from the execution that a client started.
        call_depth: "calls" = 8, 0, 8;
        /// Executions that it may call in all, itself and through those that it called.
        children: "executions" = 256, 0, 200_000;
        /// One journal entry: the ask and its answer.
        entry_bytes: "bytes" = 2 << 20, 1 << 10, 4 << 20;
        /// The whole journal.
        journal_bytes: "bytes" = 32 << 20, 64 << 10, 64 << 20;
        /// What it prints that is kept, in all. The rest is dropped.
        log_bytes: "bytes" = 8 << 20, 0, 64 << 20;
    }
}

bounds! {
    /// What one tenant may use, over all its executions. What would need more is refused, and may be tried again later.
    Quotas {
        /// Executions that run at once, on one host.
        running: "executions" = 64, 1, 10_000;
        /// Executions that have not ended.
        unfinished: "executions" = 200_000, 1, 100_000_000;
        /// Executions started in one second, over a few seconds.
        starts_per_second: "executions per second" = 1_000, 1, 100_000;
        /// Requests in one second, over a few seconds, on one host.
        requests_per_second: "requests per second" = 2_000, 1, 100_000;
        /// Pauses that are open at once.
        open_pauses: "pauses" = 200_000, 1, 100_000_000;
        /// Components, journals, inputs, results and logs that are kept.
        stored_bytes: "bytes" = 10 << 30, 1 << 20, 1 << 50;
        /// One component that is uploaded.
        component_bytes: "bytes" = 32 << 20, 1 << 10, 64 << 20;
        /// CPU time for compiling uploads, in one hour.
        compile_seconds_per_hour: "seconds per hour" = 1_200, 1, 3_600_000;
    }
}

/// What an operator has set for a tenant: limits of its executions, and quotas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub limits: Limits,
    pub quotas: Quotas,
}

impl Settings {
    /// The settings of this JSON object; what it does not name has its default.
    pub fn parse(overrides: &Value) -> Result<Self, BadLimit> {
        let mut settings = Self::default();
        for (name, value) in object(overrides)? {
            let bound = Limits::ALL.iter().chain(Quotas::ALL).find(|bound| bound.name == name);
            let value = checked(bound, name, value)?;
            if let Some(field) = settings.limits.get_mut(name).or_else(|| settings.quotas.get_mut(name)) {
                *field = value;
            }
        }
        Ok(settings)
    }

    /// The settings of an object that was taken, perhaps by another version of the host: what has no name any more is
    /// passed over, and what is out of bounds now has the nearest that is within.
    pub fn kept(overrides: &Value) -> Self {
        let mut settings = Self::default();
        for (bound, value) in known(Limits::ALL.iter().chain(Quotas::ALL), overrides) {
            let quotas = &mut settings.quotas;
            if let Some(field) = settings.limits.get_mut(bound.name).or_else(|| quotas.get_mut(bound.name)) {
                *field = value;
            }
        }
        settings
    }

    /// The same of its JSON text.
    pub fn read(overrides: &str) -> serde_json::Result<Self> {
        serde_json::from_str(overrides).map(|set| Self::kept(&set))
    }
}

impl Limits {
    /// The failure of an execution whose journal would get an entry of `entry` bytes and have `journal` in all, if it may
    /// not.
    pub fn journal_failure(&self, entry: usize, journal: usize) -> Option<Failure> {
        let why = if entry as u64 > self.entry_bytes {
            format!("a journal entry would have {entry} bytes; at most {} (limit `entry_bytes`)", self.entry_bytes)
        } else if journal as u64 > self.journal_bytes {
            format!("the journal would have {journal} bytes; at most {} (limit `journal_bytes`)", self.journal_bytes)
        } else {
            return None;
        };
        Some(Failure::guest("journal_limit", why))
    }

    /// These, lowered to what an agent asks for itself. What would raise them is without effect.
    pub fn lowered(mut self, overrides: &Value) -> Result<Self, BadLimit> {
        for (name, value) in object(overrides)? {
            let value = checked(Self::ALL.iter().find(|bound| bound.name == name), name, value)?;
            if let Some(field) = self.get_mut(name) {
                *field = value.min(*field);
            }
        }
        Ok(self)
    }

    /// The same of an object that was taken before, as `Settings::kept`.
    pub fn lowered_as_kept(mut self, overrides: &Value) -> Self {
        for (bound, value) in known(Self::ALL.iter(), overrides) {
            if let Some(field) = self.get_mut(bound.name) {
                *field = value.min(*field);
            }
        }
        self
    }
}

/// What an object has of these bounds, each value within them.
fn known<'a>(bounds: impl Iterator<Item = &'a Bound>, overrides: &Value) -> impl Iterator<Item = (&'a Bound, u64)> {
    bounds.filter_map(|bound| Some((bound, whole(overrides.get(bound.name)?)?.clamp(bound.min, bound.max))))
}

fn whole(value: &Value) -> Option<u64> {
    json::whole(value.as_number()?)?.try_into().ok()
}

fn object(value: &Value) -> Result<&Map<String, Value>, BadLimit> {
    value.as_object().ok_or(BadLimit::NotAnObject)
}

fn checked(bound: Option<&Bound>, name: &str, value: &Value) -> Result<u64, BadLimit> {
    let bound = bound.ok_or_else(|| BadLimit::Unknown(name.into()))?;
    let value = whole(value).filter(|value| (bound.min..=bound.max).contains(value));
    value.ok_or(BadLimit::OutOfBounds(*bound))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_set_has_its_default_and_what_is_set_counts() {
        let settings = Settings::parse(&json!({"asks": 7.0, "running": 3})).unwrap();
        assert_eq!((settings.limits.asks, settings.quotas.running), (7, 3));
        assert_eq!(settings.limits.memory_bytes, Limits::default().memory_bytes);
    }

    #[test]
    fn every_default_lies_within_its_bounds_and_every_name_is_found() {
        for bound in Limits::ALL.iter().chain(Quotas::ALL) {
            assert!((bound.min..=bound.max).contains(&bound.default), "{}", bound.name);
            let settings = Settings::parse(&json!({bound.name: bound.min})).unwrap();
            let set = settings.limits.get(bound.name).or_else(|| settings.quotas.get(bound.name));
            assert_eq!(set, Some(bound.min), "{}", bound.name);
        }
    }

    #[test]
    fn a_setting_that_is_unknown_or_out_of_bounds_is_refused() {
        let refused = |settings| Settings::parse(&settings).unwrap_err();
        assert_eq!(refused(json!({"ask": 7})), BadLimit::Unknown("ask".into()));
        for bad in [json!(-1), json!(0), json!(1.5), json!(1e300), json!("7"), json!(null), json!(200_001)] {
            assert!(matches!(refused(json!({"asks": bad})), BadLimit::OutOfBounds(_)), "{bad}");
        }
        assert_eq!(refused(json!([])), BadLimit::NotAnObject);
    }

    #[test]
    fn an_agent_lowers_its_limits_and_never_raises_them() {
        let tenants = Settings::parse(&json!({"asks": 100})).unwrap().limits;
        assert_eq!(tenants.clone().lowered(&json!({"asks": 10})).unwrap().asks, 10);
        assert_eq!(tenants.clone().lowered(&json!({"asks": 1_000})).unwrap().asks, 100);
        assert_eq!(tenants.lowered(&json!({"running": 1})), Err(BadLimit::Unknown("running".into())));
    }

    #[test]
    fn what_an_older_host_has_taken_is_read_as_far_as_it_goes() {
        let kept = Settings::kept(&json!({"gone": 1, "asks": 1_000_000_000, "running": 0, "pauses": 5}));
        assert_eq!((kept.limits.asks, kept.quotas.running, kept.limits.pauses), (200_000, 1, 5));
        assert_eq!(kept.limits.lowered_as_kept(&json!({"gone": 1, "pauses": 6, "asks": 3})).asks, 3);
        let recorded: Limits = serde_json::from_value(json!({"asks": 3, "gone": 1})).unwrap();
        assert_eq!(recorded, Limits { asks: 3, ..Limits::default() });
    }

    #[test]
    fn a_journal_that_outgrows_a_limit_is_told_which() {
        let limits = Limits { entry_bytes: 10, journal_bytes: 25, ..Limits::default() };
        assert_eq!(limits.journal_failure(10, 25), None);
        assert!(limits.journal_failure(11, 11).unwrap().message.contains("`entry_bytes`"));
        assert!(limits.journal_failure(10, 26).unwrap().message.contains("`journal_bytes`"));
    }

    /// Where the tables for people are kept.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");

    fn table(bounds: &[Bound]) -> String {
        let row = |bound: &Bound| {
            let Bound { name, unit, about, default, min, max } = bound;
            format!("| `{name}` | {about} | {unit} | {default} | {min} to {max} |\n")
        };
        let rows: String = bounds.iter().map(row).collect();
        format!("| Name | What | Unit | Default | May be |\n|---|---|---|---|---|\n{rows}")
    }

    /// The page, with this table where its marks are.
    fn with_table(page: &str, mark: &str, bounds: &[Bound]) -> String {
        let (before, rest) = page.split_once(mark).expect("the page has the mark");
        let (_, after) = rest.split_once("<!-- end -->").expect("the table ends");
        format!("{before}{mark}\n{}<!-- end -->{after}", table(bounds))
    }

    #[test]
    fn the_reference_of_limits_is_what_the_code_says() {
        let kept = std::fs::read_to_string(FILE).unwrap();
        let page = with_table(&kept, "<!-- Limits -->", Limits::ALL);
        let page = with_table(&page, "<!-- Quotas -->", Quotas::ALL);
        if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
            std::fs::write(FILE, &page).unwrap();
        }
        assert!(kept == page, "docs/limits.md is not what the code says; write it anew with COUNTERSIGN_WRITE_DOCS=1");
    }
}
