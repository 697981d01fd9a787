//! How often what was done.

use serde::{Deserialize, Serialize};

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// That did what they were to do.
    pub success: u64,
    /// That did not.
    pub fail: u64,
}

impl Count {
    pub(super) fn count(&mut self, success: bool) {
        match success {
            true => self.success += 1,
            false => self.fail += 1,
        }
    }
}

/// Counters of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Stats {
    pub gets: Count,
    pub sets: Count,
    pub deletes: Count,
    pub updates: Count,
    pub creates: Count,
    pub swaps: Count,
    pub compared_deletes: Count,
    pub expired: u64,
    pub watchers: u64,
}

impl Stats {
    /// As etcd tells them.
    pub fn json(&self) -> String {
        let counts = [
            ("gets", self.gets),
            ("sets", self.sets),
            ("delete", self.deletes),
            ("update", self.updates),
            ("create", self.creates),
            ("compareAndSwap", self.swaps),
            ("compareAndDelete", self.compared_deletes),
        ];
        let counts = counts.map(|(name, Count { success, fail })| {
            format!("\"{name}Success\":{success},\"{name}Fail\":{fail}")
        });
        format!("{{{},\"expireCount\":{},\"watchers\":{}}}", counts.join(","), self.expired, self.watchers)
    }
}
