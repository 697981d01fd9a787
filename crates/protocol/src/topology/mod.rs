//! Networks to run on: graphs of vertices and directed links, or matrices of latencies; reading,
//! writing and generating them, and the shortest paths through them. Pure: text in, data out.
//!
//! A *place* is a vertex that hosts an instance: the instance at position 1 is at the first place
//! and so on.

mod generate;
mod graphml;
mod matrix;
mod modelnet;
pub mod quantity;
mod routes;
pub mod ways;
mod xml;

use std::time::Duration;

pub use generate::{Generator, Link as LinkQuality, REGIONS, Shape, region_rtt_ms};
pub use matrix::Matrix;
pub use routes::{Path, Routes};
pub use ways::{Way, Ways, placement};

/// What is wrong with a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{element}: {problem}", line.map_or(String::new(), |line| format!("line {line}: ")))]
pub struct TopologyError {
    /// Where, counted from 1, if it is in a file.
    pub line: Option<u32>,
    /// The element or field, for example `<edge int_idx="4">`.
    pub element: String,
    /// Lowercase fragment.
    pub problem: String,
}

impl TopologyError {
    pub(crate) fn new(
        line: impl Into<Option<u32>>,
        element: impl Into<String>,
        problem: impl Into<String>,
    ) -> TopologyError {
        TopologyError { line: line.into(), element: element.into(), problem: problem.into() }
    }
}

/// What a vertex of a graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Hosts an instance (ModelNet's `virtnode`).
    Place,
    /// Only passes packets on (ModelNet's `gateway`).
    Router,
}

/// A vertex of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Vertex {
    /// What it is called in its file.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Where to draw it, if the file says: x to the right, y upwards.
    pub at: Option<(f64, f64)>,
}

/// One direction of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Index of the vertex it leaves.
    pub from: u32,
    /// Index of the vertex it reaches.
    pub to: u32,
    /// One-way delay.
    pub latency: Duration,
    /// Capacity in bits per second; `None`: not limited.
    pub bandwidth_bps: Option<u64>,
    /// Probability from 0 to 1 that a packet is lost on it.
    pub loss: f64,
    /// Packets that may wait for it; `None`: the model's default.
    pub queue_packets: Option<u32>,
}

/// A network as vertices and links.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    vertices: Vec<Vertex>,
    links: Vec<Link>,
    places: Vec<u32>,
    /// Links by the vertex they leave: those of vertex v are `leaving[first[v]..first[v + 1]]`.
    first: Vec<u32>,
    leaving: Vec<u32>,
}

impl Graph {
    /// A graph whose places are these vertices, in the order of positions. A link without one
    /// back gets one with the same properties.
    pub fn new(
        vertices: Vec<Vertex>,
        mut links: Vec<Link>,
        places: Vec<u32>,
    ) -> Result<Graph, TopologyError> {
        let count = u32::try_from(vertices.len()).ok().filter(|&count| count < u32::MAX);
        let count = count.ok_or_else(|| TopologyError::new(None, "graph", "too many vertices"))?;
        let named = |index: u32| vertices[index as usize].name.as_str();
        let mut known = std::collections::BTreeSet::new();
        for link in &links {
            assert!(link.from < count && link.to < count, "readers and generators know their vertices");
            let element = || format!("link {} -> {}", named(link.from), named(link.to));
            if link.from == link.to {
                return Err(TopologyError::new(None, element(), "leads to where it comes from"));
            }
            if !known.insert((link.from, link.to)) {
                return Err(TopologyError::new(None, element(), "is there twice"));
            }
        }
        let missing = links.iter().filter(|link| !known.contains(&(link.to, link.from)));
        let back = missing.map(|link| Link { from: link.to, to: link.from, ..link.clone() });
        let back: Vec<Link> = back.collect();
        links.extend(back);
        let mut first = vec![0; vertices.len() + 1];
        for link in &links {
            first[link.from as usize + 1] += 1;
        }
        for index in 1..first.len() {
            first[index] += first[index - 1];
        }
        let mut next = first.clone();
        let mut leaving = vec![0; links.len()];
        for (number, link) in links.iter().enumerate() {
            let slot = &mut next[link.from as usize];
            leaving[*slot as usize] = number as u32;
            *slot += 1;
        }
        Ok(Graph { vertices, links, places, first, leaving })
    }

    /// All vertices.
    pub fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// All links, both directions separately.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Vertices that host instances, by position less one.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Numbers of the links that leave a vertex.
    pub fn leaving(&self, vertex: u32) -> &[u32] {
        &self.leaving[self.first[vertex as usize] as usize..self.first[vertex as usize + 1] as usize]
    }

    /// The place that cannot be reached from the first one, if there is such a place.
    pub fn unreachable(&self) -> Option<&Vertex> {
        let &start = self.places.first()?;
        let mut seen = vec![false; self.vertices.len()];
        let mut left = vec![start];
        seen[start as usize] = true;
        while let Some(vertex) = left.pop() {
            for &link in self.leaving(vertex) {
                let to = self.links[link as usize].to;
                if !std::mem::replace(&mut seen[to as usize], true) {
                    left.push(to);
                }
            }
        }
        let place = self.places.iter().find(|&&place| !seen[place as usize])?;
        Some(&self.vertices[*place as usize])
    }

    /// The graph as ModelNet XML, which [`Topology::parse`] reads back.
    pub fn to_modelnet(&self) -> String {
        modelnet::write(self)
    }
}

/// A file format of topologies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ModelNet's XML, which the original SPLAY read.
    ModelNet,
    /// GraphML, for example of the Internet Topology Zoo.
    GraphMl,
    /// A latency matrix: square CSV, or lines `i j ms`.
    Matrix,
}

/// A network to run on.
#[derive(Debug, Clone, PartialEq)]
pub enum Topology {
    /// Vertices and links.
    Graph(Graph),
    /// Latencies between places alone.
    Matrix(Matrix),
}

impl Topology {
    /// Which format a text is in, judged by its beginning.
    pub fn format_of(text: &str) -> Format {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        match start.starts_with('<') {
            true if start.contains("<graphml") => Format::GraphMl,
            true => Format::ModelNet,
            false => Format::Matrix,
        }
    }

    /// Reads a topology of any format.
    pub fn parse(text: &str) -> Result<Topology, TopologyError> {
        let graph = match Topology::format_of(text) {
            Format::ModelNet => modelnet::parse(text)?,
            Format::GraphMl => graphml::parse(text)?,
            Format::Matrix => return Matrix::parse(text).map(Topology::Matrix),
        };
        if graph.places.is_empty() {
            return Err(TopologyError::new(None, "graph", "has no vertex that could host an instance"));
        }
        if let Some(vertex) = graph.unreachable() {
            let element = format!("vertex {}", vertex.name);
            return Err(TopologyError::new(None, element, "cannot be reached from the first place"));
        }
        Ok(Topology::Graph(graph))
    }

    /// How many instances it has places for.
    pub fn places(&self) -> usize {
        match self {
            Topology::Graph(graph) => graph.places.len(),
            Topology::Matrix(matrix) => matrix.places(),
        }
    }
}

#[cfg(test)]
mod tests;
