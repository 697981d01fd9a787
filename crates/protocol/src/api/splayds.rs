//! Splayds, what holds for all of them, and the controller itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Limits;

/// States of a splayd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplaydState {
    /// Its session is open.
    Online,
    /// The session is cut; it may come back and what it hosts is taken to go on.
    Offline,
    /// Away for longer than the grace time: what it hosted is lost. It may come back.
    Lost,
    /// Not let in any more.
    Revoked,
}

/// A splayd: `GET /splayds`, `GET /splayds/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Splayd {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether it is there.
    pub state: SplaydState,
    /// Since when it is in that state.
    pub since: f64,
    /// When it enrolled.
    pub enrolled_at: f64,
    /// Labels: its own with those set here over them.
    pub labels: BTreeMap<String, String>,
    /// Address of its instances.
    pub address: String,
    /// First and last port of its instances.
    pub ports: (u16, u16),
    /// Version of splayd.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// Processor.
    pub architecture: String,
    /// Kernel.
    pub kernel: String,
    /// Seats it has.
    pub max_instances: u32,
    /// Seats in use.
    pub used_instances: u32,
    /// The most an instance gets.
    pub maxima: Limits,
    /// Country code; empty: unknown.
    pub country: String,
    /// Degrees north and east.
    pub place: Option<(f64, f64)>,
    /// Digests of native libraries it allows.
    pub native: Vec<String>,
    /// Confinement it lacks.
    pub degraded: Vec<String>,
    /// What it last said of its machine.
    pub status: Option<MachineStatus>,
}

/// A splayd has come or gone: `GET /splayds/ID/availability`, the last 10,000 times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SplaydChange {
    /// When.
    pub at: f64,
    /// What it was from then on.
    pub state: SplaydState,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct MachineStatus {
    /// Load average over 1, 5 and 15 minutes.
    pub load: (f64, f64, f64),
    /// Memory that could be had.
    pub free_memory_bytes: u64,
    /// All memory.
    pub memory_bytes: u64,
    /// Space left for instances' files.
    pub free_disk_bytes: u64,
    /// Since the machine started, seconds.
    pub uptime: f64,
    /// Its clock beside the controller's, seconds, and by how much that may be off.
    pub clock: Option<(f64, f64)>,
    /// Reports that wait on its disk.
    pub spool_bytes: u64,
    /// When it said so.
    pub at: f64,
}

/// `PATCH /splayds/ID` (admin). `POST /splayds/ID/revoke` shuts it out for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeSplayd {
    /// Labels that are added to its own, or set over them.
    pub labels: BTreeMap<String, String>,
}

/// Hosts no instance may contact: `GET`, `PUT /blacklist` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Blacklist {
    /// Host names or addresses; `*` is a wildcard.
    pub hosts: Vec<String>,
}

/// A build of a native library: `GET /native`, `DELETE /native/SHA256` (admin).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NativeLib {
    /// What a program requires.
    pub name: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// Digest, hexadecimal.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Since when.
    pub added_at: f64,
}

/// `POST /native` (admin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNativeLib {
    /// What a program requires.
    pub name: String,
    /// `linux`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// The library, in base64.
    pub base64: String,
}

/// `GET /health`: no token needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the controller.
    pub version: String,
    /// Its clock.
    pub time: f64,
    /// Since when it runs.
    pub started_at: f64,
    /// Splayds with an open session.
    pub splayds_online: u32,
    /// Jobs that are not over.
    pub jobs_active: u32,
}
