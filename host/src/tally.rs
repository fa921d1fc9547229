//! How many of something each tenant has on this host.

use std::collections::HashMap;

/// A count for each tenant; for none of those that are kept is it 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(HashMap<String, usize>);

impl Tally {
    pub(crate) fn of(&self, tenant: &str) -> usize {
        self.0.get(tenant).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// That of the tenant that has most.
    pub(crate) fn most(&self) -> usize {
        self.0.values().copied().max().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, tenant: &str) {
        *self.0.entry(tenant.to_owned()).or_default() += 1;
    }

    /// Takes back what was added.
    pub(crate) fn remove(&mut self, tenant: &str) {
        if let Some(count) = self.0.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(tenant);
            }
        }
    }
}
