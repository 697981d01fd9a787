//! `splay plot`: draws the overlay that the instances of a finished run showed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::attach::place;
use crate::failure::Failure;
use crate::plot::{self, Kind, Overlay};
use crate::reporter::{KEPT_UNASKED, VIEW_FILE};

const EXAMPLES: &str = "\
Examples:
  splay run chord.lua -n 50 --plot ring
      draw the ring when the run is over, in its results
  splay plot chord
      draw it again: the latest run of chord.lua in runs/
  splay plot runs/chord/latest graph -o chord.svg
      the same nodes and links as a graph, in a file of your choice (-: standard output)

An application shows its overlay through a global table; each field is a value or a function,
called when the instance ends, that may not wait:
  view = {
    id = function() return n.id end,        -- ring: a number, or decimal or hexadecimal digits
                                            --   [default: from the SHA-1 of the address]
    size = 2 ^ 40,                          -- ring: identifiers are below it (or `bits = 160`)
    links = function() return { successor, { to = finger[2], kind = \"finger\" } } end,
    parent = function() return parent end,  -- tree: a node, nil at the root, false outside
    label = function() return state end,    -- a few words beside the node
  }
A node is a table with ip and port. What the instances showed is kept as view.json in the results.

Exit status: 0 drawn, 2 wrong command line, 3 no such run, or its view.json is unreadable, 6 the
instances showed nothing for this kind of picture, or it cannot be written.";

/// Draw the overlay of a finished run as an SVG file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlotArgs {
    /// The results of a run: its folder, such as runs/chord/latest, or its view.json; or the name
    /// of an application, for its latest run.
    #[arg(value_name = "RUN", value_hint = ValueHint::AnyPath)]
    run: PathBuf,
    /// What kind of picture [default: the first that the application declares fields for].
    #[arg(value_name = "KIND", value_enum)]
    kind: Option<Kind>,
    /// Where to; `-`: standard output [default: KIND.svg in the results].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Folder of all results.
    #[arg(long, value_name = "DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    runs: PathBuf,
}

/// Draws one picture and tells where it is.
pub fn execute(args: PlotArgs) -> Result<ExitCode, Failure> {
    let file = view_of(&args.runs, args.run)?;
    let overlay = read(&file)?;
    let kind = args.kind.unwrap_or_else(|| Kind::of(&overlay));
    let text = plot::draw(kind, &overlay).map_err(|source| Failure::Plot { kind, source })?;
    let path = args.output.unwrap_or_else(|| file.with_file_name(kind.file_name()));
    if path == Path::new("-") {
        io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&path, &text)?;
    writeln!(io::stdout(), "{}", path.display()).map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// What a run has shown: the file that is meant, or that of the run.
fn view_of(runs: &Path, run: PathBuf) -> Result<PathBuf, Failure> {
    let within = run.join(VIEW_FILE);
    if within.is_file() {
        return Ok(within);
    }
    if run.extension().is_some_and(|ending| ending == "json") {
        return Ok(run);
    }
    let run = place::find(runs, Some(&run))?;
    let file = run.join(VIEW_FILE);
    match file.is_file() {
        true => Ok(file),
        false => Err(Failure::NothingShown { why: why_nothing(&run), run }),
    }
}

/// Why a run has no file of what it showed.
fn why_nothing(run: &Path) -> String {
    let options = fs::read(run.join("options.json")).unwrap_or_default();
    let options: serde_json::Value = serde_json::from_slice(&options).unwrap_or_default();
    let many = options["instances"].as_u64().is_some_and(|count| count > u64::from(KEPT_UNASKED));
    if many && options["plot"].as_array().is_some_and(Vec::is_empty) {
        return format!("what more than {KEPT_UNASKED} instances show is kept with --plot alone");
    }
    if !run.join("summary.json").is_file() {
        return "the run is not over, or has ended before its time".to_owned();
    }
    "the application sets no global `view`".to_owned()
}

/// Draws what a run was asked to draw, into its folder; gives the files.
pub fn draw_all(folder: &Path, kinds: &[Kind]) -> Vec<Result<(Kind, PathBuf), Failure>> {
    if kinds.is_empty() {
        return Vec::new();
    }
    let file = folder.join(VIEW_FILE);
    let overlay = if file.exists() { read(&file) } else { Ok(Overlay::default()) };
    let overlay = match overlay {
        Ok(overlay) => overlay,
        Err(failure) => return vec![Err(failure)],
    };
    let one = |&kind: &Kind| {
        let text = plot::draw(kind, &overlay).map_err(|source| Failure::Plot { kind, source })?;
        let path = folder.join(kind.file_name());
        write(&path, &text)?;
        Ok((kind, path))
    };
    kinds.iter().map(one).collect()
}

fn read(path: &Path) -> Result<Overlay, Failure> {
    let failed = |source| Failure::View { path: path.to_owned(), source };
    let text = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|source| Failure::Write { path: path.to_owned(), source })
}
