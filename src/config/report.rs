//! Complaints as they are printed: the place, the source line, a caret, other places, and help.

use std::fmt::{self, Display};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::document::Place;

/// Complaints that are printed; a program may read more of them from [`Complaints::list`].
const PRINTED_MAX: usize = 100;

/// Whether a complaint keeps the files from being put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not: the operator should know, and may want it so.
    Warning,
}

/// One complaint, ready to be shown.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// Whether it keeps the files from being put in force.
    pub severity: Severity,
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
    errors: usize,
    warnings: usize,
}

impl Complaints {
    /// `list` may have been cut short; the numbers count all.
    pub(super) fn new(list: Vec<Complaint>, errors: usize, warnings: usize) -> Self {
        Self { list, errors, warnings }
    }

    /// One by one: all of them, or the first thousand.
    pub fn list(&self) -> &[Complaint] {
        &self.list
    }

    /// How many there are, with those that are not in the list.
    pub fn count(&self) -> usize {
        self.errors + self.warnings
    }

    /// How many of them are warnings.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// For people, in colour if their terminal shows it. Text of the files cannot steer the
    /// terminal. Errors come before warnings when there are too many to print.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut left = PRINTED_MAX.saturating_sub(self.errors);
        let mut errors_left = PRINTED_MAX;
        let mut out = String::new();
        let mut printed = 0;
        for complaint in &self.list {
            let left = match complaint.severity {
                Severity::Error => &mut errors_left,
                Severity::Warning => &mut left,
            };
            if *left > 0 {
                *left -= 1;
                printed += 1;
                out.push_str(&complaint.render(&renderer));
                out.push_str("\n\n");
            }
        }
        if self.count() > printed {
            out.push_str(&format!("and {} more; correct these first\n", self.count() - printed));
        }
        out.push_str(&self.summary());
        out
    }

    /// `2 complaints`, `1 complaint and 3 warnings`, `1 warning`.
    pub fn summary(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        match (self.errors, self.warnings) {
            (0, warnings) => counted(warnings, "warning"),
            (errors, 0) => counted(errors, "complaint"),
            (errors, warnings) => {
                format!("{} and {}", counted(errors, "complaint"), counted(warnings, "warning"))
            }
        }
    }
}

impl std::error::Error for Complaints {}

impl Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Complaint {
    /// `file:line:column: message`, so that it can be searched for and jumped to, then the source
    /// line with a caret under it, the other places, and help.
    fn render(&self, renderer: &Renderer) -> String {
        let (level, word) = match self.severity {
            Severity::Error => (Level::ERROR, ""),
            Severity::Warning => (Level::WARNING, "warning: "),
        };
        let Place { file, line, column, .. } = &self.place;
        let title = format!("{}:{line}:{column}: {word}{}", file.display(), self.message);
        let mut group = Group::with_title(level.no_name().primary_title(printable(&title)));
        if !self.place.source.is_empty() {
            group = group.element(snippet(&self.place, AnnotationKind::Primary, None));
        }
        for (place, text) in &self.notes {
            let path = printable(&place.file.display().to_string());
            group = group.element(snippet(place, AnnotationKind::Context, Some(text)).path(path));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[group])
    }
}

/// The source line of a place, underlined.
fn snippet<'s>(
    place: &Place,
    kind: AnnotationKind,
    label: Option<&str>,
) -> Snippet<'s, annotate_snippets::Annotation<'s>> {
    let source = printable(&place.source);
    let offset = |characters: usize| {
        source.char_indices().nth(characters).map_or(source.len(), |(offset, _)| offset)
    };
    let span = offset(place.indent)..offset(place.indent + place.width);
    let annotation = kind.span(span).label(label.map(printable));
    Snippet::source(source).line_start(place.line).annotation(annotation)
}

/// The same number of characters, none of which a terminal obeys.
fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that turn the direction of what follows.
fn steers(character: char) -> bool {
    character.is_control() && character != '\t'
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
