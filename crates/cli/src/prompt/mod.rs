//! A prompt: reads Lua code, has a session evaluate it and shows what comes back. Where the code
//! is evaluated is the session's affair.

mod history;
mod screen;
mod terminal;

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use splay_runtime::host::{Completion, EvaluationOutcome, Stream};
use splay_runtime::vm::{Completeness, completeness};

use crate::failure::{Failure, complain};
use screen::{Direct, Screen};

/// Where code is evaluated. What comes of it is [`Heard`] on a channel.
pub trait Session: Send + Sync {
    /// Begins to evaluate code. Comes to an end with [`Heard::Over`] or [`Heard::Gone`].
    fn evaluate(&self, code: String);
    /// Gives up what is being evaluated.
    fn cancel(&self);
    /// How a line, up to the cursor, may go on.
    fn complete(&self, line: &str) -> Completion;
}

/// Something a session tells.
#[derive(Debug)]
pub enum Heard {
    /// A line was written.
    Line { stream: Stream, line: Vec<u8> },
    /// The evaluation is over.
    Over(EvaluationOutcome),
    /// The instance is gone: nothing can be evaluated any more.
    Gone {
        /// What the user is told; empty: nothing.
        message: String,
        /// The command's exit status.
        status: u8,
    },
}

/// How many [`Heard`] may wait to be shown.
pub const QUEUE: usize = 4096;

/// What became of an evaluation.
enum Turn {
    Over {
        well: bool,
    },
    Gone {
        status: u8,
    },
    /// Nothing can be shown any more.
    Broken(io::Error),
}

/// Reads code from the terminal, or from standard input if that is none, until it ends.
pub fn talk(session: Arc<dyn Session>, heard: Receiver<Heard>, banner: &str) -> Result<ExitCode, Failure> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return terminal::talk(session, heard, banner);
    }
    let turns = present(heard, Box::new(Direct), say_gone);
    let mut status = 0;
    let mut code = String::new();
    for line in io::stdin().lock().lines() {
        code.push_str(&line.map_err(Failure::Input)?);
        if !is_complete(&code) {
            code.push('\n');
            continue;
        }
        match take_turn(&*session, &turns, std::mem::take(&mut code))? {
            Turn::Gone { status } => return Ok(ExitCode::from(status)),
            Turn::Over { well } if !well => status = 1,
            _ => {}
        }
    }
    // What begins something and does not end is told as the error that it is.
    match take_turn(&*session, &turns, code)? {
        Turn::Gone { status } => Ok(ExitCode::from(status)),
        Turn::Over { well } => Ok(ExitCode::from(if well { status } else { 1 })),
        Turn::Broken(error) => Err(Failure::Output(error)),
    }
}

/// Evaluates pieces of code one after the other, up to the first that fails.
pub fn evaluate_all(
    session: &dyn Session,
    heard: Receiver<Heard>,
    codes: Vec<String>,
) -> Result<ExitCode, Failure> {
    let turns = present(heard, Box::new(Direct), say_gone);
    for code in codes {
        match take_turn(session, &turns, code)? {
            // The instance may be gone because the code made it so, but what it was is not known.
            Turn::Gone { status } => return Ok(ExitCode::from(status.max(1))),
            Turn::Over { well } if !well => return Ok(ExitCode::from(1)),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Evaluates one piece of code and waits until it is over.
fn take_turn(session: &dyn Session, turns: &Receiver<Turn>, code: String) -> Result<Turn, Failure> {
    if code.trim().is_empty() {
        return Ok(Turn::Over { well: true });
    }
    session.evaluate(code);
    match turns.recv().expect("the presenter tells before it ends") {
        Turn::Broken(error) => Err(Failure::Output(error)),
        turn => Ok(turn),
    }
}

/// Whether code can be evaluated; what only begins something waits for more lines.
fn is_complete(code: &str) -> bool {
    completeness(code) != Ok(Completeness::Incomplete)
}

/// Shows all that is heard, from an OS thread of its own; gives the ends of evaluations.
/// `on_gone` is called after the last one, with what the user is to be told and the exit status.
fn present(
    heard: Receiver<Heard>,
    mut screen: Box<dyn Screen>,
    on_gone: impl FnOnce(&str, u8) + Send + 'static,
) -> Receiver<Turn> {
    let (turns, taken) = crossbeam_channel::unbounded();
    let body = move || match show_all(&heard, &mut *screen, &turns) {
        Ok(Some((message, status))) => {
            on_gone(&message, status);
            let _ = turns.send(Turn::Gone { status });
        }
        Ok(None) => {}
        Err(error) => drop(turns.send(Turn::Broken(error))),
    };
    std::thread::Builder::new().name("presenter".to_owned()).spawn(body).expect("one more thread can start");
    taken
}

fn say_gone(message: &str, _status: u8) {
    if !message.is_empty() {
        complain(message);
    }
}

/// Gives what is to be said and the exit status when the instance is gone.
fn show_all(
    heard: &Receiver<Heard>,
    screen: &mut dyn Screen,
    turns: &Sender<Turn>,
) -> io::Result<Option<(String, u8)>> {
    for one in heard {
        let well = match one {
            Heard::Line { stream, line } => {
                screen.line(stream, &String::from_utf8_lossy(&line))?;
                continue;
            }
            Heard::Gone { message, status } => return Ok(Some((message, status))),
            // That the instance is gone, and why, is heard next.
            Heard::Over(EvaluationOutcome::Ended) => continue,
            Heard::Over(EvaluationOutcome::Values(values)) => {
                if !values.is_empty() {
                    let long = values.iter().any(|value| value.contains('\n'));
                    screen.line(Stream::Out, &values.join(if long { "\n" } else { "\t" }))?;
                }
                true
            }
            Heard::Over(EvaluationOutcome::Error(message)) => {
                screen.error(&message)?;
                false
            }
            Heard::Over(EvaluationOutcome::Cancelled) => {
                screen.error("interrupted")?;
                false
            }
        };
        let _ = turns.send(Turn::Over { well });
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Page(Sender<String>);

    impl Screen for Page {
        fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
            self.0.send(format!("{stream:?} {text}")).map_err(io::Error::other)
        }
        fn error(&mut self, text: &str) -> io::Result<()> {
            self.line(Stream::Err, text)
        }
        fn note(&mut self, text: &str) -> io::Result<()> {
            self.line(Stream::Err, text)
        }
    }

    #[test]
    fn values_share_a_line_if_they_can() {
        let (heard, hears) = crossbeam_channel::unbounded();
        let (page, lines) = crossbeam_channel::unbounded();
        for values in [vec!["1", "\"a\""], vec![], vec!["1", "{\n}"]] {
            let values = values.into_iter().map(str::to_owned).collect();
            heard.send(Heard::Over(EvaluationOutcome::Values(values))).unwrap();
        }
        heard.send(Heard::Over(EvaluationOutcome::Ended)).unwrap();
        heard.send(Heard::Gone { message: "gone".into(), status: 3 }).unwrap();
        let turns = present(hears, Box::new(Page(page)), |message, status| {
            assert_eq!((message, status), ("gone", 3))
        });
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["Out 1\t\"a\"", "Out 1\n{\n}"]);
        let turns: Vec<Turn> = turns.iter().collect();
        assert!(matches!(
            turns[..],
            [Turn::Over { well: true }, Turn::Over { .. }, Turn::Over { .. }, Turn::Gone { status: 3 }]
        ));
    }
}
