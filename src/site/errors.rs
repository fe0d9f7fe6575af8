//! Error answers in the operator's own words.

/// Names the error answers of a Site in the Config.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorsId(pub u32);

impl ErrorsId {
    /// Those that hold where no Site is known, or the Site has none.
    pub const GLOBAL: Self = Self(0);
}

/// The pages of one `errors` table, by status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// At most one for each status.
    pub pages: Vec<(u16, ErrorPage)>,
    /// For every other status.
    pub default: Option<ErrorPage>,
}

impl ErrorPages {
    /// The page for a status, if the operator has written one.
    #[must_use]
    pub fn find(&self, status: u16) -> Option<&ErrorPage> {
        let own = self.pages.iter().find(|(for_status, _)| *for_status == status);
        own.map(|(_, page)| page).or(self.default.as_ref())
    }
}

/// A page, cut where the number of the request and the status go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// The `Content-Type` field.
    pub content_type: &'static str,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    RequestId,
    Status,
}

/// What stands for what in the operator's text. Anything else in braces is the page's own.
const MARKS: [(&str, Piece); 2] = [("{request_id}", Piece::RequestId), ("{status}", Piece::Status)];

impl ErrorPage {
    /// Cuts a page's text at `{request_id}` and `{status}`.
    #[must_use]
    pub fn new(content_type: &'static str, text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        loop {
            let marks = MARKS
                .iter()
                .filter_map(|(mark, piece)| rest.find(mark).map(|at| (at, mark.len(), piece)));
            let Some((at, length, piece)) = marks.min_by_key(|(at, ..)| *at) else { break };
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].into()));
            }
            pieces.push(piece.clone());
            rest = &rest[at + length..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Self { content_type, pieces }
    }

    /// The page for one answer.
    #[must_use]
    pub fn render(&self, status: u16, request_id: &str) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::RequestId => out.push_str(request_id),
                Piece::Status => out.push_str(&status.to_string()),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(ErrorPage::new("text/plain", text).render(503, "0a1b"), expected);
    }

    #[test]
    fn marks_are_replaced_and_other_braces_stay() {
        check("", "");
        check("no more", "no more");
        check("{status}", "503");
        check("<{status}> {request_id}{request_id}.", "<503> 0a1b0a1b.");
        check("p { color: red } {Status} {request_id", "p { color: red } {Status} {request_id");
        check("{{status}}", "{503}");
    }

    #[test]
    fn own_before_default() {
        let page = |text| ErrorPage::new("text/plain", text);
        let pages = ErrorPages { pages: vec![(404, page("a"))], default: Some(page("b")) };
        assert_eq!(pages.find(404), Some(&page("a")));
        assert_eq!(pages.find(503), Some(&page("b")));
        assert_eq!(ErrorPages::default().find(404), None);
    }
}
