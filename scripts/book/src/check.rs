//! Whether the links of a folder of HTML files lead somewhere: to a file of the folder, and there to
//! an element of that name.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Each relative link that leads nowhere, as `page: link`.
pub fn broken_links(folder: &Path) -> Result<Vec<String>> {
    let root = folder.canonicalize().with_context(|| format!("find {}", folder.display()))?;
    let mut pages = BTreeMap::new();
    read(folder, &mut pages)?;
    let names: BTreeMap<&PathBuf, HashSet<&str>> =
        pages.iter().map(|(path, text)| (path, attributes(text, "id").collect())).collect();
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for link in attributes(text, "href").chain(attributes(text, "src")) {
            if !leads_somewhere(path, link, &names) {
                let page = path.strip_prefix(&root).unwrap_or(path);
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    Ok(broken)
}

fn leads_somewhere(page: &Path, link: &str, names: &BTreeMap<&PathBuf, HashSet<&str>>) -> bool {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return true;
    }
    let (file, name) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent().expect("a page is in a folder").join(file),
    };
    let Ok(target) = target.canonicalize() else { return false };
    name.is_empty() || names.get(&target).is_some_and(|names| names.contains(name))
}

/// All HTML files of a folder and of those in it.
fn read(folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, pages)?;
        } else if path.extension().is_some_and(|ending| ending == "html") {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            pages.insert(path.canonicalize()?, text);
        }
    }
    Ok(())
}

/// The values of an attribute, wherever it stands in a tag.
fn attributes<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {name}=\"");
    let mut rest = html;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&opening)?;
        let (value, end) = after.split_once('"')?;
        rest = end;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        write("a.html", r##"<h1 id="top"></h1><a href="sub/b.html#x">b</a><a href="#none">c</a>"##);
        write("sub/b.html", r##"<p id="x"><img alt="" src="no.svg"><a href="../a.html#top">a</a>"##);
        write("sub/c.html", r##"<a href="https://example.org/d"></a><a class="" href="e.html"></a>"##);
        assert_eq!(
            broken_links(folder.path()).unwrap(),
            ["a.html: #none", "sub/b.html: no.svg", "sub/c.html: e.html"]
        );
    }
}
