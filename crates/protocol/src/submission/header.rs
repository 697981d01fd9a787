//! The reservation header of an application's file: a comment that asks for what the application
//! needs. Pure.
//!
//! ```lua
//! --[[
//! BEGIN SPLAY RESSOURCES RESERVATION
//! nb_splayds 20
//! max_mem 8388608
//! END SPLAY RESSOURCES RESERVATION
//! --]]
//! ```

use super::{Draft, FileError, Note, Value};

/// Both spellings are in programs.
const NAMES: [&str; 2] = ["SPLAY RESSOURCES RESERVATION", "SPLAY RESOURCES RESERVATION"];

/// Puts what the header says into the draft; a file without one says nothing. Gives notes on
/// accepted keys, each with its line.
pub fn read_header(source: &[u8], draft: &mut Draft) -> Result<Vec<(usize, Note)>, FileError> {
    let mut notes = Vec::new();
    let mut open = None;
    for (index, bytes) in source.split(|&byte| byte == b'\n').enumerate() {
        let line = index + 1;
        let is = |what: &str| NAMES.iter().any(|name| contains(bytes, &format!("{what} {name}")));
        let Some(begun) = open else {
            if is("BEGIN") {
                open = Some(line);
            }
            continue;
        };
        if is("END") {
            open = None;
            continue;
        }
        if is("BEGIN") {
            let message = format!("the reservation header of line {begun} has no END line");
            return Err(FileError { line, message });
        }
        let failed = |message: String| FileError { line, message };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| failed("a line of the reservation header is not UTF-8".to_owned()))?;
        let text = text.trim().trim_start_matches('-').trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let value = value.trim();
        let value = value.strip_prefix('=').map_or(value, str::trim);
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        let note = draft.set(key, &Value::from(value)).map_err(|error| failed(error.to_string()))?;
        notes.extend(note.map(|note| (line, note)));
    }
    match open {
        Some(line) => {
            let message = format!("the reservation header has no line `END {}`", NAMES[0]);
            Err(FileError { line, message })
        }
        None => Ok(notes),
    }
}

fn contains(line: &[u8], text: &str) -> bool {
    line.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, ListType, Submission};

    fn read(text: &str) -> Result<(Submission, Vec<(usize, Note)>), String> {
        let mut draft = Draft::default();
        let notes = read_header(text.as_bytes(), &mut draft).map_err(|error| error.to_string())?;
        Ok((draft.finish().unwrap(), notes))
    }

    #[test]
    fn old_headers_are_read() {
        let text = "require 'splay.base'\n--[[\nBEGIN SPLAY RESSOURCES RESERVATION\n\nnb_splayds 20\n\
                    max_mem 8388608\nnetwork_nb_ports 3\nhostmasks 10.*|*.ch\nlocalization eu\nlist_type RANDOM\n\
                    udp_drop_ratio 0.25\nbits 64\nEND SPLAY RESSOURCES RESERVATION\n--]]\nnb_splayds = 3\n";
        let (asked, notes) = read(text).unwrap();
        assert_eq!((asked.instances, asked.list_type), (20, ListType::Random));
        let limits = Limits {
            max_memory_bytes: 8 << 20,
            ports: 3,
            udp_drop_per_million: 250_000,
            ..Limits::default()
        };
        assert_eq!(asked.limits, limits);
        assert_eq!(
            (asked.filters.hosts, asked.filters.countries),
            (vec!["10.*".into(), "*.ch".into()], vec!["europe".into()])
        );
        assert_eq!(notes, [(12, "`bits` has no effect: programs are sent as source".to_owned())]);
    }

    #[test]
    fn comments_of_one_line_and_the_other_spelling() {
        let text = "-- BEGIN SPLAY RESOURCES RESERVATION\r\n-- instances 7\r\n--   max_time 2m\r\n-- # why\r\n\
                    --\r\n-- arguments a b\r\n-- END SPLAY RESOURCES RESERVATION\r\n";
        let (asked, _) = read(text).unwrap();
        assert_eq!((asked.instances, asked.max_time), (7, 120.0));
        assert_eq!(asked.arguments, ["a", "b"]);
    }

    #[test]
    fn without_a_header_nothing_is_asked_for() {
        assert_eq!(read("print(1)").unwrap(), (Submission::default(), Vec::new()));
    }

    #[test]
    fn mistakes_name_line_and_key() {
        let wrong = |body: &str| {
            read(&format!(
                "--[[ BEGIN SPLAY RESSOURCES RESERVATION\n{body}\nEND SPLAY RESSOURCES RESERVATION ]]"
            ))
            .unwrap_err()
        };
        assert_eq!(
            wrong("max_time 10\nnb_spalyds 3"),
            "3: unknown key `nb_spalyds` (did you mean `nb_splayds`?)"
        );
        assert_eq!(wrong("flavour x"), "2: unknown key `flavour`");
        assert_eq!(wrong("nb_splayds many"), "2: `nb_splayds`: `many` is not a whole number");
        assert_eq!(wrong("nb_splayds 0"), "2: `nb_splayds`: must be at least 1");
        assert_eq!(wrong("nb_splayds"), "2: `nb_splayds`: has no value");
        assert_eq!(wrong("network_nb_ports 70000"), "2: `network_nb_ports`: 70000 is too large");
        assert_eq!(wrong("factor 11"), "2: `factor`: must be from 1 to 10");
        let open = read("x\n-- BEGIN SPLAY RESSOURCES RESERVATION\n").unwrap_err();
        assert_eq!(open, "2: the reservation header has no line `END SPLAY RESSOURCES RESERVATION`");
    }
}
