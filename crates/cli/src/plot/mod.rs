//! Pictures of an overlay, drawn from what the instances of a run showed of themselves. Pure: data
//! in, the text of an SVG file out. The same data always give the same text.

mod graph;
mod labels;
mod overlay;
mod ring;
#[cfg(test)]
mod samples;
mod svg;
mod tree;

use clap::ValueEnum;
use serde::Serialize;
use splay_runtime::view::View;

pub use overlay::{Overlay, Shown};

/// What kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Instances around a circle, at their identifiers.
    Ring,
    /// Parents and children.
    Tree,
    /// Instances and their links.
    Graph,
}

impl Kind {
    /// As it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
            Kind::Tree => "tree",
            Kind::Graph => "graph",
        }
    }

    /// The file of a run's results that it is drawn in.
    pub fn file_name(self) -> String {
        format!("{}.svg", self.name())
    }
}

impl Kind {
    /// The picture that fits what was declared best.
    pub fn of(overlay: &Overlay) -> Kind {
        let any = |declares: fn(&View) -> bool| overlay.nodes.iter().any(|node| declares(&node.view));
        if any(|view| view.id.is_some()) {
            Kind::Ring
        } else if any(|view| view.parent.is_some()) {
            Kind::Tree
        } else {
            Kind::Graph
        }
    }
}

/// Why there is nothing to draw.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlotError {
    /// The program declares nothing.
    #[error(
        "no instance showed anything of itself: the application sets no global `view` (see `splay doc view`)"
    )]
    Nothing,
    /// It declares something else.
    #[error("no instance declares {needed} in its global `view`")]
    Undeclared {
        /// The fields.
        needed: &'static str,
    },
    /// Where on the ring is a number, if nobody knows how far it is around?
    #[error("`view.id` is a number: `view.size`, which identifiers are below, or `view.bits` is missing")]
    NoSize,
    /// An identifier that is not on the ring.
    #[error("`view.id` of instance {instance} is not below the size of the ring")]
    Beyond {
        /// Whose.
        instance: u32,
    },
}

/// Draws a picture: the text of an SVG file.
pub fn draw(kind: Kind, overlay: &Overlay) -> Result<String, PlotError> {
    if overlay.nodes.is_empty() {
        return Err(PlotError::Nothing);
    }
    match kind {
        Kind::Ring => ring::draw(overlay),
        Kind::Tree => tree::draw(overlay),
        Kind::Graph => graph::draw(overlay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_well_formed_and_always_the_same() {
        for n in [1, 2, 5, 50, 200, 500] {
            let mut overlay = samples::ring(n);
            for node in &mut overlay.nodes {
                let parent = (node.instance > 1).then(|| samples::peer(node.instance / 2));
                node.view.parent = Some(parent);
            }
            for kind in Kind::value_variants() {
                let text = draw(*kind, &overlay).unwrap();
                let picture = roxmltree::Document::parse(&text).unwrap();
                assert_eq!(samples::of_class(&picture, "node").len() as u32, n, "{kind:?}");
                assert!(picture.descendants().any(|node| node.text() == Some("state & 1")) || n > 300);
                if n < 200 {
                    assert_eq!(text, draw(*kind, &overlay).unwrap());
                }
            }
        }
    }

    #[test]
    fn the_kind_follows_from_the_fields() {
        let mut overlay = samples::ring(2);
        assert_eq!(Kind::of(&overlay), Kind::Ring);
        overlay.nodes.iter_mut().for_each(|node| node.view.id = None);
        assert_eq!(Kind::of(&overlay), Kind::Graph);
        overlay.nodes[0].view.parent = Some(None);
        assert_eq!(Kind::of(&overlay), Kind::Tree);
        assert_eq!(draw(Kind::Ring, &Overlay::default()), Err(PlotError::Nothing));
    }

    #[test]
    fn what_is_kept_reads_back() {
        let mut overlay = samples::ring(3);
        overlay.nodes[0].view.parent = Some(None);
        overlay.nodes[1].view.parent = Some(Some(samples::peer(1)));
        let text = serde_json::to_string(&overlay).unwrap();
        assert!(text.contains(r#""parent":null"#), "{text}");
        assert_eq!(serde_json::from_str::<Overlay>(&text).unwrap(), overlay);
    }
}
