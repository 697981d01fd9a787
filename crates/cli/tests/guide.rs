//! Every command and every listing of the guide, run as its reader would. `GUIDE_TEST=nbd` runs
//! `nbd.md` only.
//!
//! A page is read from top to bottom in a folder of its own, where nothing is but `apps/` and what the
//! page has brought there:
//!
//! * a `lua` block that shows a whole file of `docs/guide/code/` puts what it shows into the folder, as
//!   a reader saves it; a command further down must name it. With a range of lines it is an excerpt of a
//!   file that the page has put there, or puts there later. `scripts/check reference` keeps listings as
//!   the files are;
//! * a `sh` block is run; its status must be 0, or what `sh,status=1` says;
//! * a `text` or `json` block right after it is what it prints (`transcript.rs` tells what may differ);
//!   `text,unordered`: in any order;
//! * `sh,needs=PROGRAM` and the output after it are passed over, with a notice, where the program is not
//!   installed; in CI it must be;
//! * a block of any of these kinds that is marked `not-run` is passed over, and a line that begins with
//!   `*Not run` must follow, which tells the reader why.

mod support;

#[path = "guide/page.rs"]
mod page;
#[path = "guide/transcript.rs"]
mod transcript;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use page::{Block, Page};
use support::{Outcome, Place, free_ports};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().expect("docs")
}

/// Pages whose commands another test runs: those of a testbed, inside one (`testbed.rs`).
const ELSEWHERE: [&str; 1] = ["guide/testbed.md"];

/// The other pages of the guide, in the order of the book.
fn pages() -> Vec<Page> {
    let summary = fs::read_to_string(docs().join("SUMMARY.md")).expect("SUMMARY.md");
    let links = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links
        .filter(|link| link.starts_with("guide/") && !ELSEWHERE.contains(link))
        .map(|link| Page::read(&docs().join(link)))
        .collect()
}

#[test]
fn every_page_and_every_program_has_its_place() {
    let pages = pages();
    let guide = docs().join("guide");
    let mut paths: BTreeSet<PathBuf> = pages.iter().map(|page| page.path.clone()).collect();
    for page in &pages {
        paths
            .extend(page.blocks.iter().filter_map(|block| block.listing.clone().map(|listing| listing.file)));
        // Pictures and what commands are given besides listings.
        paths.extend(page.links.iter().map(|link| guide.join(link)));
    }
    paths.extend(ELSEWHERE.iter().map(|page| docs().join(page)));
    let mut folders = vec![guide];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the guide") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert!(paths.contains(&path), "no page shows {}", path.display());
            }
        }
    }
}

#[test]
fn all_of_the_guide_runs() {
    // Each page takes a while, mostly waiting.
    let mut pages = pages();
    if let Some(name) = selected() {
        pages.retain(|page| page.path.file_stem().is_some_and(|stem| *stem == *name));
        assert!(!pages.is_empty(), "no page {name}");
    }
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = pages.into_iter().map(|page| scope.spawn(move || run(&page).err())).collect();
        running.into_iter().filter_map(|thread| thread.join().expect("no page panics")).collect()
    });
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn the_rings_picture_is_drawn_again() {
    let place = Place::new();
    fs::copy(docs().join("guide/code/ring/stabilize.lua"), place.path().join("stabilize.lua"))
        .expect("there");
    let first_port = free_ports(8).to_string();
    let words = ["run", "stabilize.lua", "-n", "8", "--first-port", &first_port, "--plot", "ring"];
    Outcome::of(place.splay(&words)).ended(0);
    let shown = fs::read_to_string(docs().join("guide/ring.svg")).expect("the guide's picture");
    for picture in [shown, place.read("runs/stabilize/latest/ring.svg")] {
        let tree = roxmltree::Document::parse(&picture).expect("well-formed");
        let nodes = tree.descendants().filter(|element| element.attribute("class") == Some("node")).count();
        assert_eq!(nodes, 8, "{picture}");
        let said =
            tree.descendants().find(|element| element.has_tag_name("desc")).and_then(|desc| desc.text());
        assert_eq!(said, Some("8 of 8 know the next on the ring"));
    }
}

/// Runs a page; an error tells the line and what is wrong with it.
fn run(page: &Page) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let splay = assert_cmd::cargo::cargo_bin("splay");
    let programs = splay.parent().expect("in a folder");
    // Pages may name the checkout's applications.
    std::os::unix::fs::symlink(docs().join("../apps"), folder.path().join("apps"))
        .expect("its files are ours");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());

    let mut output = None; // of the block before this one, if it was run
    let mut skipped = false; // the block before this one was
    for (index, block) in page.blocks.iter().enumerate() {
        let at = |what: String| format!("{}:{}: {what}", page.path.display(), block.line);
        if block.has("not-run") {
            if !block.after.starts_with("*Not run") {
                return Err(at("not run, and the line after it does not say why".into()));
            }
            output = None;
            continue;
        }
        if let Some(program) = block.value("needs")
            && !installed(program)
        {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) && matches!(block.language(), "text" | "json") {
            continue;
        }
        match block.language() {
            "lua" => {
                put(page, index, folder.path()).map_err(at)?;
                output = None;
            }
            "sh" => output = Some(execute(block, folder.path(), &path).map_err(at)?),
            "text" | "json" => {
                let Some(printed) = output.take() else {
                    return Err(at("no command stands before this output".into()));
                };
                let matches = match block.has("unordered") {
                    true => transcript::same_lines(&block.text, &printed),
                    false => transcript::same(&block.text, &printed),
                };
                if !matches {
                    return Err(at(format!("expected\n{}--- but it printed\n{printed}", block.text)));
                }
            }
            other => return Err(at(format!("a block of `{other}` is neither run nor marked `not-run`"))),
        }
    }
    Ok(())
}

/// The environment chooses which page runs, not how it does.
#[allow(clippy::disallowed_methods)]
fn selected() -> Option<String> {
    std::env::var("GUIDE_TEST").ok()
}

/// Whether a program that a block needs is there.
#[allow(clippy::disallowed_methods)]
fn installed(program: &str) -> bool {
    let found = std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing");
    if !found {
        #[expect(clippy::print_stderr, reason = "who runs the tests should know")]
        {
            eprintln!("skipped: {program} is missing");
        }
    }
    found
}

/// Puts the file of a listing into the folder.
fn put(page: &Page, index: usize, folder: &Path) -> Result<(), String> {
    let block = &page.blocks[index];
    let Some(listing) = &block.listing else {
        return Err("a listing that is no file of docs/guide/code".into());
    };
    let current = fs::read_to_string(&listing.file).map_err(|error| format!("a listing's file: {error}"))?;
    if !current.contains(&block.text) || (!listing.part && current != block.text) {
        return Err("the listing is not what its file is; `./scripts/check reference` writes it anew".into());
    }
    let name = listing.file.file_name().expect("a file").to_string_lossy().into_owned();
    if listing.part {
        let whole = |block: &Block| {
            block.listing.as_ref().is_some_and(|other| other.file == listing.file && !other.part)
        };
        return match page.blocks.iter().any(whole) {
            true => Ok(()),
            false => Err(format!("an excerpt of {name}, which the page does not show")),
        };
    }
    let runs =
        |block: &Block| block.language() == "sh" && !block.has("not-run") && block.text.contains(&name);
    if !page.blocks[index..].iter().any(runs) {
        return Err(format!("no command below names {name}"));
    }
    fs::write(folder.join(&name), &block.text).map_err(|error| format!("{name}: {error}"))
}

/// What a block of commands prints.
fn execute(block: &Block, folder: &Path, path: &str) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &format!("exec 2>&1\n{}", block.text)]);
    shell.current_dir(folder).env("PATH", path).env_remove("NO_COLOR").timeout(Duration::from_secs(90));
    let outcome = Outcome::of(shell);
    let expected = block.value("status").map_or(0, |status| status.parse().expect("status=NUMBER"));
    match outcome.status == Some(expected) {
        true => Ok(outcome.out),
        false => {
            Err(format!("{}--- ended with {:?} and printed\n{}", block.text, outcome.status, outcome.out))
        }
    }
}
