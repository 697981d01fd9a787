//! Links from the documents to other files of the repository, which are no part of the book: they
//! lead to the repository's page on the web.

use std::path::{Component, Path, PathBuf};

use mdbook_driver::book::Book;
use mdbook_driver::errors::{Error, Result};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

/// Turns relative links that leave the book into links to the repository.
pub struct OutsideLinks;

impl Preprocessor for OutsideLinks {
    fn name(&self) -> &str {
        "outside-links"
    }

    fn run(&self, context: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let html = context.config.html_config().unwrap_or_default();
        let repository = html.git_repository_url.ok_or_else(|| Error::msg("no git-repository-url"))?;
        let docs = Path::new("docs");
        book.for_each_chapter_mut(|chapter| {
            if let Some(source) = &chapter.source_path {
                let folder = docs.join(source.parent().unwrap_or(Path::new("")));
                chapter.content = rewrite(&chapter.content, &folder, docs, &repository);
            }
        });
        Ok(book)
    }
}

/// The text with each link to a file outside `book`, or to a README in it, replaced. `folder` is where the text's file is;
/// both are relative to the repository.
fn rewrite(text: &str, folder: &Path, book: &Path, repository: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](").filter(|_| !in_code) {
            let (target, end) = after.split_once(')').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str("](");
            match outside(target, folder, book) {
                Some(path) => out.push_str(&format!("{repository}/blob/main/{}", path.display())),
                // The book calls a folder's first page so.
                None => out.push_str(&target.replace("README.md", "index.md")),
            }
            if target.len() < after.len() {
                out.push(')');
            }
            rest = end;
        }
        out.push_str(rest);
    }
    out
}

/// The path in the repository that a link leads to, if it lies outside the book.
fn outside(target: &str, folder: &Path, book: &Path) -> Option<PathBuf> {
    if target.contains("://") || target.starts_with(['#', '/']) || target.starts_with("mailto:") {
        return None;
    }
    let mut path = PathBuf::new();
    for part in folder.join(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    (!path.starts_with(book)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_out_of_the_book_and_to_first_pages_change() {
        let text = "[a](b.md) [c](../../apps/c.lua), [d](#d)\n```\n[e](../../e)\n```\n[f](../reference/README.md#g)\n";
        let web = "https://example.org/splay";
        assert_eq!(
            rewrite(text, Path::new("docs/guide"), Path::new("docs"), web),
            text.replace("../../apps/c.lua", "https://example.org/splay/blob/main/apps/c.lua")
                .replace("README.md", "index.md")
        );
        assert_eq!(
            rewrite("[x](../README.md", Path::new("docs"), Path::new("docs"), web),
            "[x](https://example.org/splay/blob/main/README.md"
        );
    }
}
