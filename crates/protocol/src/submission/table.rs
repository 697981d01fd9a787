//! Submission options as TOML. Pure. Keys stand at the top, or in the tables that the fields of
//! [`super::Submission`] are in: `[limits]`, `[filters]`, `[filters.near]`, `[environment]`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Draft, FileError, Note, Value};

/// Puts what the file says into the draft. Gives notes on accepted keys, each with its line.
pub fn read_toml(text: &str, draft: &mut Draft) -> Result<Vec<(usize, Note)>, FileError> {
    let line_of =
        |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|&&b| b == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| FileError {
        line: error.span().map_or(1, |span| line_of(span.start)),
        message: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })?;
    let mut notes = Vec::new();
    read_table(table.get_ref(), "", draft, &line_of, &mut notes)?;
    notes.sort();
    Ok(notes)
}

fn read_table(
    table: &DeTable<'_>,
    within: &str,
    draft: &mut Draft,
    line_of: &impl Fn(usize) -> usize,
    notes: &mut Vec<(usize, Note)>,
) -> Result<(), FileError> {
    for (key, value) in table {
        let line = line_of(key.span().start);
        let failed = |message: String| FileError { line, message };
        let name = key.get_ref().as_ref();
        if let DeValue::Table(inner) = value.get_ref() {
            match (within, name) {
                ("", "environment" | "env") => {
                    let variable = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                        let value = text_of(value.get_ref()).ok_or_else(|| {
                            failed(format!("`environment.{}` is not one value", name.get_ref()))
                        })?;
                        Ok(format!("{}={value}", name.get_ref()))
                    };
                    let list = inner.iter().map(variable).collect::<Result<_, FileError>>()?;
                    draft
                        .set("environment", &Value::List(list))
                        .map_err(|error| failed(error.to_string()))?;
                }
                ("", "limits" | "filters") | ("filters" | "", "near") => {
                    read_table(inner, name, draft, line_of, notes)?;
                }
                _ => return Err(failed(format!("unknown table `{name}`"))),
            }
            continue;
        }
        let value = match value.get_ref() {
            DeValue::Array(items) => {
                let item = |item: &Spanned<DeValue<'_>>| text_of(item.get_ref());
                let list = items.iter().map(item).collect::<Option<_>>();
                Value::List(list.ok_or_else(|| failed(format!("`{name}`: an item is a list or a table")))?)
            }
            single => Value::Text(text_of(single).expect("neither a list nor a table")),
        };
        // A text is one item here, however many words it has.
        let value = match value {
            Value::Text(text) if super::Key::find(name).is_some_and(|key| key.list) => {
                Value::List(vec![text])
            }
            value => value,
        };
        let note = draft.set(name, &value).map_err(|error| failed(error.to_string()))?;
        notes.extend(note.map(|note| (line, note)));
    }
    Ok(())
}

/// A value that is neither a list nor a table, as it is written.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Submission;

    fn read(text: &str) -> Result<Submission, String> {
        let mut draft = Draft::default();
        read_toml(text, &mut draft).map_err(|error| error.to_string())?;
        draft.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn keys_at_the_top_and_in_their_tables() {
        let text = "instances = 1_000\nfactor = 1.5\nstrict = true\nmax_memory_bytes = \"8MiB\"\n\
                    arguments = [\"a b\", 3]\nscheduled_at = 2026-03-01T18:30:00Z\n\
                    [filters]\nlabels = [\"rack=3\", \"gpu\"]\nmax_load = 2\nnear = {latitude = 47, longitude = 7, distance = 500}\n\
                    [limits]\nports = 2\n[environment]\nMODE = \"fast\"\nN = 3\n";
        let asked = read(text).unwrap();
        assert_eq!((asked.instances, asked.factor, asked.strict), (1000, 1.5, true));
        assert_eq!((asked.limits.max_memory_bytes, asked.limits.ports), (8 << 20, 2));
        assert_eq!(asked.arguments, ["a b", "3"]);
        assert_eq!(asked.scheduled_at, Some(1_772_389_800.0));
        assert_eq!((asked.filters.labels.len(), asked.filters.max_load), (2, Some(2.0)));
        assert_eq!(asked.filters.near.map(|near| near.distance), Some(500.0));
        assert_eq!((asked.environment["MODE"].as_str(), asked.environment["N"].as_str()), ("fast", "3"));
    }

    #[test]
    fn a_submission_written_as_toml_is_read_back() {
        let mut asked =
            Submission { instances: 12, seed: Some(7), name: "x".into(), ..Submission::default() };
        asked.filters.countries = vec!["ch".into()];
        asked.limits.max_sockets = 5;
        asked.environment.insert("A".into(), "b=c".into());
        assert_eq!(read(&toml::to_string(&asked).unwrap()).unwrap(), asked);
    }

    #[test]
    fn mistakes_name_line_and_key() {
        let wrong = |text: &str| read(text).unwrap_err();
        assert_eq!(wrong("\ninstance = 3"), "2: unknown key `instance` (did you mean `instances`?)");
        assert_eq!(
            wrong("[limits]\n\nmax_sokets = 3"),
            "3: unknown key `max_sokets` (did you mean `max_sockets`?)"
        );
        assert_eq!(wrong("instances = [1]"), "1: `instances`: takes one value, not a list");
        assert_eq!(wrong("strict = 7"), "1: `strict`: `7` is neither true nor false");
        assert_eq!(wrong("[wishes]\na = 1"), "1: unknown table `wishes`");
        assert!(wrong("x = = 3").starts_with("1: "));
        assert_eq!(
            wrong("latitude = 3"),
            "`latitude`, `longitude` and `distance` go together: `longitude` is missing"
        );
    }

    #[test]
    fn every_field_has_a_key() {
        let asked = serde_json::to_value(Submission::default()).unwrap();
        let mut names: Vec<String> = Vec::new();
        for (name, value) in asked.as_object().unwrap() {
            match (name.as_str(), value.as_object()) {
                ("limits" | "filters", Some(inner)) => names.extend(inner.keys().cloned()),
                _ => names.push(name.clone()),
            }
        }
        let direct = ["near", "udp_drop_per_million"];
        for name in names.iter().filter(|name| !direct.contains(&name.as_str())) {
            assert!(super::super::Key::find(name).is_some(), "{name}");
        }
    }
}
