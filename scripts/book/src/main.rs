//! Builds the documents as a book: `scripts/check book` writes target/book/index.html. A link
//! that leads nowhere fails the build.

mod check;
mod outside;

use std::path::Path;

use anyhow::{Context, Result, bail};
use mdbook_driver::MDBook;

fn main() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut book = MDBook::load(&docs).context("the book's settings or its SUMMARY.md")?;
    book.with_preprocessor(outside::OutsideLinks);
    book.build().context("build the book")?;
    let folder = book.build_dir_for("html");
    let broken = check::broken_links(&folder)?;
    if !broken.is_empty() {
        bail!("links that lead nowhere:\n  {}", broken.join("\n  "));
    }
    print(&folder.join("index.html"))
}

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
fn print(index: &Path) -> Result<()> {
    println!("{}", index.canonicalize()?.display());
    Ok(())
}
