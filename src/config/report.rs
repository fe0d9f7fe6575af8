//! Complaints as they are printed: the place, the source line, a caret, and help.

use std::fmt::{self, Display};

use crate::document::Place;

/// One complaint, ready to be shown.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to it, and what they are.
    pub notes: Vec<(Place, String)>,
}

/// All complaints about the operator's files, in the order of the files.
#[derive(Clone, Debug, Default)]
pub struct Complaints {
    list: Vec<Complaint>,
}

impl Complaints {
    pub(super) fn new(list: Vec<Complaint>) -> Self {
        Self { list }
    }

    /// One by one.
    pub fn list(&self) -> &[Complaint] {
        &self.list
    }
}

impl std::error::Error for Complaints {}

impl Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for complaint in &self.list {
            writeln!(f, "{complaint}")?;
        }
        match self.list.len() {
            1 => write!(f, "1 complaint"),
            count => write!(f, "{count} complaints"),
        }
    }
}

impl Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        point(f, &self.place, &self.message)?;
        for (place, text) in &self.notes {
            point(f, place, text)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "  help: {help}")?;
        }
        Ok(())
    }
}

/// `file:line:column: message`, the source line, and a caret under it.
fn point(f: &mut fmt::Formatter<'_>, place: &Place, message: &str) -> fmt::Result {
    let Place { file, line, column, source, width } = place;
    writeln!(f, "{}:{line}:{column}: {message}", file.display())?;
    if source.is_empty() {
        return Ok(());
    }
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    // What is not printable must not reach the terminal; tabs stay, so that the caret stays below.
    let printable: String = source.chars().map(shown).collect();
    let indent: String = source
        .chars()
        .take(column - 1)
        .map(|character| if character == '\t' { '\t' } else { ' ' })
        .collect();
    writeln!(f, "  {number} | {printable}")?;
    writeln!(f, "  {margin} | {indent}{}", "^".repeat(*width))
}

fn shown(character: char) -> char {
    if character.is_control() && character != '\t' { '\u{fffd}' } else { character }
}
