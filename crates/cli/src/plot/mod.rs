//! Pictures of an overlay, drawn from what the instances of a run showed of themselves. Pure: data
//! in, the text of an SVG file out. The same data always give the same text.

mod labels;
mod overlay;
mod ring;
mod svg;

use clap::ValueEnum;
use serde::Serialize;

pub use overlay::{Overlay, Shown};

/// What kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Instances around a circle, at their identifiers.
    Ring,
}

impl Kind {
    /// As it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
        }
    }

    /// The file of a run's results that it is drawn in.
    pub fn file_name(self) -> String {
        format!("{}.svg", self.name())
    }
}

impl Kind {
    /// The picture that fits what was declared best.
    pub fn of(_overlay: &Overlay) -> Kind {
        Kind::Ring
    }
}

/// Why there is nothing to draw.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlotError {
    /// The program declares nothing.
    #[error("no instance showed anything of itself: the application sets no global `view`")]
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
    }
}
