//! A page of the guide: its blocks of code and what it links to.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file, read.
pub struct Page {
    pub path: PathBuf,
    pub blocks: Vec<Block>,
    /// Targets of its links and pictures that are files beside it or below.
    pub links: Vec<String>,
}

/// A fenced block.
pub struct Block {
    /// Where it begins, from 1.
    pub line: usize,
    /// `lua`, or `text,unordered` ...
    pub info: String,
    pub text: String,
    /// The file that the block shows.
    pub listing: Option<Listing>,
    /// The next line after it that is not blank.
    pub after: String,
}

/// `<!-- code/x.lua -->` on the line before the block, or a part of the file:
/// `<!-- code/x.lua:3:9 -->`.
#[derive(Clone)]
pub struct Listing {
    pub file: PathBuf,
    pub part: bool,
}

impl Page {
    pub fn read(path: &Path) -> Page {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let folder = path.parent().expect("in a folder");
        let mut page = Page { path: path.to_owned(), blocks: Vec::new(), links: Vec::new() };
        let mut lines = text.lines().enumerate();
        let mut before = "";
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else {
                let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
                page.links.extend(targets.map(str::to_owned));
                before = line;
                continue;
            };
            let text: String = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            let after = lines.clone().map(|(_, line)| line).find(|line| !line.trim().is_empty());
            page.blocks.push(Block {
                line: number + 1,
                info: info.trim().to_owned(),
                listing: Listing::named(before, folder),
                text,
                after: after.unwrap_or_default().to_owned(),
            });
            before = "";
        }
        page
    }
}

impl Block {
    /// The first word of its info string.
    pub fn language(&self) -> &str {
        self.info.split(',').next().unwrap_or_default()
    }

    pub fn has(&self, word: &str) -> bool {
        self.info.split(',').skip(1).any(|one| one == word)
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.info
            .split(',')
            .filter_map(|one| one.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    }
}

impl Listing {
    fn named(comment: &str, folder: &Path) -> Option<Listing> {
        let target = comment.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let (file, range) = target.split_once(':').unwrap_or((target, ""));
        Some(Listing { file: folder.join(file), part: !range.is_empty() })
    }
}
