//! Who a server says it is: a cluster of one.

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

/// etcd's name of a cluster that was given none.
const TOKEN: &str = "etcd-cluster";

/// A server's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Made of the peers' URL, as etcd makes it.
    pub id: u64,
    /// Of the cluster.
    pub cluster: u64,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where other members would reach it, and clients the administration.
    pub peer_urls: Vec<String>,
}

fn first_eight(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    u64::from_be_bytes(digest[..8].try_into().expect("a digest of 20 bytes"))
}

impl Member {
    /// The one member of a cluster.
    pub fn new(name: &str, client_urls: Vec<String>, peer_urls: Vec<String>) -> Member {
        let mut sorted = peer_urls.clone();
        sorted.sort_unstable();
        let id = first_eight((sorted.concat() + TOKEN).as_bytes());
        let cluster = first_eight(&id.to_be_bytes());
        Member { name: name.to_owned(), id, cluster, client_urls, peer_urls }
    }

    /// As `/v2/members` lists it.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Told<'a> {
            id: String,
            name: &'a str,
            #[serde(rename = "peerURLs")]
            peer_urls: &'a [String],
            #[serde(rename = "clientURLs")]
            client_urls: &'a [String],
        }
        told(&Told {
            id: format!("{:x}", self.id),
            name: &self.name,
            peer_urls: &self.peer_urls,
            client_urls: &self.client_urls,
        })
    }

    /// As `/v2/admin/machines` of etcd 0.4 lists it.
    pub fn machine(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            name: &'a str,
            state: &'a str,
            #[serde(rename = "clientURL")]
            client_url: Option<&'a String>,
            #[serde(rename = "peerURL")]
            peer_url: Option<&'a String>,
        }
        told(&Told {
            name: &self.name,
            state: "leader",
            client_url: self.client_urls.first(),
            peer_url: self.peer_urls.first(),
        })
    }
}

fn told(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts are JSON")
}

/// Settings of etcd 0.4's clusters: kept and told, of no other effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminConfig {
    /// Members that vote; at least 3.
    pub active_size: u64,
    /// Seconds after which a lost member is removed; at least 2.
    pub remove_delay: f64,
    /// Seconds between looks of a member that does not vote; at least 1.
    pub sync_interval: f64,
}

impl Default for AdminConfig {
    fn default() -> AdminConfig {
        AdminConfig { active_size: 9, remove_delay: 1800.0, sync_interval: 5.0 }
    }
}

impl AdminConfig {
    /// With what a JSON object says; the rest stays.
    pub fn with(self, changes: &[u8]) -> Result<AdminConfig, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Changes {
            active_size: Option<f64>,
            remove_delay: Option<f64>,
            sync_interval: Option<f64>,
        }
        let changes: Changes = serde_json::from_slice(changes).map_err(|error| error.to_string())?;
        let active_size = changes.active_size.map_or(self.active_size, |size| size as u64);
        Ok(AdminConfig {
            active_size: active_size.max(3),
            remove_delay: changes.remove_delay.unwrap_or(self.remove_delay).max(2.0),
            sync_interval: changes.sync_interval.unwrap_or(self.sync_interval).max(1.0),
        })
    }

    /// Numbers without a fraction have no point, as Go writes them.
    pub fn json(&self) -> String {
        let AdminConfig { active_size, remove_delay, sync_interval } = self;
        format!(
            "{{\"activeSize\":{active_size},\"removeDelay\":{remove_delay},\"syncInterval\":{sync_interval}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_etcds() {
        let peers = vec!["http://localhost:2380".to_owned()];
        let member = Member::new("default", vec!["http://localhost:2379".to_owned()], peers);
        assert_eq!(format!("{:x} {:x}", member.id, member.cluster), "8e9e05c52164694d cdf818194e3a8c32");
    }

    #[test]
    fn settings_have_least_values() {
        let config = AdminConfig::default();
        assert_eq!(config.json(), r#"{"activeSize":9,"removeDelay":1800,"syncInterval":5}"#);
        let config = config.with(br#"{"activeSize":1,"removeDelay":2.5}"#).unwrap();
        assert_eq!(config.json(), r#"{"activeSize":3,"removeDelay":2.5,"syncInterval":5}"#);
        assert!(config.with(b"[").is_err());
    }
}
