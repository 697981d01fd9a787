//! Documents made of what the libraries say of themselves: pages for readers, stubs for editors,
//! and the examples as tests. Pure: each is a list of files, writing them is the caller's.

mod examples;
mod markdown;
mod stubs;

pub use examples::examples;
pub use markdown::pages;
pub use stubs::stubs;

use crate::annotations::{Entry, Example, Module};
use crate::catalogue::SAME;

/// A file to be written: its path in the folder that was asked for, and its text.
#[derive(Debug)]
pub struct File {
    /// Relative, with `/` between folders.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The version that had an entry first, and the manual's section about it.
fn origin(module: &Module, entry: &Entry) -> (Option<String>, Option<String>) {
    let since = entry.about.since.clone().or_else(|| module.about.since.clone());
    (since, entry.about.manual.clone())
}

/// What has to come before an entry's example: the example of its class.
fn before<'a>(module: &'a Module, entry: &Entry) -> Option<&'a Example> {
    let class = entry.class()?;
    let kind = module.types.iter().find(|kind| kind.variable.as_deref() == Some(class))?;
    kind.about.examples.first()
}

/// The module whose table a module is.
fn same_as(module: &str) -> Option<&'static str> {
    SAME.iter().find(|(name, _)| *name == module).map(|(_, other)| *other)
}

/// `wait(event, timeout?)`.
pub fn signature(name: &str, entry: &Entry) -> String {
    let Some(parameters) = &entry.parameters else { return name.to_owned() };
    let optional = |name: &String| entry.params.iter().any(|param| param.name == format!("{name}?"));
    let shown: Vec<String> = parameters
        .iter()
        .map(|name| if optional(name) { format!("{name}?") } else { name.clone() })
        .collect();
    format!("{name}({})", shown.join(", "))
}

#[cfg(test)]
mod tests;
