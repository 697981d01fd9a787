//! Access to XML elements whose errors tell line and element.

use std::str::FromStr;

use roxmltree::{Document, Node};

use super::TopologyError;

/// Reads a document.
pub(super) fn document(text: &str) -> Result<Document<'_>, TopologyError> {
    // Files of other programs may name a document type; it is not fetched.
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    Document::parse_with_options(text.trim_start_matches('\u{feff}'), options)
        .map_err(|error| TopologyError::new(error.pos().row, "XML", error.to_string()))
}

/// An element with its place in the file.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 'd>(pub(super) Node<'a, 'd>);

impl<'a, 'd> Element<'a, 'd> {
    pub(super) fn line(self) -> u32 {
        self.0.document().text_pos_at(self.0.range().start).row
    }

    /// `<edge int_idx="4">`: with its first attribute, which tells it from others.
    pub(super) fn described(self) -> String {
        let name = self.0.tag_name().name();
        match self.0.attributes().next() {
            Some(first) => format!("<{name} {}=\"{}\">", first.name(), first.value()),
            None => format!("<{name}>"),
        }
    }

    pub(super) fn wrong(self, problem: impl Into<String>) -> TopologyError {
        TopologyError::new(self.line(), self.described(), problem)
    }

    pub(super) fn child(self, name: &str) -> Option<Element<'a, 'd>> {
        self.children(name).next()
    }

    pub(super) fn children(self, name: &str) -> impl Iterator<Item = Element<'a, 'd>> + use<'a, 'd, '_> {
        self.elements().filter(move |child| child.0.tag_name().name() == name)
    }

    pub(super) fn elements(self) -> impl Iterator<Item = Element<'a, 'd>> + use<'a, 'd> {
        self.0.children().filter(Node::is_element).map(Element)
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.0.attribute(name)
    }

    pub(super) fn required(self, name: &str) -> Result<&'a str, TopologyError> {
        self.text(name).ok_or_else(|| self.wrong(format!("the attribute `{name}` is missing")))
    }

    pub(super) fn number<T: FromStr>(self, name: &str) -> Result<Option<T>, TopologyError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let read = text.trim().parse().map(Some);
        read.map_err(|_| self.wrong(format!("`{name}` is `{text}`, which is not a number it can be")))
    }

    /// A number that is neither negative nor endless.
    pub(super) fn amount(self, name: &str) -> Result<Option<f64>, TopologyError> {
        match self.number::<f64>(name)? {
            Some(value) if !(value >= 0.0 && value.is_finite()) => {
                Err(self.wrong(format!("`{name}` is `{value}`, which must be 0 or more")))
            }
            other => Ok(other),
        }
    }
}
