//! Where a prompt shows things: the process's streams, or the terminal around the line that is
//! being edited.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use rustyline::ExternalPrinter;
use splay_runtime::host::Stream;

use crate::failure::complain;

/// Something that shows lines of text.
pub trait Screen: Send {
    /// What a program wrote, or values; without the final newline.
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()>;
    /// An error of what was evaluated.
    fn error(&mut self, text: &str) -> io::Result<()>;
    /// Something about the session.
    fn note(&mut self, text: &str) -> io::Result<()>;
}

/// Standard output and standard error.
pub struct Direct;

impl Screen for Direct {
    fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        match stream {
            Stream::Out => writeln!(io::stdout(), "{text}"),
            Stream::Err => {
                // As for other commands: where standard error is closed no one is left to tell.
                let _ = writeln!(io::stderr(), "{text}");
                Ok(())
            }
        }
    }

    fn error(&mut self, text: &str) -> io::Result<()> {
        self.line(Stream::Err, text)
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        complain(text);
        Ok(())
    }
}

/// The terminal: lines appear above the one being edited.
pub struct Around<P> {
    printer: P,
    colour: bool,
}

impl<P: ExternalPrinter> Around<P> {
    /// Shows through the line editor.
    pub fn new(printer: P) -> Around<P> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Around { printer, colour: set("NO_COLOR").is_none() }
    }

    fn print(&mut self, style: Style, text: &str) -> io::Result<()> {
        let text = if self.colour { format!("{style}{text}{style:#}\n") } else { format!("{text}\n") };
        self.printer.print(text).map_err(io::Error::other)
    }
}

impl<P: ExternalPrinter + Send> Screen for Around<P> {
    fn line(&mut self, _stream: Stream, text: &str) -> io::Result<()> {
        self.printer.print(format!("{text}\n")).map_err(io::Error::other)
    }

    fn error(&mut self, text: &str) -> io::Result<()> {
        self.print(AnsiColor::Red.on_default(), text)
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        self.print(AnsiColor::Yellow.on_default(), &format!("splay: {text}"))
    }
}
