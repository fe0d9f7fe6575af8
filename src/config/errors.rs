//! `[errors]`: error answers in the operator's own words.

use std::path::Path;

use super::judge::Judge;
use crate::document::{Named, Written};
use crate::site::{ErrorPage, ErrorPages, ErrorsId};

/// No page is longer: every refused request is answered with one, from memory.
const ERROR_PAGE_BYTES_MAX: usize = 65_536;

/// The key of the page for every status that has none of its own.
const DEFAULT: &str = "default";

/// How a file's name ends, and what its content is called.
const CONTENT_TYPES: [(&str, &str); 3] = [
    ("html", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
];

impl Judge<'_> {
    /// The global pages, then those of each Site that has some; and which are whose, by the places
    /// of the Sites in the Document.
    pub(super) fn error_pages(&mut self) -> (Vec<ErrorPages>, Vec<ErrorsId>) {
        let document = self.document;
        let global = self.pages(&document.errors);
        let (mut all, mut whose) = (vec![global.clone()], Vec::new());
        for site in &document.sites {
            if site.table.errors.is_empty() {
                whose.push(ErrorsId::GLOBAL);
                continue;
            }
            let mut own = self.pages(&site.table.errors);
            if own.default.is_none() {
                // What the Site leaves open.
                let more = global.pages.iter();
                let missing = |status| own.pages.iter().all(|(other, _)| *other != status);
                let more: Vec<_> = more.filter(|(status, _)| missing(*status)).cloned().collect();
                own.pages.extend(more);
                own.default.clone_from(&global.default);
            }
            whose.push(ErrorsId(all.len() as u32));
            all.push(own);
        }
        (all, whose)
    }

    fn pages(&mut self, table: &[Named<Written<String>>]) -> ErrorPages {
        let mut pages = ErrorPages::default();
        for Named { name, table: file } in table {
            let page = self.page(file);
            if name.value == DEFAULT {
                pages.default = page;
                continue;
            }
            match (400..=599_u16).find(|status| status.to_string() == name.value) {
                Some(status) => pages.pages.extend(page.map(|page| (status, page))),
                None => self.faults.not_an_error_status(name.at, &name.value),
            }
        }
        pages
    }

    fn page(&mut self, file: &Written<String>) -> Option<ErrorPage> {
        let extension = Path::new(&file.value).extension().and_then(|extension| extension.to_str());
        let content_type = CONTENT_TYPES
            .iter()
            .find(|(known, _)| extension.is_some_and(|it| it.eq_ignore_ascii_case(known)));
        if content_type.is_none() {
            self.faults.error_page_without_type(file.at, &file.value);
        }
        let (path, bytes) = self.file(file)?;
        if bytes.len() > ERROR_PAGE_BYTES_MAX {
            self.faults.error_page_too_long(file.at, &path, bytes.len(), ERROR_PAGE_BYTES_MAX);
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(ErrorPage::new(content_type?.1, &text)),
            Err(_) => {
                self.faults.error_page_not_utf8(file.at, &path);
                None
            }
        }
    }
}
