//! ModelNet's XML, as the original SPLAY read it, and writing it.
//!
//! ```xml
//! <topology>
//!   <vertices><vertex int_idx="1" role="virtnode" int_vn="1"/> <vertex int_idx="2" role="gateway"/></vertices>
//!   <edges><edge int_idx="1" int_src="1" int_dst="2" specs="client-stub" int_delayms="5"/></edges>
//!   <specs><client-stub dbl_plr="0" dbl_kbps="1024" int_delayms="50" int_qlen="10"/></specs>
//! </topology>
//! ```
//!
//! What an edge says itself counts before what its spec says. An edge without one back gets one.
//! Unlike the original, loss (`dbl_plr`) and queue length (`int_qlen`, packets) are used, and
//! `int_vn` may be numbered from 0 or 1.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::xml::{Element, document};
use super::{Graph, Link, Role, TopologyError, Vertex};

/// Longest delay of a link that is believed: a day.
const MOST_MS: f64 = 86_400_000.0;

/// What a spec or an edge may say.
#[derive(Debug, Clone, Copy, Default)]
struct Spec {
    delay_ms: Option<f64>,
    kbps: Option<f64>,
    loss: Option<f64>,
    queue: Option<u32>,
}

impl Spec {
    fn read(element: Element<'_, '_>) -> Result<Spec, TopologyError> {
        let spec = Spec {
            delay_ms: element.amount("int_delayms")?,
            kbps: element.amount("dbl_kbps")?,
            loss: element.amount("dbl_plr")?,
            queue: element.number("int_qlen")?,
        };
        if spec.delay_ms.is_some_and(|delay| delay > MOST_MS) {
            return Err(element.wrong("`int_delayms` is more than a day"));
        }
        if spec.loss.is_some_and(|loss| loss > 1.0) {
            return Err(element.wrong("`dbl_plr` is more than 1"));
        }
        Ok(spec)
    }

    fn or(self, other: Spec) -> Spec {
        Spec {
            delay_ms: self.delay_ms.or(other.delay_ms),
            kbps: self.kbps.or(other.kbps),
            loss: self.loss.or(other.loss),
            queue: self.queue.or(other.queue),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Graph, TopologyError> {
    let document = document(text)?;
    let root = Element(document.root_element());
    if root.0.tag_name().name() != "topology" {
        return Err(root.wrong("is the outermost element, which must be <topology>"));
    }
    let section = |name: &str| root.child(name).ok_or_else(|| root.wrong(format!("has no <{name}> inside")));
    let mut specs = BTreeMap::new();
    for spec in root.child("specs").into_iter().flat_map(Element::elements) {
        specs.insert(spec.0.tag_name().name().to_owned(), Spec::read(spec)?);
    }
    let (vertices, places, numbers) = read_vertices(section("vertices")?)?;
    let mut links = Vec::new();
    let mut seen = BTreeMap::new();
    for edge in section("edges")?.children("edge") {
        let end = |name: &str| -> Result<u32, TopologyError> {
            edge.required(name)?;
            let number: u32 = edge.number(name)?.expect("it has just been found");
            let found = numbers.get(&number).copied();
            found.ok_or_else(|| edge.wrong(format!("`{name}` is {number}, which is no vertex's int_idx")))
        };
        let (from, to) = (end("int_src")?, end("int_dst")?);
        if from == to {
            return Err(edge.wrong("leads to where it comes from"));
        }
        if let Some(line) = seen.insert((from, to), edge.line()) {
            return Err(edge.wrong(format!("the same two vertices are joined in line {line} already")));
        }
        let named = match edge.text("specs") {
            None => Spec::default(),
            Some(name) => {
                *specs.get(name).ok_or_else(|| edge.wrong(format!("no spec is called `{name}`")))?
            }
        };
        let spec = Spec::read(edge)?.or(named);
        let delay = spec.delay_ms;
        let delay = delay.ok_or_else(|| edge.wrong("neither it nor its spec tells `int_delayms`"))?;
        links.push(Link {
            from,
            to,
            latency: Duration::from_secs_f64(delay / 1e3),
            // 0 means "not limited", as in the generators around ModelNet.
            bandwidth_bps: spec.kbps.map(|kbps| (kbps * 1e3).round() as u64).filter(|&bits| bits > 0),
            loss: spec.loss.unwrap_or(0.0),
            queue_packets: spec.queue.filter(|&packets| packets > 0),
        });
    }
    Graph::new(vertices, links, places)
}

type Vertices = (Vec<Vertex>, Vec<u32>, BTreeMap<u32, u32>);

fn read_vertices(section: Element<'_, '_>) -> Result<Vertices, TopologyError> {
    let mut vertices = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut virtual_nodes = BTreeMap::new();
    for vertex in section.children("vertex") {
        vertex.required("int_idx")?;
        let number: u32 = vertex.number("int_idx")?.expect("it has just been found");
        let index = vertices.len() as u32;
        if numbers.insert(number, index).is_some() {
            return Err(vertex.wrong("another vertex has the same int_idx"));
        }
        let role = match vertex.required("role")? {
            "virtnode" => Role::Place,
            "gateway" => Role::Router,
            other => return Err(vertex.wrong(format!("its role `{other}` is neither virtnode nor gateway"))),
        };
        if role == Role::Place {
            vertex.required("int_vn")?;
            let place: u32 = vertex.number("int_vn")?.expect("it has just been found");
            if virtual_nodes.insert(place, (index, vertex)).is_some() {
                return Err(vertex.wrong("another virtnode has the same int_vn"));
            }
        }
        let at = vertex.number("dbl_x")?.zip(vertex.number("dbl_y")?);
        vertices.push(Vertex { name: number.to_string(), role, at });
    }
    let base = virtual_nodes.keys().next().map_or(0, |&first| first.min(1));
    for (wanted, (&place, &(_, vertex))) in (base..).zip(&virtual_nodes) {
        if place != wanted {
            let problem = format!("int_vn goes on at {place} where {wanted} is missing (count from 0 or 1)");
            return Err(vertex.wrong(problem));
        }
    }
    let places = virtual_nodes.values().map(|(index, _)| *index).collect();
    Ok((vertices, places, numbers))
}

pub(super) fn write(graph: &Graph) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<topology>\n<vertices>\n");
    let mut position = vec![0; graph.vertices().len()];
    for (index, &place) in graph.places().iter().enumerate() {
        position[place as usize] = index + 1;
    }
    // Writing to a string cannot fail.
    for (index, vertex) in graph.vertices().iter().enumerate() {
        let _ = write!(text, "  <vertex int_idx=\"{}\"", index + 1);
        let _ = match position[index] {
            0 => write!(text, " role=\"gateway\""),
            place => write!(text, " role=\"virtnode\" int_vn=\"{place}\""),
        };
        if let Some((x, y)) = vertex.at {
            let _ = write!(text, " dbl_x=\"{x:.3}\" dbl_y=\"{y:.3}\"");
        }
        text.push_str("/>\n");
    }
    text.push_str("</vertices>\n<edges>\n");
    for (index, link) in graph.links().iter().enumerate() {
        let roles = [link.from, link.to].map(|end| position[end as usize] > 0);
        let specs = match roles {
            [true, true] => "client-client",
            [false, false] => "stub-stub",
            _ => "client-stub",
        };
        let (source, target) = (link.from + 1, link.to + 1);
        let delay = link.latency.as_nanos() as f64 / 1e6;
        let _ = write!(text, "  <edge int_idx=\"{}\" int_src=\"{source}\" int_dst=\"{target}\"", index + 1);
        let _ = write!(text, " specs=\"{specs}\" int_delayms=\"{delay}\"");
        if let Some(bits) = link.bandwidth_bps {
            let _ = write!(text, " dbl_kbps=\"{}\"", bits as f64 / 1e3);
        }
        if link.loss > 0.0 {
            let _ = write!(text, " dbl_plr=\"{}\"", link.loss);
        }
        if let Some(packets) = link.queue_packets {
            let _ = write!(text, " int_qlen=\"{packets}\"");
        }
        text.push_str("/>\n");
    }
    text.push_str(
        "</edges>\n<specs>\n  <client-client/>\n  <client-stub/>\n  <stub-stub/>\n</specs>\n</topology>\n",
    );
    text
}
