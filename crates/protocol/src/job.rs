//! The job table an instance receives.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Node;

/// How the nodes of a list are chosen (manual, "Local execution vs. deployment").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ListType {
    /// The first nodes of the job, the same for all.
    #[default]
    Head,
    /// Random other nodes, never the instance itself.
    Random,
}

impl ListType {
    /// The word Lua sees in `job.list_type`.
    pub fn name(self) -> &'static str {
        match self {
            ListType::Head => "head",
            ListType::Random => "random",
        }
    }
}

/// What one instance is told about the job it belongs to: the global `job` in Lua.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Identifier of the job (`job.ref`).
    #[serde(rename = "ref")]
    pub reference: String,
    /// This instance's own address (`job.me`).
    pub me: Node,
    /// Rank in the job's full list, from 1 (`job.position`).
    pub position: u32,
    /// Instances in the job (`job.total`).
    pub total: u32,
    /// How `nodes` was chosen (`job.list_type`).
    pub list_type: ListType,
    /// The list (`job.nodes`, indexable and callable; `job.get_live_nodes()`). Shared: a head
    /// list is the same for all instances, and a copy each would grow with their square.
    pub nodes: Arc<[Node]>,
    /// Name for people, where it has one (`job.name`).
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    /// What the user set (`job.env`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Arc<BTreeMap<String, String>>,
}
