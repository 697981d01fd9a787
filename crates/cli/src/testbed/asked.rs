//! What a user asks for when submitting: the file's header, a TOML file and the command line, the
//! later over the earlier.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use splay_protocol::submission::{Draft, FileError, KEYS, Note, Value, read_header, read_toml};
use splay_protocol::topology::Generator;
use splay_protocol::{Submission, churn};

use super::times;
use crate::churn::{load, read};
use crate::failure::{Failure, complain};
use crate::network_options::{check_places, load_topology};

/// Every key of a submission as an option of the command line, as far as it was given.
#[derive(Debug, Clone, Default)]
pub struct OptionFlags(Vec<(&'static str, Value)>);

impl FromArgMatches for OptionFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = OptionFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            let value = match (key.value.is_empty(), key.list) {
                (true, _) if matches.get_flag(key.name) => Value::from("true"),
                (true, _) => continue,
                (false, list) => match matches.get_many::<String>(key.name) {
                    None => continue,
                    Some(given) if list => Value::List(given.cloned().collect()),
                    Some(mut given) => Value::Text(given.next_back().cloned().unwrap_or_default()),
                },
            };
            self.0.push((key.name, value));
        }
        Ok(())
    }
}

impl Args for OptionFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command.next_help_heading("What the job asks for"), |command, key| {
            let mut arg = Arg::new(key.name).long(key.flag).help(key.help);
            if key.name == "instances" {
                arg = arg.short('n');
            }
            arg = match key.value {
                "" => arg.action(ArgAction::SetTrue),
                value if key.list => arg.value_name(value).action(ArgAction::Append),
                value => arg.value_name(value).action(ArgAction::Set).allow_hyphen_values(true),
            };
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl OptionFlags {
    fn option(name: &str) -> String {
        let flag = KEYS.iter().find(|key| key.name == name).map_or(name, |key| key.flag);
        format!("--{flag}")
    }

    fn read(&self, draft: &mut Draft) -> Result<(), Failure> {
        for (name, value) in &self.0 {
            let option = Self::option(name);
            // The command line says it in the user's time zone as well.
            let value = match (*name, value) {
                ("scheduled_at", Value::Text(text)) => {
                    let at =
                        times::instant(text).map_err(|why| Failure::Usage(format!("{option}: {why}")))?;
                    Value::Text(at.to_string())
                }
                (_, value) => value.clone(),
            };
            draft.set(name, &value).map_err(|error| {
                let told = error.to_string();
                Failure::Usage(told.replacen(&format!("`{name}`"), &option, 1))
            })?;
        }
        Ok(())
    }
}

/// What is asked for, and the native libraries it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What is asked for.
    pub submission: Submission,
    /// Names of native libraries.
    pub native: Vec<String>,
}

/// Reads all places. `arguments`, from behind `--`, take the place of any others.
pub fn collect(
    app: &Path,
    source: &[u8],
    config: Option<&Path>,
    flags: &OptionFlags,
    arguments: &[String],
) -> Result<Asked, Failure> {
    let mut draft = Draft::default();
    let wrong = |path: &Path, error: FileError| Failure::Options {
        path: path.to_owned(),
        line: error.line,
        message: error.message,
    };
    let notes = read_header(source, &mut draft).map_err(|error| wrong(app, error))?;
    tell(app, &notes);
    let mut file = beside(app, draft.churn_file.take());
    let mut topology = network(app, draft.topology_file.take());
    if let Some(path) = config {
        let text = read(path)?;
        let notes = read_toml(&text, &mut draft).map_err(|error| wrong(path, error))?;
        tell(path, &notes);
        file = match draft.churn_file.take() {
            Some(named) => beside(path, Some(named)),
            None if draft.has_churn() => None,
            None => file,
        };
        topology = network(path, draft.topology_file.take()).or(topology);
    }
    flags.read(&mut draft)?;
    file = draft.churn_file.take().map(PathBuf::from).or(file);
    topology = draft.topology_file.take().or(topology);
    if let Some(file) = file {
        let text = read(&file)?;
        // What is wrong with it is told here, with its place, rather than by the controller.
        let settings = churn::Settings::default();
        let loaded = load(&file, &settings)?;
        crate::churn::warn(&file, &loaded.warnings);
        draft.set_churn(text);
    }
    if !arguments.is_empty() {
        draft.set("arguments", &Value::List(arguments.to_vec())).expect("any list will do");
    }
    let native = draft.native.clone();
    let mut submission = draft.finish().map_err(|error| Failure::Usage(error.to_string()))?;
    if submission.name.is_empty() {
        submission.name =
            app.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    }
    if let Some(topology) = topology {
        // What is wrong with it is told here as well.
        let churn = submission.churn.is_some();
        let seed = submission.seed.unwrap_or_else(rand::random);
        let loaded = load_topology(&topology, submission.instances, seed)?;
        check_places(&topology, &loaded.topology, if churn { 0 } else { submission.instances })?;
        submission.topology = Some(loaded.text);
    }
    Ok(Asked { submission, native })
}

/// A topology named in a file: what generates one stands for itself.
fn network(named_in: &Path, name: Option<String>) -> Option<String> {
    let name = name?;
    if Generator::is_named(&name) {
        return Some(name);
    }
    beside(named_in, Some(name)).map(|path| path.to_string_lossy().into_owned())
}

/// A file named in a file is looked for beside it.
fn beside(named_in: &Path, name: Option<String>) -> Option<PathBuf> {
    let folder = named_in.parent().unwrap_or(Path::new(""));
    name.map(|name| folder.join(name))
}

fn tell(path: &Path, notes: &[(usize, Note)]) {
    for (line, note) in notes {
        complain(&format!("note: {}:{line}: {note}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> OptionFlags {
        let command = OptionFlags::augment_args(Command::new("x").no_binary_name(true));
        OptionFlags::from_arg_matches(&command.get_matches_from(words)).unwrap()
    }

    #[test]
    fn later_places_win() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("job.toml");
        std::fs::write(&config, "factor = 2\nmax_time = 60\nchurn = \"day.trace\"\n").unwrap();
        std::fs::write(folder.path().join("day.trace"), "0 10\n5\n").unwrap();
        let source = b"--[[ BEGIN SPLAY RESOURCES RESERVATION\ninstances 5\nfactor 3\nlabels a b\nEND SPLAY RESOURCES RESERVATION ]]";
        let flags = flags(&[
            "-n",
            "7",
            "--label",
            "gpu",
            "--env",
            "A=1,2",
            "--env",
            "B=3",
            "--strict",
            "--longitude",
            "-7",
            "--latitude",
            "4",
            "--distance",
            "9",
        ]);
        let asked = collect(Path::new("x/ring.lua"), source, Some(&config), &flags, &["-v".into()])
            .unwrap()
            .submission;
        assert_eq!((asked.instances, asked.factor, asked.max_time, asked.strict), (7, 2.0, 60.0, true));
        assert_eq!((asked.name.as_str(), asked.filters.labels), ("ring", vec!["gpu".to_owned()]));
        assert_eq!((asked.environment["A"].as_str(), asked.environment["B"].as_str()), ("1,2", "3"));
        assert_eq!((asked.arguments, asked.churn), (vec!["-v".to_owned()], Some("0 10\n5\n".to_owned())));
        assert_eq!(asked.filters.near.unwrap().longitude, -7.0);
    }

    #[test]
    fn a_topology_goes_as_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("net.csv"), "0,5\n5,0\n").unwrap();
        std::fs::write(folder.path().join("bad.csv"), "0,5\n5,x\n").unwrap();
        let app = folder.path().join("app.lua");
        let header = |file: &str| {
            format!(
                "--[[ BEGIN SPLAY RESOURCES RESERVATION\ntopology {file}\nEND SPLAY RESOURCES RESERVATION ]]"
            )
        };
        let ask = |source: &str, words: &[&str]| collect(&app, source.as_bytes(), None, &flags(words), &[]);
        let asked = ask(&header("net.csv"), &["-n", "2"]).unwrap().submission;
        assert_eq!(asked.topology.as_deref(), Some("0,5\n5,0\n"));
        let error = ask(&header("bad.csv"), &[]).unwrap_err();
        assert!(error.to_string().contains("bad.csv:2: "), "{error}");
        assert_eq!(error.status(), 4);
        // The command line wins, and what it generates is for as many as there are.
        let words = ["-n", "4", "--topology", "star:latency=7ms", "--topology-places", "shuffled"];
        let asked = ask(&header("bad.csv"), &words).unwrap().submission;
        let made = splay_protocol::topology::Topology::parse(&asked.topology.unwrap()).unwrap();
        assert_eq!(made.places(), 4);
        assert_eq!(asked.topology_places, splay_protocol::submission::PlaceOrder::Shuffled);
    }

    #[test]
    fn mistakes_name_their_place() {
        let wrong = |source: &str, words: &[&str]| {
            let error = collect(Path::new("a.lua"), source.as_bytes(), None, &flags(words), &[]).unwrap_err();
            (error.status(), error.to_string())
        };
        assert_eq!(wrong("", &["-n", "0"]), (2, "--instances: must be at least 1".to_owned()));
        assert_eq!(
            wrong("", &["--max-memory", "x"]).1,
            "--max-memory: not a size such as 1000000, 512k, 64MB or 1GiB"
        );
        assert_eq!(wrong("", &["--at", "never"]).0, 2);
        let header =
            "-- BEGIN SPLAY RESOURCES RESERVATION\n-- instnaces 3\n-- END SPLAY RESOURCES RESERVATION";
        assert_eq!(
            wrong(header, &[]),
            (4, "a.lua:2: unknown key `instnaces` (did you mean `instances`?)".to_owned())
        );
        assert_eq!(wrong("", &["--churn", "no.trace"]).0, 3);
        assert_eq!(wrong("", &["--topology", "no.xml"]).0, 3);
        assert_eq!(wrong("", &["--topology-places", "any"]).0, 2);
        let few = wrong("", &["-n", "3", "--topology", "star:n=2"]);
        assert_eq!(few, (2, "star:n=2 has places for 2 instances, not for 3".to_owned()));
    }
}
