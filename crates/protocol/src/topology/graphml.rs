//! GraphML. Links say what they are like in data named (`attr.name`) `latency_ms` (also `latency`,
//! `delay`), `bandwidth_kbps` (also `kbps`; or `LinkSpeedRaw` in bits per second, as in the Internet
//! Topology Zoo), `loss`, `queue`. Vertices with data `role` = `virtnode` host instances, in the
//! order of the file; if none has a role, all do. Where both ends have `Latitude` and `Longitude`
//! and a link tells no latency, it is that of light in fibre along the great circle.

use std::collections::BTreeMap;
use std::time::Duration;

use super::xml::{Element, document};
use super::{Graph, Link, Role, TopologyError, Vertex};

/// Two thirds of the speed of light, in kilometres per millisecond.
const FIBRE_KM_PER_MS: f64 = 200.0;

const EARTH_RADIUS_KM: f64 = 6371.0;

type Data<'a> = BTreeMap<String, &'a str>;

pub(super) fn parse(text: &str) -> Result<Graph, TopologyError> {
    let document = document(text)?;
    let root = Element(document.root_element());
    let graph = root.child("graph").ok_or_else(|| root.wrong("has no <graph> inside"))?;
    let mut keys = BTreeMap::new();
    let mut defaults = [Data::new(), Data::new()];
    for key in root.children("key") {
        let name = key.text("attr.name").unwrap_or(key.required("id")?).to_ascii_lowercase();
        if let Some(value) = key.child("default").and_then(|value| value.0.text()) {
            for (target, defaults) in ["node", "edge"].into_iter().zip(&mut defaults) {
                if [target, "all"].contains(&key.text("for").unwrap_or("all")) {
                    defaults.insert(name.clone(), value);
                }
            }
        }
        keys.insert(key.required("id")?, name);
    }
    let [node_defaults, edge_defaults] = defaults;
    let data_of =
        |element: Element<'_, '_>, defaults: &Data<'_>| -> Result<BTreeMap<String, String>, TopologyError> {
            let mut found: BTreeMap<String, String> =
                defaults.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
            for data in element.children("data") {
                let key = data.required("key")?;
                let name = keys.get(key).ok_or_else(|| data.wrong(format!("no <key> has the id `{key}`")))?;
                found.insert(name.clone(), data.0.text().unwrap_or("").trim().to_owned());
            }
            Ok(found)
        };
    let mut vertices = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut places = Vec::new();
    let mut any_role = false;
    for node in graph.children("node") {
        let id = node.required("id")?;
        if numbers.insert(id, vertices.len() as u32).is_some() {
            return Err(node.wrong("another node has the same id"));
        }
        let data = data_of(node, &node_defaults)?;
        let role = match data.get("role").map(String::as_str) {
            None => None,
            Some("virtnode" | "host" | "client") => Some(Role::Place),
            Some(_) => Some(Role::Router),
        };
        any_role |= role.is_some();
        if role == Some(Role::Place) {
            places.push(vertices.len() as u32);
        }
        let number = |name| number(node, &data, name);
        let at = number("longitude")?.zip(number("latitude")?);
        let name = data.get("label").filter(|label| !label.is_empty()).cloned();
        vertices.push(Vertex {
            name: name.unwrap_or_else(|| id.to_owned()),
            role: role.unwrap_or(Role::Router),
            at,
        });
    }
    if !any_role {
        places = (0..vertices.len() as u32).collect();
        vertices.iter_mut().for_each(|vertex| vertex.role = Role::Place);
    }
    let directed_by_default = graph.text("edgedefault") == Some("directed");
    // Of parallel links of a multigraph the fastest is kept.
    let mut links: BTreeMap<(u32, u32), Link> = BTreeMap::new();
    for edge in graph.children("edge") {
        let end = |name: &str| -> Result<u32, TopologyError> {
            let id = edge.required(name)?;
            numbers
                .get(id)
                .copied()
                .ok_or_else(|| edge.wrong(format!("`{name}` is `{id}`, which is no node")))
        };
        let (from, to) = (end("source")?, end("target")?);
        if from == to {
            continue;
        }
        let data = data_of(edge, &edge_defaults)?;
        let ends = [from, to].map(|end| vertices[end as usize].at);
        let link = read_link(edge, &data, from, to, ends)?;
        let directed = edge.text("directed").map_or(directed_by_default, |text| text == "true");
        let back = (!directed).then(|| Link { from: to, to: from, ..link.clone() });
        for link in [link].into_iter().chain(back) {
            let kept = links.entry((link.from, link.to)).or_insert_with(|| link.clone());
            if link.latency < kept.latency {
                *kept = link;
            }
        }
    }
    Graph::new(vertices, links.into_values().collect(), places)
}

fn number(
    element: Element<'_, '_>,
    data: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<f64>, TopologyError> {
    let Some(text) = data.get(name) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(element.wrong(format!("its `{name}` is `{text}`, which is not a number"))),
    }
}

fn read_link(
    edge: Element<'_, '_>,
    data: &BTreeMap<String, String>,
    from: u32,
    to: u32,
    ends: [Option<(f64, f64)>; 2],
) -> Result<Link, TopologyError> {
    let first = |names: &[&str]| -> Result<Option<f64>, TopologyError> {
        for name in names {
            match number(edge, data, name)? {
                Some(value) if value < 0.0 => return Err(edge.wrong(format!("its `{name}` is less than 0"))),
                Some(value) => return Ok(Some(value)),
                None => {}
            }
        }
        Ok(None)
    };
    let told = first(&["latency_ms", "latency", "delay"])?;
    let latency_ms = match (told, ends) {
        (Some(told), _) => told,
        (None, [Some(a), Some(b)]) => great_circle_km(a, b) / FIBRE_KM_PER_MS,
        _ => return Err(edge.wrong("tells no `latency_ms`, and its ends tell no Latitude and Longitude")),
    };
    let latency = Duration::try_from_secs_f64(latency_ms / 1e3);
    let kbps = first(&["bandwidth_kbps", "kbps"])?;
    let bits = kbps.map(|kbps| kbps * 1e3).or(first(&["linkspeedraw"])?);
    let loss = first(&["loss"])?.unwrap_or(0.0);
    if loss > 1.0 {
        return Err(edge.wrong("its `loss` is more than 1"));
    }
    let queue = first(&["queue"])?;
    Ok(Link {
        from,
        to,
        latency: latency.map_err(|_| edge.wrong("its latency is too long"))?,
        bandwidth_bps: bits.map(|bits| bits.round() as u64).filter(|&bits| bits > 0),
        loss,
        queue_packets: queue.map(|packets| packets as u32).filter(|&packets| packets > 0),
    })
}

/// Distance along the surface between two points (longitude, latitude) in degrees.
fn great_circle_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (longitude, latitude) = ((b.0 - a.0).to_radians(), (b.1 - a.1).to_radians());
    let (from, to) = (a.1.to_radians(), b.1.to_radians());
    let h = (latitude / 2.0).sin().powi(2) + from.cos() * to.cos() * (longitude / 2.0).sin().powi(2);
    2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
}
